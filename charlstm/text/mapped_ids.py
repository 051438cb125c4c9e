"""The ids of a long text in a file, of which only the blocks that are in use lie in memory.

    ids       one after another
    footer    a sealed file (see `sealed`): a SHA-256 of every block of ids, and their description
    8 bytes   length of the footer, little-endian

Reading all of a long file to verify it would delay the first step by seconds. So a block is read
when something in it is first asked for, and verified in memory: whatever becomes of the file
afterwards, no id is ever used that was not in the text. (Mapped into memory, a file that somebody
cuts short would end the process, and one that changes would be believed.)
"""

import hashlib
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import FileError
from charlstm.messages import show
from charlstm.system.files import reading, remove, write_stream_atomically
from charlstm.system.sealed import digest_of, seal, unseal
from charlstm.text.vocabulary import Ids

BLOCK = 1 << 15  # ids
KEPT_BYTES = 1 << 25  # of the blocks used last: more than the lanes of all but the widest batches
LARGEST_FOOTER = 1 << 26  # that of 68,000,000,000 ids; a sparse file of any size costs nothing
DIGEST_BYTES = 32
_LENGTH_BYTES = 8
_ABSENT = -(1 << 62)

Arrays = Mapping[str, NDArray[Any]]


class MappedIds:
    """A part of the text in a file. A slice of it is again such a part, which reads nothing;
    an array of places, of any shape, gives the ids there.

    Raises `FileError` when a block that is read turns out to be damaged.
    """

    def __init__(self, file: "_BlockFile", start: int, stop: int) -> None:
        self._file = file
        self._start = start
        self._stop = stop

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._file.dtype

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
        ids = np.empty(len(self), self.dtype)
        for start in range(0, len(ids), BLOCK):
            stop = min(start + BLOCK, len(ids))
            ids[start:stop] = self._file.at(np.arange(start, stop) + self._start)
        return ids if dtype is None else ids.astype(dtype)

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def digests(self) -> NDArray[np.uint8]:
        """The SHA-256 of every block of the whole text, as the file states them: ``(blocks, 32)``.
        Those read so far have agreed with the ids.
        """
        return self._file.digests


class _BlockFile:
    """What all parts of a text share: the file, and its blocks that were read last.

    ``holds[row]`` is the block that lies in that row of ``kept``, or -1. What lies in a block of
    the text lies ``shift[block]`` further on in ``kept``, or nowhere if that is `_ABSENT`.
    """

    def __init__(
        self, path: Path, descriptor: int, declared: "_Declared", digests: NDArray[np.uint8]
    ) -> None:
        self.path = path
        self.dtype = declared.dtype
        self.digests = digests
        self._descriptor = os.dup(descriptor)
        weakref.finalize(self, os.close, self._descriptor)
        self._declared = declared
        rows = max(1, min(len(digests), KEPT_BYTES // (BLOCK * self.dtype.itemsize)))
        self._kept = np.empty((rows, BLOCK), self.dtype)  # takes memory as it is filled
        self._holds = np.full(rows, -1)
        self._shift = np.full(len(digests), _ABSENT)
        self._next = 0

    def at(self, places: NDArray[np.integer[Any]]) -> Ids:
        blocks = places // BLOCK
        shift = self._shift[blocks]
        if shift.size and shift.min() == _ABSENT:
            needed = np.unique(blocks)
            if len(needed) > len(self._kept):
                return self._piece_by_piece(places, blocks, needed)
            self._fetch(needed)
            shift = self._shift[blocks]
        shift += places
        found: Ids = self._kept.ravel()[shift]
        return found

    def _piece_by_piece(
        self,
        places: NDArray[np.integer[Any]],
        blocks: NDArray[np.integer[Any]],
        needed: NDArray[np.integer[Any]],
    ) -> Ids:
        """What lies in more blocks than are kept."""
        found = np.empty(places.shape, self.dtype)
        for start in range(0, len(needed), len(self._kept)):
            piece = needed[start : start + len(self._kept)]
            within = (piece[0] <= blocks) & (blocks <= piece[-1])
            found[within] = self.at(places[within])
        return found

    def _fetch(self, needed: NDArray[np.integer[Any]]) -> None:
        """Read those that are not there, in place of others, the first read first."""
        missing = needed[self._shift[needed] == _ABSENT].tolist()
        rows = np.roll(np.arange(len(self._kept)), -self._next)
        rows = rows[np.isin(self._holds[rows], needed, invert=True)]
        for row, block in zip(rows.tolist(), missing, strict=False):
            if self._holds[row] >= 0:
                self._shift[self._holds[row]] = _ABSENT
                self._holds[row] = -1
            self._read(block, self._kept[row])
            self._holds[row], self._shift[block] = block, (row - block) * BLOCK
            self._next = (row + 1) % len(self._kept)

    def _read(self, block: int, into: Ids) -> None:
        """Raises `FileError` unless ``into`` then holds what the text was made into."""
        count, _, ids_below = self._declared
        ids = into[: min(BLOCK, count - block * BLOCK)]
        try:
            got = os.preadv(self._descriptor, [ids.data], block * BLOCK * ids.itemsize)
        except OSError as error:
            raise FileError(f"cannot read {show(self.path)}: {error.strerror}") from error
        right = got == ids.nbytes and _digest(ids.data) == self.digests[block].tobytes()
        if not right or ids.max() >= ids_below:
            remove(self.path)
            raise FileError(
                f"{show(self.path)}: damaged; it was removed and will be made anew from the text"
                " the next time"
            )


def write_ids(
    path: Path,
    blocks: Iterable[Ids],
    describe: Callable[[], tuple[Arrays, Mapping[str, Any]]],
) -> None:
    """Write the ids that ``blocks`` yields, then a footer with what ``describe`` returns.

    The file appears whole or not at all. Raises `SystemRefusedError`.
    """
    write_stream_atomically(path, _chunks(blocks, describe))


class OpenedIds(NamedTuple):
    """``seal``: a digest of all that the file says, the ids (by their digests) among it."""

    ids: MappedIds
    arrays: dict[str, NDArray[Any]]
    state: dict[str, Any]
    seal: str


def open_ids(path: Path) -> OpenedIds:
    """The ids, and the arrays and state that describe them.

    Raises `FileError` for a file that `write_ids` cannot have made. Takes the time that its footer
    takes, a few milliseconds, however long the text.
    """
    with reading(path) as (stream, size):
        footer_start, footer = _read_footer(stream.fileno(), size, path)
        arrays, state = unseal(footer, show(path))
        declared = _declared(arrays, state, footer_start, path)
        file = _BlockFile(path, stream.fileno(), declared, arrays.pop("digests"))
    return OpenedIds(MappedIds(file, 0, declared.characters), arrays, state, digest_of(footer))


def digests_of(blocks: Iterable[Ids]) -> NDArray[np.uint8]:
    """What a file with these ids would say of its blocks: `MappedIds.digests`."""
    digests = _BlockDigests()
    for ids in blocks:
        digests.update(ids)
    return digests.all()


def _chunks(
    blocks: Iterable[Ids], describe: Callable[[], tuple[Arrays, Mapping[str, Any]]]
) -> Iterator[bytes | memoryview]:
    digests = _BlockDigests()
    dtype, ids_below = "", 0
    for ids in blocks:
        digests.update(ids)
        dtype = ids.dtype.name
        ids_below = max(ids_below, int(ids.max(initial=0)) + 1)
        yield ids.data
    arrays, state = describe()
    declared = {"count": digests.count, "dtype": dtype, "ids_below": ids_below}
    footer = b"".join(seal({**arrays, "digests": digests.all()}, {**state, **declared}))
    yield footer
    yield len(footer).to_bytes(_LENGTH_BYTES, "little")


class _BlockDigests:
    """The SHA-256 of every `BLOCK` ids of what comes in pieces of any length."""

    def __init__(self) -> None:
        self.count = 0
        self._finished: list[bytes] = []
        self._current = hashlib.sha256()

    def update(self, ids: Ids) -> None:
        while len(ids):
            room = BLOCK - self.count % BLOCK
            piece, ids = ids[:room], ids[room:]
            self._current.update(piece.data)
            self.count += len(piece)
            if self.count % BLOCK == 0:
                self._finished.append(self._current.digest())
                self._current = hashlib.sha256()

    def all(self) -> NDArray[np.uint8]:
        unfinished = [self._current.digest()] if self.count % BLOCK else []
        joined = b"".join(self._finished + unfinished)
        return np.frombuffer(joined, np.uint8).reshape(-1, DIGEST_BYTES)


def _digest(data: memoryview) -> bytes:
    return hashlib.sha256(data).digest()


def _read_footer(descriptor: int, size: int, path: Path) -> tuple[int, bytes]:
    """Where the footer starts, and its bytes."""
    end = size - _LENGTH_BYTES
    length = int.from_bytes(os.pread(descriptor, _LENGTH_BYTES, max(end, 0)), "little")
    if not 0 < length <= min(end, LARGEST_FOOTER):
        raise FileError(f"{show(path)}: cut off, or not a file of ids")
    return end - length, os.pread(descriptor, length, end - length)


class _Declared(NamedTuple):
    """How many ids there are, of which type, and what all of them are below."""

    characters: int
    dtype: np.dtype[Any]
    ids_below: int


def _declared(arrays: Arrays, state: Mapping[str, Any], data_bytes: int, path: Path) -> _Declared:
    """What the footer states, if it fits the size of the file."""
    count, name, ids_below = (state.get(key) for key in ("count", "dtype", "ids_below"))
    digests = arrays.get("digests", np.zeros(0))
    if type(count) is type(ids_below) is int and count > 0:
        blocks = -(-count // BLOCK)
        fits = digests.dtype == np.uint8 and digests.shape == (blocks, DIGEST_BYTES)
        if fits and name in ("uint8", "uint16", "uint32"):
            dtype = np.dtype(name)
            if count * dtype.itemsize == data_bytes:
                return _Declared(count, dtype, ids_below)
    raise FileError(f"{show(path)}: not a file of ids")
