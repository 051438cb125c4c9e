"""Operating systems that fail: faults at a chosen call, power loss, SIGKILL. Shared by tests."""
# ruff: noqa: PTH102, PTH105, PTH108

import errno
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from charlstm.saved.run_folder import Found, RunFolder
from charlstm.system import files
from charlstm.system.sealed import read_sealed, seal

ERRORS = [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EACCES]
CALLS = {"open", "write", "fsync", "close", "replace"}
CALLS |= {"unlink", "link", "mkdir", "ftruncate", "scandir"}
BLOCK = 4096


class FaultyOs:
    """The module ``os``, but its ``fail_at``-th relevant call fails, or all from then on."""

    def __init__(self, fail_at: int = -1, error: int = errno.EIO, *, lasting: bool = False):
        self.fail_at, self.error, self.lasting = fail_at, error, lasting
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return partial(self.call, name, real) if name in CALLS else real

    def call(self, name: str, real: Callable[..., Any], *args: Any) -> Any:
        number = len(self.calls)
        self.calls.append(name)
        if number == self.fail_at or (self.lasting and number > self.fail_at >= 0):
            if name == "close":
                real(*args)  # Linux frees the descriptor in any case
            if name == "write":
                real(args[0], args[1][: len(args[1]) // 2])
            raise OSError(self.error, os.strerror(self.error))
        if name == "fsync":
            return None  # waiting for a real disk would test nothing here
        return real(*args)


@contextmanager
def operating_system(replacement: Any) -> Iterator[Any]:
    """Let the package's files go through ``replacement`` instead of ``os``."""
    files.os = replacement
    try:
        yield replacement
    finally:
        files.os = os


# A disk that may lose what was not synced


class RecordingOs:
    """The module ``os``, which also writes down what would have to reach the disk."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self._numbers: dict[str, int] = {}
        self._open: dict[int, int | str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = os.open(path, flags, mode)
        name = str(path)
        if flags & os.O_DIRECTORY:
            self._open[descriptor] = name
        elif flags & os.O_CREAT:
            if flags & os.O_EXCL or name not in self._numbers:
                self._numbers[name] = len(self.log)  # unique: the log only grows
                self.log.append(("name", name, self._numbers[name]))
            self._open[descriptor] = self._numbers[name]
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        count = os.write(descriptor, data[: 3 * BLOCK])
        self.log.append(("write", self._open[descriptor], bytes(data[:count])))
        return count

    def fsync(self, descriptor: int) -> None:
        target = self._open[descriptor]
        self.log.append(("sync folder" if isinstance(target, str) else "sync", target))

    def replace(self, old: Path, new: Path) -> None:
        os.replace(old, new)
        number = self._numbers[str(new)] = self._numbers.pop(str(old))
        self.log.append(("rename", str(old), str(new), number))

    def link(self, old: Path, new: Path) -> None:
        os.link(old, new)
        self._numbers[str(new)] = self._numbers[str(old)]
        self.log.append(("name", str(new), self._numbers[str(new)]))

    def unlink(self, path: Path) -> None:
        os.unlink(path)
        self._numbers.pop(str(path))
        self.log.append(("unlink", str(path)))

    def mkdir(self, path: Path) -> None:
        os.mkdir(path)
        self.log.append(("mkdir", str(path)))


Names = dict[str, int | None]
"""What is in the folders: the number of a file, or None for a folder."""


def _apply(names: Names, change: tuple[Any, ...]) -> None:
    match change:
        case ("name", name, number):
            names[name] = number
        case ("mkdir", name):
            names[name] = None
        case ("rename", old, new, number):
            names.pop(old, None)
            names[new] = number
        case ("unlink", name):
            names.pop(name, None)


def states_after_power_loss(log: list[tuple[Any, ...]]) -> Iterator[dict[str, bytes | None]]:
    """All the trees (path to content, None for a folder) that the disk may hold after ``log``.

    Every unsynced change of a name was done or not, and what was written to a file since its
    last sync is there, lost, cut off at a block, zeros or garbage.
    """
    durable: Names = {}
    pending: list[tuple[Any, ...]] = []
    content: dict[int, bytes] = {}
    synced: dict[int, bytes] = {}
    for entry in log:
        match entry:
            case ("write", number, data):
                content[number] = content.get(number, b"") + data
            case ("sync", number):
                synced[number] = content.get(number, b"")
            case ("sync folder", folder):
                for change in [c for c in pending if str(Path(c[1]).parent) == folder]:
                    _apply(durable, change)
                    pending.remove(change)
            case ("saved", *_):
                pass
            case change:
                pending.append(change)
    for chosen in product([False, True], repeat=len(pending)):
        names = dict(durable)
        for done, change in zip(chosen, pending, strict=True):
            if done:
                _apply(names, change)
        for remains in _remains(content, synced):
            yield {
                name: None if number is None else remains.get(number, b"")
                for name, number in names.items()
            }


def _remains(content: dict[int, bytes], synced: dict[int, bytes]) -> Iterator[dict[int, bytes]]:
    unsynced = {n: synced.get(n, b"") for n in content if content[n] != synced.get(n, b"")}
    yield content
    if not unsynced:
        return
    longest = max(len(content[n]) for n in unsynced)
    garbage = random.Random(0).randbytes(longest)
    for cut in range(0, longest, BLOCK):
        yield content | {n: max(old, content[n][:cut], key=len) for n, old in unsynced.items()}
    for filler in (bytes(longest), garbage):
        yield content | {
            n: old + filler[: len(content[n]) - len(old)] for n, old in unsynced.items()
        }


# A run whose checkpoints can be recognised


@lru_cache(maxsize=64)  # a long run of kills makes thousands
def arrays_of(step: int, size: int = 10_000) -> dict[str, np.ndarray]:
    """What the checkpoint of ``step`` must hold: 40 kB that differ from every other step's."""
    rng = np.random.default_rng(step)
    return {
        "param/lstm.0.W_x": rng.standard_normal((size // 5, 5)).astype(np.float32),
        "vocabulary": np.arange(step % 7 + 2, dtype=np.uint32),
    }


def save(
    run: RunFolder, step: int, *, keep: int | None = 2, size: int = 10_000, **state: Any
) -> None:
    run.save(step, seal(arrays_of(step, size), {"step": step, **state}), keep=keep)


def newest(run: RunFolder, size: int = 10_000) -> int:
    """The step of the newest good checkpoint, 0 if there is none; its content must be right."""
    found = run.newest_good(read_sealed)
    return 0 if found is None else checked_step(found, size)


def checked_step(found: Found[Any], size: int = 10_000) -> int:
    arrays, state = found.loaded
    for name, expected in arrays_of(state["step"], size).items():
        np.testing.assert_array_equal(arrays[name], expected)
    return int(state["step"])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def strays(run: RunFolder) -> list[Path]:
    return sorted(run.path.rglob(".tmp-*"))


def kill_saves(folder: str, kills: int, seed: int) -> dict[str, int]:
    """Kill a process that only saves, ``kills`` times at random instants, and look each time.

    To be called in a process of its own without threads, for it forks.
    """
    rng = random.Random(seed)
    run, size = RunFolder(Path(folder)), 50_000
    run.create()
    figures = {"kills": kills, "lost": 0, "in mid-save": 0, "left after cleaning": 0, "saves": 0}
    last = 2  # the first of them also imports
    with run.lock():
        usual = min(_seconds_of(lambda step=step: save(run, step, size=size)) for step in (1, last))
    for _ in range(kills):
        acknowledged = _saved_until_killed(run, last, size, rng.uniform(0, 4 * usual))
        figures["in mid-save"] += len(strays(run)) > 0
        assert len(strays(run)) <= 1
        with run.lock():
            figures["left after cleaning"] += len(strays(run))
        try:
            step = newest(run, size)
        except Exception as error:
            print(error)
            step = -1
        figures["lost"] += step < max(last, acknowledged)
        figures["saves"] += step - last
        last = step
    return figures


def _seconds_of(call: Callable[[], None]) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start


def _saved_until_killed(run: RunFolder, last: int, size: int, seconds: float) -> int:
    """The last step that a child reported as saved before it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with run.lock():
            os.write(writer, b"0\n")
            for step in range(last + 1, last + 100_000):
                save(run, step, size=size)
                os.write(writer, f"{step}\n".encode())
        os._exit(0)
    os.close(writer)
    os.read(reader, len(b"0\n"))  # on a busy machine it takes a while to begin
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reader) as reports:
        return max(map(int, reports.read().split()), default=0)
