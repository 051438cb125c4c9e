"""Known entropy: what is read from a sidecar, and that a damaged one is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from charlstm.errors import FileError
from charlstm.text.known_entropy import KnownEntropy, read_known_entropy, sidecar_of

GOOD: dict[str, Any] = {
    "format": 1,
    "text": "harbour.txt",
    "characters": 100,
    "sha256": "ab" * 32,
    "bits": 150.0,
    "bits_per_character": 1.5,
    "checkpoints": [[10, 20.0], [30, 50], [70, 90.5]],
}


def read(sidecar: Path, content: bytes) -> KnownEntropy:
    sidecar.write_bytes(content)
    return read_known_entropy(sidecar, characters=100, sha256="ab" * 32)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, 100, 150 / 100),
        (10, 30, 30 / 20),
        (9, 31, 30 / 20),
        (11, 99, 40.5 / 40),
        (70, 100, 59.5 / 30),
        (0, 29, 20 / 10),
        (11, 69, None),
        (30, 30, None),
        (71, 100, None),
        (90, 20, None),
    ],
)
def test_bits_are_read_between_checkpoints(
    tmp_path: Path, start: int, stop: int, expected: float | None
) -> None:
    entropy = read(tmp_path / "x.json", json.dumps(GOOD).encode())
    assert entropy.bits_per_character(start, stop) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"characters": 99},
        {"sha256": "cd" * 32},
        {"bits": None},
        {"bits": float("nan")},
        {"bits": float("inf")},
        {"bits": -1},
        {"bits": True},
        {"bits": 10**400},
        {"bits": 80.0},
        {"checkpoints": None},
        {"checkpoints": [[10, 20.0], [10, 21.0], [9, 22.0]]},
        {"checkpoints": [[30, 20.0], [10, 21.0]]},
        {"checkpoints": [[10, 20.0], [30, 19.0]]},
        {"checkpoints": [[101, 20.0]]},
        {"checkpoints": [[-1, 20.0]]},
        {"checkpoints": [[1.5, 20.0]]},
        {"checkpoints": [[1]]},
        {"checkpoints": ["ab"]},
    ],
)
def test_a_wrong_sidecar_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(FileError, match=r"x\.json: ignored: "):
        read(tmp_path / "x.json", json.dumps(GOOD | change).encode())


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"format": ' + b"1" * 5000 + b"}"],
)
def test_what_is_no_sidecar_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FileError) as caught:
        read(tmp_path / "x.json", content)
    assert str(caught.value).isprintable()


def test_a_folder_is_no_sidecar(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="not a regular file"):
        read_known_entropy(tmp_path, characters=1, sha256="")


@pytest.mark.parametrize("text", ["a/harbour.txt", "a/harbour.txt.gz", "a/harbour", "a/harbour.gz"])
def test_where_the_sidecar_lies(text: str) -> None:
    assert sidecar_of(Path(text)) == Path("a/harbour.entropy.json")
