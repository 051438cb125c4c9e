"""The ids of a long text in a file: mapped into memory, and checked when they are first read.

    ids       one after another
    footer    a sealed file (see `sealed`): a CRC-32 of every block of ids, and their description
    8 bytes   length of the footer, little-endian

Reading all of a long file to verify it would delay the first step by seconds. So a block is
verified when something in it is first asked for: no damaged id is ever used.
"""

import mmap
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import FileError
from charlstm.messages import show
from charlstm.system.files import reading, remove, write_stream_atomically
from charlstm.system.sealed import seal, unseal
from charlstm.text.vocabulary import Ids

BLOCK = 1 << 16  # ids
FORGET_AFTER = 1 << 25  # ids read: then their pages stop counting as this process's memory
_LENGTH_BYTES = 8

Arrays = Mapping[str, NDArray[Any]]


class MappedIds:
    """A part of the text in a file. A slice of it is again such a part, which reads nothing;
    an array of places, of any shape, gives the ids there.

    Raises `FileError` when a block that is read turns out to be damaged.
    """

    def __init__(self, file: "_MappedFile", start: int, stop: int) -> None:
        self._file = file
        self._start = start
        self._stop = stop

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._file.ids.dtype

    def __len__(self) -> int:
        return self._stop - self._start

    @overload
    def __getitem__(self, places: slice) -> "MappedIds": ...
    @overload
    def __getitem__(self, places: NDArray[np.integer[Any]]) -> Ids: ...
    def __getitem__(self, places: slice | NDArray[np.integer[Any]]) -> "MappedIds | Ids":
        if isinstance(places, slice):
            start, stop, step = places.indices(len(self))
            if step != 1:
                raise IndexError("only whole stretches of a mapped text can be cut out")
            return MappedIds(self._file, self._start + start, self._start + max(start, stop))
        return self._file.at(places + self._start)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Ids:
        """All of this part, in memory."""
        del copy
        ids = self._file.at(np.arange(self._start, self._stop))
        return ids if dtype is None else ids.astype(dtype)


@dataclass
class _MappedFile:
    """What all parts of a text share. ``good``: the blocks that were verified."""

    path: Path
    memory: mmap.mmap
    ids: Ids
    checksums: NDArray[np.uint32]
    good: NDArray[np.bool_]
    read: int = 0

    def at(self, places: NDArray[np.integer[Any]]) -> Ids:
        blocks = places // BLOCK
        if not self.good[blocks].all():
            self._verify(np.unique(blocks[~self.good[blocks]]))
        found: Ids = self.ids[places]
        self._note_reading(places.size)
        return found

    def _verify(self, blocks: NDArray[np.integer[Any]]) -> None:
        for block in blocks.tolist():
            ids = self.ids[block * BLOCK : (block + 1) * BLOCK]
            if zlib.crc32(ids.data) != self.checksums[block]:
                remove(self.path)
                raise FileError(
                    f"{show(self.path)}: damaged; it was removed and will be made anew from the"
                    " text the next time"
                )
            self._note_reading(BLOCK)
        self.good[blocks] = True

    def _note_reading(self, count: int) -> None:
        """Mapped pages count as resident until they are let go; the system still caches them."""
        self.read += count
        if self.read > FORGET_AFTER and hasattr(mmap, "MADV_DONTNEED"):
            self.memory.madvise(mmap.MADV_DONTNEED)
            self.read = 0


def write_ids(
    path: Path,
    blocks: Iterable[Ids],
    describe: Callable[[], tuple[Arrays, Mapping[str, Any]]],
) -> None:
    """Write the ids that ``blocks`` yields, then a footer with what ``describe`` returns.

    The file appears whole or not at all. Raises `SystemRefusedError`.
    """
    write_stream_atomically(path, _chunks(blocks, describe))


def open_ids(path: Path) -> tuple[MappedIds, dict[str, NDArray[Any]], dict[str, Any]]:
    """The ids, and the arrays and state that describe them.

    Raises `FileError` for a file that `write_ids` cannot have made. Takes the time that its footer
    takes, a few milliseconds, however long the text.
    """
    with reading(path) as (stream, size):
        footer_start, footer = _read_footer(stream.fileno(), size, path)
        arrays, state = unseal(footer, show(path))
        count, dtype = _declared(arrays, state, footer_start, path)
        memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    checksums = arrays.pop("checksums")
    ids = np.frombuffer(memory, dtype, count)
    good = np.zeros(len(checksums), np.bool_)
    return MappedIds(_MappedFile(path, memory, ids, checksums, good), 0, count), arrays, state


def _chunks(
    blocks: Iterable[Ids], describe: Callable[[], tuple[Arrays, Mapping[str, Any]]]
) -> Iterator[bytes | memoryview]:
    checksums = _BlockChecksums()
    dtype = ""
    for ids in blocks:
        checksums.update(ids)
        dtype = ids.dtype.name
        yield ids.data
    arrays, state = describe()
    count = {"count": checksums.count, "dtype": dtype}
    footer = b"".join(seal({**arrays, "checksums": checksums.all()}, {**state, **count}))
    yield footer
    yield len(footer).to_bytes(_LENGTH_BYTES, "little")


class _BlockChecksums:
    """The CRC-32 of every `BLOCK` ids of what comes in pieces of any length."""

    def __init__(self) -> None:
        self.count = 0
        self._finished: list[int] = []
        self._current = 0

    def update(self, ids: Ids) -> None:
        while len(ids):
            room = BLOCK - self.count % BLOCK
            piece, ids = ids[:room], ids[room:]
            self._current = zlib.crc32(piece.data, self._current)
            self.count += len(piece)
            if self.count % BLOCK == 0:
                self._finished.append(self._current)
                self._current = 0

    def all(self) -> NDArray[np.uint32]:
        unfinished = [self._current] if self.count % BLOCK else []
        return np.array(self._finished + unfinished, np.uint32)


def _read_footer(descriptor: int, size: int, path: Path) -> tuple[int, bytes]:
    """Where the footer starts, and its bytes."""
    end = size - _LENGTH_BYTES
    length = int.from_bytes(os.pread(descriptor, _LENGTH_BYTES, max(end, 0)), "little")
    if not 0 < length <= end:
        raise FileError(f"{show(path)}: cut off, or not a file of ids")
    return end - length, os.pread(descriptor, length, end - length)


def _declared(
    arrays: Arrays, state: Mapping[str, Any], data_bytes: int, path: Path
) -> tuple[int, np.dtype[Any]]:
    """How many ids there are, and of which type: one that fits the size of the file."""
    count, name = state.get("count"), state.get("dtype")
    if type(count) is int and count > 0 and name in ("uint8", "uint16", "uint32"):
        dtype = np.dtype(name)
        checksums = arrays.get("checksums", np.zeros(0))
        if count * dtype.itemsize == data_bytes and len(checksums) == -(-count // BLOCK):
            return count, dtype
    raise FileError(f"{show(path)}: not a file of ids")
