"""The only place that writes durable files: whole or not at all, through crash and power loss.

The protocol is that of SQLite's "Atomic Commit In SQLite": everything reaches the disk under a
temporary name before the rename shows it to anyone, and the rename itself is synced too. Every
system call is made as ``os.<name>``, so that tests can put a faulty ``os`` in this module.
"""
# The calls of the protocol are spelled out, one by one:
# ruff: noqa: PTH102, PTH105, PTH106, PTH108

import errno
import filecmp
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from charlstm.errors import FileError, SystemRefusedError, UnreadableError
from charlstm.messages import show
from charlstm.system.signals import interrupts_raised

_STRAY = re.compile(r"\.tmp-.+-([1-9][0-9]*)")
_FOLDERS_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)
_WHAT_TO_DO = {
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some of your quota",
    errno.EFBIG: "Raise the limit on file sizes (ulimit -f)",
    errno.EACCES: "Change the permissions or choose another folder",
    errno.EPERM: "Change the permissions or choose another folder",
    errno.EROFS: "Choose a folder that can be written",
    errno.EIO: "The disk itself reports an error; choose another one",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.ENOTDIR: "A part of this path is no folder; choose another one",
    errno.EEXIST: "Choose another name",
    errno.ELOOP: "What a link leads to is left alone; remove the link",
}
_LINES_READ_AT_ONCE = 1 << 16  # bytes


@contextmanager
def refused(action: str, path: Path, size: int = 0) -> Iterator[None]:
    """Turn an error of the system into a ``SystemRefusedError`` of one line."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number else _reason(path, error)
        needs = f" (needs {_human(size)})" if size else ""
        advice = _WHAT_TO_DO.get(number or 0, "Check this path")
        raise SystemRefusedError(
            f"cannot {action} {show(path)}: {reason}{needs}. {advice}."
        ) from error


def write_atomically(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Make ``path`` hold the chunks one after another; it appears or changes whole, or not at all.

    On return the content and the name survive a power loss. Raises ``SystemRefusedError``, after
    removing what was written, for whatever the system refuses. A failed fsync is final: the
    kernel may drop the pages and report success the next time, so it is never tried again.
    """
    views = [memoryview(chunk) for chunk in chunks]
    size = sum(view.nbytes for view in views)
    with refused("write", path, size), _replacing(path) as temporary:
        _write_new(temporary, views)


def write_named(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """As ``write_atomically``, where a user has named ``path``: root would replace /dev/null by a
    file. Raises ``FileError`` for a device, a pipe, a socket, or a link to one.
    """
    with suppress(OSError, ValueError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise FileError(f"{show(path)}: neither a file nor a new name; name a file")
    write_atomically(path, chunks)


def write_stream_atomically(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """As ``write_atomically``, of chunks that are made one by one and never all in memory.

    What ``chunks`` itself raises as a ``UserError`` passes through, and nothing is left behind.
    """
    with refused("write", path), _replacing(path) as temporary:
        _write_new(temporary, map(memoryview, chunks))


def write_new_stream(path: Path, chunks: Iterable[bytes | memoryview]) -> bool:
    """As ``write_stream_atomically``, but what ``path`` holds by then stays. Whether it holds the
    same.
    """
    with refused("write", path), _temporary(path) as temporary:
        _write_new(temporary, map(memoryview, chunks))
        same = _shown_as_new(temporary, path) or filecmp.cmp(temporary, path, shallow=False)
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        sync_folder(path.parent)
    return same


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` a second name of ``source``, or a copy where the file system has no links.

    Atomic and durable as ``write_atomically``. Raises ``SystemRefusedError``.
    """
    with refused("write", target):
        if _are_one_file(source, target):
            return  # renaming one name of a file onto another would do nothing at all
        with _replacing(target) as temporary:
            if not _linked(source, temporary):
                _write_new(temporary, [memoryview(source.read_bytes())])


def remove(path: Path) -> None:
    """Remove a file, or the link itself if it is one; one already gone is no error."""
    with refused("remove", path), suppress(FileNotFoundError):
        os.unlink(path)


def remove_strays(folder: Path) -> None:
    """Remove the temporary files that dead processes left in ``folder``."""
    with refused("clean", folder), os.scandir(folder) as entries:
        strays = [
            Path(entry.path)
            for entry in entries
            if (match := _STRAY.fullmatch(entry.name))
            and entry.is_file(follow_symlinks=False)
            and not _writes_elsewhere(int(match[1]))
        ]
    for stray in strays:
        remove(stray)


def make_folder(path: Path) -> None:
    """Create ``path`` and the folders above it, so that their names survive a power loss.

    Raises ``SystemRefusedError``, leaving none of them behind.
    """
    made: list[Path] = []
    with refused("create", path):
        try:
            for folder in reversed([path, *path.parents]):
                if not folder.is_dir():
                    _make_one(folder)
                    made.append(folder)
                    sync_folder(folder.parent)
        except BaseException:
            for folder in reversed(made):
                with suppress(OSError):
                    os.rmdir(folder)
            raise


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power loss. Raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _FOLDERS_CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


@contextmanager
def reading(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """An unbuffered stream of a regular file, and its size in bytes.

    Raises ``UnreadableError`` for whatever is missing or may not be read, and ``FileError`` for
    what is no regular file, without ever waiting: opening a FIFO for reading would block until
    somebody writes into it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise FileError(f"{show(path)} is a folder, not a file")
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"{show(path)} is a device or a pipe, not a file")
        with open(descriptor, "rb", buffering=0, closefd=False) as stream:
            yield stream, status.st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        with suppress(OSError):  # nothing was written that closing could lose
            os.close(descriptor)


def read_exactly(stream: IO[bytes], count: int) -> bytearray:
    """The next ``count`` bytes, or fewer where the file ends. Raises ``OSError``."""
    content = bytearray(count)
    view = memoryview(content)
    position = 0
    while position < count:
        got = stream.readinto(view[position:])  # type: ignore[attr-defined]
        if not got:
            break
        position += got
    view.release()
    del content[position:]
    return content


def open_in_place(path: Path, flags: int = 0) -> int:
    """A descriptor to read and to change a regular file, made if it is missing.

    What is changed in place must be what ``path`` names and nothing else, so a link is refused.
    Nor does it wait, as for the reader of a FIFO. Raises ``OSError``.
    """
    flags |= os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError("it is a device or a pipe, not a file")


def part_from_other_names(path: Path) -> None:
    """Replace a file by a copy of its own, so that what has it under other names keeps it as it is.

    ``cp -al`` and the backups that build on it make such names. Atomic and durable. Raises
    ``SystemRefusedError``, ``FileError``.
    """
    with reading(path) as (stream, _):
        write_stream_atomically(path, iter(lambda: stream.read(_LINES_READ_AT_ONCE), b""))


class LineWriter:
    """Adds lines to the end of a file, each handed to the system before ``append`` returns.

    A killed process therefore loses no line; what a power loss may not take needs ``sync``.
    A link is never followed, and a file that has other names too is first replaced by a copy.
    Every method raises ``SystemRefusedError`` for what the system refuses.
    """

    length: int
    """Bytes in the file, all of them whole lines unless the file came with a torn one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with refused("open", path):
            self._descriptor = open_in_place(path, os.O_APPEND)
            if os.fstat(self._descriptor).st_nlink > 1:
                os.close(self._descriptor)
                part_from_other_names(path)
                self._descriptor = open_in_place(path, os.O_APPEND)
            try:
                self.length = os.fstat(self._descriptor).st_size
                sync_folder(path.parent)
            except BaseException:
                os.close(self._descriptor)
                raise

    def append(self, line: str) -> None:
        """Add ``line`` and a line end; after an error, no part of it stays in the file."""
        content = (line + "\n").encode("utf-8", errors="backslashreplace")
        with refused("write", self.path, len(content)):
            try:
                _write_all(self._descriptor, memoryview(content))
            except BaseException:
                with suppress(OSError):
                    os.ftruncate(self._descriptor, self.length)
                raise
        self.length += len(content)

    def sync(self) -> None:
        """Make all lines survive a power loss."""
        with refused("write", self.path):
            os.fsync(self._descriptor)

    def truncate_to(self, length: int) -> int:
        """Keep the whole lines within the first ``length`` bytes; how many of those were missing.

        A torn line is dropped too, or the next one would be written onto its end.
        """
        with refused("truncate", self.path):
            kept = self._end_of_last_line(min(length, self.length))
            if kept < self.length:
                os.ftruncate(self._descriptor, kept)
        self.length = kept
        return length - kept

    def _end_of_last_line(self, stop: int) -> int:
        """Where the last line that ends within the first ``stop`` bytes ends."""
        while stop:
            start = max(0, stop - _LINES_READ_AT_ONCE)
            place = os.pread(self._descriptor, stop - start, start).rfind(b"\n")
            if place >= 0:
                return start + place + 1
            stop = start
        return 0

    def close(self) -> None:
        with refused("close", self.path):
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary name that becomes ``path`` at the end, or is removed after an error."""
    with _temporary(path) as temporary:
        yield temporary
        os.replace(temporary, path)
        sync_folder(path.parent)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name in the same folder, for a rename is atomic within one file system only; what it holds
    is removed after an error.
    """
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    with interrupts_raised():
        try:
            yield temporary
        except BaseException:
            with suppress(OSError, ValueError):
                os.unlink(temporary)
            raise


def _write_new(path: Path, views: Iterable[memoryview]) -> None:
    descriptor = _create(path)
    try:
        for view in views:
            if view.nbytes:
                _write_all(descriptor, view.cast("B"))
        os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            os.close(descriptor)
        raise
    os.close(descriptor)


def _make_one(folder: Path) -> None:
    try:
        os.mkdir(folder)
    except FileExistsError:  # another process was faster
        if not folder.is_dir():
            raise


def _create(path: Path) -> int:
    """A new file with the mode that the umask asks for (``mkstemp`` would make it private)."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:  # left by a dead process that had our number
        os.unlink(path)
        return os.open(path, flags, 0o666)


def _write_all(descriptor: int, view: memoryview) -> None:
    while view:
        written = os.write(descriptor, view)
        if written == 0:
            raise OSError(errno.EIO, "nothing was written")
        view = view[written:]


def _are_one_file(source: Path, target: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(source.lstat(), target.lstat())
    return False


def _shown_as_new(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # the file system has no links
        if os.path.lexists(path):
            return False
        os.replace(temporary, path)
    return True


def _linked(source: Path, temporary: Path) -> bool:
    with suppress(FileNotFoundError):  # left by a dead process that had our number
        os.unlink(temporary)
    try:
        os.link(source, temporary)
    except OSError:
        return False
    return True


def _writes_elsewhere(pid: int) -> bool:
    """Whether another living process has this number; our own can only be a predecessor's."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _unreadable(path: Path, error: Exception) -> UnreadableError:
    return UnreadableError(f"cannot read {show(path)}: {_reason(path, error)}")


def _reason(path: Path, error: Exception) -> str:
    if "\0" in str(path):
        return "a null byte in its name"  # Python says it in other words from version to version
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _human(size: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"
