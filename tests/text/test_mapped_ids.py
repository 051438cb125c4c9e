"""Ids in a file: what is read is what was written, or an error."""

import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.errors import FileError
from charlstm.look.score import exact_losses
from charlstm.nn.model import CharLM, Shape
from charlstm.system.sealed import seal, unseal
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
    ids, arrays, state, _ = open_ids(written(tmp_path / "x.ids", expected))
    assert (len(ids), ids.dtype) == (COUNT, dtype)
    assert np.asarray(ids).tolist() == expected.tolist()
    assert arrays["note"].tolist() == [0, 1, 2]
    assert state["a"] == 1
    places = np.array([[0, COUNT - 1, BLOCK], [BLOCK - 1, 2 * BLOCK, 7]])
    assert ids[places].tolist() == expected[places].tolist()


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_texts_of_every_length_around_a_block(tmp_path: Path, count: int) -> None:
    expected = ids_of("uint8", count)
    ids, *_ = open_ids(written(tmp_path / "x.ids", expected))
    assert np.asarray(ids).tobytes() == expected.tobytes()


def test_a_part_is_a_text_of_its_own(tmp_path: Path) -> None:
    expected = ids_of("uint16")
    ids, *_ = open_ids(written(tmp_path / "x.ids", expected))
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
    ids, *_ = open_ids(written(tmp_path / "x.ids", expected))
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
    ids, *_ = open_ids(path)
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


def test_what_was_read_is_not_read_again_and_what_was_not_is_never_believed(tmp_path: Path) -> None:
    """Zeros after a block was verified, and a file cut short while it is in use."""
    expected = ids_of("uint8")
    path = written(tmp_path / "x.ids", expected)
    ids, *_ = open_ids(path)
    first = np.array([0, BLOCK - 1])
    assert ids[first].tolist() == expected[first].tolist()
    with path.open("r+b") as file:
        file.write(bytes(2 * BLOCK))
    assert ids[first].tolist() == expected[first].tolist()
    with pytest.raises(FileError, match="damaged; it was removed"):
        ids[np.array([BLOCK])]
    path = written(tmp_path / "x.ids", expected)
    ids, *_ = open_ids(path)
    os.truncate(path, BLOCK + 5)
    assert ids[first].tolist() == expected[first].tolist()
    with pytest.raises(FileError, match="damaged; it was removed"):
        ids[np.array([BLOCK + 3])]
    assert not path.exists()


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_with_room_for_few_blocks_all_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, kept: int
) -> None:
    expected = ids_of("uint16")
    monkeypatch.setattr(mapped_ids, "KEPT_BYTES", kept * BLOCK * 2)
    ids, *_ = open_ids(written(tmp_path / "x.ids", expected))
    for _ in range(20):
        places = rng.integers(0, COUNT, (3, 5))
        assert ids[places].tolist() == expected[places].tolist()
    assert np.asarray(ids).tolist() == expected.tolist()


def test_a_block_that_was_dropped_is_verified_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped_ids, "KEPT_BYTES", BLOCK)
    path = written(tmp_path / "x.ids", ids_of("uint8"))
    ids, *_ = open_ids(path)
    for place in (0, BLOCK):
        ids[np.array([place])]
    with path.open("r+b") as file:
        file.write(bytes(BLOCK))
    with pytest.raises(FileError, match="damaged; it was removed"):
        ids[np.array([0])]


FORGED_FOOTERS: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "fewer": lambda arrays, state: state.update(count=COUNT - 1),
    "none": lambda arrays, state: state.update(count=0),
    "true": lambda arrays, state: state.update(count=True),
    "wider": lambda arrays, state: state.update(dtype="uint32", count=COUNT // 4),
    "signed": lambda arrays, state: state.update(dtype="int8"),
    "no bound": lambda arrays, state: state.update(ids_below=None),
    "no digests": lambda arrays, state: arrays.pop("digests"),
    "flat": lambda arrays, state: arrays.update(digests=arrays["digests"].ravel()),
    "floats": lambda arrays, state: arrays.update(digests=arrays["digests"].astype("f4")),
    "too few": lambda arrays, state: arrays.update(digests=arrays["digests"][1:]),
}


def reforge(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change what a footer says and seal it again."""
    content = path.read_bytes()
    length = int.from_bytes(content[-8:], "little")
    arrays, state = unseal(content[-8 - length : -8])
    change(arrays, state)
    footer = b"".join(seal(arrays, state))
    path.write_bytes(content[: -8 - length] + footer + len(footer).to_bytes(8, "little"))


@pytest.mark.parametrize("name", FORGED_FOOTERS)
def test_a_forged_footer_is_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "x.ids", ids_of("uint8"))
    reforge(path, FORGED_FOOTERS[name])
    with pytest.raises(FileError, match="not a file of ids"):
        open_ids(path)


def test_ids_beyond_the_declared_bound_are_never_given(tmp_path: Path) -> None:
    expected = np.zeros(COUNT, np.uint8)
    expected[2 * BLOCK] = 7
    path = written(tmp_path / "x.ids", expected)
    reforge(path, lambda arrays, state: state.update(ids_below=7))
    ids, *_ = open_ids(path)
    ids[np.array([0, BLOCK])]
    with pytest.raises(FileError, match="damaged; it was removed"):
        ids[np.array([2 * BLOCK + 1])]


def test_a_sparse_file_of_any_size_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.ids"
    with path.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(0, 2)
        file.write(((1 << 40) - 100).to_bytes(8, "little"))
    tracemalloc.start()
    with pytest.raises(FileError):
        open_ids(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_memory_and_descriptors_do_not_grow_with_the_text(tmp_path: Path) -> None:
    block = ids_of("uint8", BLOCK)
    path = tmp_path / "x.ids"
    blocks = 2 * (mapped_ids.KEPT_BYTES // BLOCK)
    write_ids(path, (block for _ in range(blocks)), lambda: ({}, {}))
    open_before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc").exists() else 0
    tracemalloc.start()
    ids, *_ = open_ids(path)
    for number in range(blocks):
        ids[np.arange(number * BLOCK, (number + 1) * BLOCK, 512)]
    assert tracemalloc.get_traced_memory()[1] < 1.3 * mapped_ids.KEPT_BYTES
    tracemalloc.stop()
    del ids
    if open_before:
        assert len(list(Path("/proc/self/fd").iterdir())) == open_before
