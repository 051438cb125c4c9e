"""Ids in a file: what is read is what was written, or an error."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.errors import FileError
from charlstm.look.score import exact_losses
from charlstm.nn.model import CharLM, Shape
from charlstm.text import mapped_ids
from charlstm.text.batches import Batches
from charlstm.text.mapped_ids import BLOCK, MappedIds, open_ids, write_ids

COUNT = 3 * BLOCK + 1234


def ids_of(dtype: str, count: int = COUNT) -> np.ndarray:
    return np.random.default_rng(4).integers(0, np.iinfo(dtype).max, count).astype(dtype)


def in_pieces(ids: np.ndarray) -> Iterator[np.ndarray]:
    yield ids[:1]
    yield ids[1 : BLOCK - 3]
    yield ids[BLOCK - 3 : BLOCK]
    yield ids[BLOCK:]


def written(path: Path, ids: np.ndarray) -> Path:
    write_ids(path, in_pieces(ids), lambda: ({"note": np.arange(3, dtype=np.uint32)}, {"a": 1}))
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_what_is_read_is_what_was_written(tmp_path: Path, dtype: str) -> None:
    expected = ids_of(dtype)
    ids, arrays, state = open_ids(written(tmp_path / "x.ids", expected))
    assert (len(ids), ids.dtype) == (COUNT, dtype)
    assert np.asarray(ids).tolist() == expected.tolist()
    assert arrays["note"].tolist() == [0, 1, 2]
    assert state["a"] == 1
    places = np.array([[0, COUNT - 1, BLOCK], [BLOCK - 1, 2 * BLOCK, 7]])
    assert ids[places].tolist() == expected[places].tolist()


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_texts_of_every_length_around_a_block(tmp_path: Path, count: int) -> None:
    expected = ids_of("uint8", count)
    ids, _, _ = open_ids(written(tmp_path / "x.ids", expected))
    assert np.asarray(ids).tobytes() == expected.tobytes()


def test_a_part_is_a_text_of_its_own(tmp_path: Path) -> None:
    expected = ids_of("uint16")
    ids, _, _ = open_ids(written(tmp_path / "x.ids", expected))
    part, same = ids[BLOCK - 5 : -100][3:], expected[BLOCK - 5 : -100][3:]
    assert isinstance(part, MappedIds)
    assert len(part) == len(same)
    assert part[np.array([0, 9, len(part) - 1])].tolist() == same[[0, 9, -1]].tolist()
    assert np.asarray(part[:5], np.intp).tolist() == same[:5].tolist()
    assert len(ids[10:5]) == 0
    with pytest.raises(IndexError):
        ids[::2]


def test_streams_and_losses_do_not_see_the_difference(tmp_path: Path) -> None:
    expected = ids_of("uint8", 5000) % 7
    ids, _, _ = open_ids(written(tmp_path / "x.ids", expected))
    for k in (0, 3):
        found = [np.zeros((2, 9, 6), np.intp) for _ in range(2)]
        for text, (x, y) in zip((ids, expected), found, strict=True):
            Batches(text, 6, 9).batch(k, x, y)
        assert found[0].tolist() == found[1].tolist()
    model = CharLM(Shape(vocabulary_size=7, layers=1, hidden_size=3), seed=1)
    mapped, plain = (list(exact_losses(model, text[100:700])) for text in (ids, expected))
    assert np.concatenate(mapped).tolist() == np.concatenate(plain).tolist()


@pytest.mark.parametrize("place", [0, BLOCK, COUNT - 1])
def test_a_damaged_block_is_found_when_it_is_read_and_not_before(
    tmp_path: Path, place: int
) -> None:
    path = written(tmp_path / "x.ids", ids_of("uint8"))
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 16]))
    ids, _, _ = open_ids(path)
    block = place // BLOCK
    others = [b * BLOCK for b in range(4) if b != block]
    ids[np.array(others)]
    with pytest.raises(FileError, match="damaged; it was removed"):
        ids[np.array([BLOCK * block])]
    assert not path.exists()


@pytest.mark.parametrize("cut", [1, 8, 9, 500, BLOCK, COUNT - 1, COUNT])
def test_a_shortened_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path / "x.ids", ids_of("uint8"))
    content = path.read_bytes()
    for damaged in (content[:-cut], content[cut:], content + b"\0" * cut):
        path.write_bytes(damaged)
        with pytest.raises(FileError):
            open_ids(path)


def test_a_flipped_bit_of_the_footer_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "x.ids", ids_of("uint8", 100))
    content = path.read_bytes()
    for bit in range(100 * 8, len(content) * 8, 13):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(FileError):
            open_ids(path)


@pytest.mark.parametrize("content", [b"", b"1234567", b"\0" * 8, b"\xff" * 8, b"x" * 3000])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.ids"
    path.write_bytes(content)
    with pytest.raises(FileError):
        open_ids(path)


def test_pages_are_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(mmap, "MADV_DONTNEED"):
        pytest.skip("this system cannot let pages go")
    blocks = 600
    block = ids_of("uint8", BLOCK)
    path = tmp_path / "x.ids"
    write_ids(path, (block for _ in range(blocks)), lambda: ({}, {}))
    monkeypatch.setattr(mapped_ids, "FORGET_AFTER", 8 * BLOCK)

    def most_resident() -> int:
        ids, _, _ = open_ids(path)
        most = 0
        for number in range(blocks):
            ids[np.arange(number * BLOCK, (number + 1) * BLOCK, 512)]
            most = max(most, resident_of_files())
        return most

    before = resident_of_files()
    assert most_resident() - before < 100 * BLOCK
    monkeypatch.setattr(mapped_ids, "FORGET_AFTER", blocks * BLOCK * 4)
    assert most_resident() - before > 400 * BLOCK


def resident_of_files() -> int:
    """Bytes of mapped files that count as this process's memory."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc")
    lines: dict[str, Any] = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["RssFile"].split()[0]) * 1024
