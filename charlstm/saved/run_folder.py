"""What lies where in the folder of a run, which checkpoint counts, and who may write.

    config.yaml                               what was really used
    metrics.jsonl  samples.txt                grow while training
    checkpoints/step-00012000.safetensors     the newest few
    best.safetensors                          lowest validation loss
    run.lock                                  held while training

Nothing points to anything: what counts is what is there and whole.
"""

import fcntl
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from charlstm.errors import FileError, RunFolderTakenError, SystemRefusedError
from charlstm.messages import show
from charlstm.system import files

Loaded = TypeVar("Loaded")

_CHECKPOINT = re.compile(r"step-([0-9]{8,})\.safetensors")
_HOLDER = re.compile(r"process [0-9]+ on [\w.-]+ \(since [0-9: -]+\)")

INSTANT = 0.05
"""Seconds; far longer than `RunFolder.is_in_use` can hold a lock."""

_ATTEMPTS = 5

_held: set[int] = set()
"""Descriptors of the locks this process holds; a forked child must not keep them alive."""


class Found(NamedTuple, Generic[Loaded]):
    """The newest checkpoint that could be read, and the newer ones that could not."""

    path: Path
    loaded: Loaded
    damaged: list[tuple[Path, str]]


class RunFolder:
    """The folder of one run. Creating the object touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples.txt"
        self.best = path / "best.safetensors"
        self.checkpoints = path / "checkpoints"
        self.lock_file = path / "run.lock"

    def create(self) -> None:
        """Make the folders. Raises ``SystemRefusedError``, and ``RunFolderTakenError`` for
        checkpoints behind a link: older ones would be removed there.
        """
        self._refuse_checkpoints_elsewhere("written")
        files.make_folder(self.checkpoints)

    def holds_a_run(self) -> bool:
        """Whether anything of a run is there; a lock alone, or foreign files, are no run."""
        made = (self.config, self.metrics, self.samples, self.best)
        return any(os.path.lexists(path) for path in made) or bool(self.steps())

    def has_begun(self) -> bool:
        """Whether a run left traces beside its configuration, of which some may be lost."""
        return self.checkpoints.is_dir() or self.metrics.is_file() or self.best.is_file()

    def checkpoint_path(self, step: int) -> Path:
        return self.checkpoints / f"step-{step:08d}.safetensors"

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, newest first, whole or not.

        Raises ``FileError`` if the folder cannot be listed: taking that for an empty one would
        start the run afresh.
        """
        try:
            names = [path.name for path in self.checkpoints.iterdir()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise FileError(f"cannot list {show(self.checkpoints)}: {error}") from error
        matches = filter(None, map(_CHECKPOINT.fullmatch, names))
        steps = {int(match[1]): match[0] for match in matches}
        return sorted(
            (step for step, name in steps.items() if name == self.checkpoint_path(step).name),
            reverse=True,
        )

    def save(
        self,
        step: int,
        chunks: Iterable[bytes | memoryview],
        *,
        keep: int | None,
        keep_every: int = 0,
    ) -> Path:
        """Write the checkpoint of ``step``; once it is safe, remove older ones but the newest.

        ``keep`` counts this one too (``None``: keep all). Steps divisible by ``keep_every`` (0:
        none) always stay. Steps beyond ``step`` are left alone: after falling back from a damaged
        checkpoint they lie ahead, and counting them could remove the only good one. Raises
        ``SystemRefusedError``.
        """
        path = self.checkpoint_path(step)
        files.write_atomically(path, chunks)
        if keep is not None:
            past = [other for other in self.steps() if other < step]
            for old in past[max(keep, 1) - 1 :]:
                if not keep_every or old % keep_every:
                    files.remove(self.checkpoint_path(old))
        return path

    def mark_best(self, step: int) -> None:
        """Let ``best.safetensors`` be the checkpoint of ``step``. Raises ``SystemRefusedError``."""
        files.link_or_copy(self.checkpoint_path(step), self.best)

    def newest_good(self, read: Callable[[Path], Loaded]) -> Found[Loaded] | None:
        """The newest checkpoint that ``read`` accepts; ``None`` if there is none at all.

        ``read`` raises ``FileError`` for a damaged one; those are reported and left alone. The
        best one is the last resort. Raises ``FileError`` if none is good: a run that is there is
        never silently started again.
        """
        candidates = [self.checkpoint_path(step) for step in self.steps()]
        if os.path.lexists(self.best):
            candidates.append(self.best)
        damaged: list[tuple[Path, str]] = []
        for path in candidates:
            try:
                return Found(path, read(path), damaged)
            except FileError as error:
                damaged.append((path, str(error)))
        if damaged:
            raise FileError(
                f"none of the {len(damaged)} checkpoints in {show(self.path)} can be used "
                f"(the newest: {damaged[0][1]}). Restore one, or start anew with --overwrite."
            )
        return None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only trainer in this (existing) folder; remove what dead ones left half-written.

        The kernel frees the lock at the end of the process, however it ends. Raises
        ``RunFolderTakenError`` at once if another process holds it, ``SystemRefusedError`` if it
        cannot be taken. The file stays: removing it would let two processes hold two of them.
        """
        descriptor = self._locked()
        try:
            for folder in (self.path, self.checkpoints):
                files.remove_strays(folder)
            yield
        finally:
            _release(descriptor)

    def is_in_use(self) -> bool:
        """Whether a trainer holds the lock. Writes nothing, and can do without the right to.

        Only asking for the lock shows it, so it is shared with others who ask, and given back at
        once; a trainer that starts in that instant tries again.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self.lock_file, flags)
        except (OSError, ValueError):
            return False
        try:
            return not _locks(descriptor, fcntl.LOCK_SH)
        except OSError:  # a file system without locks, on which no trainer can start either
            return False
        finally:
            os.close(descriptor)

    def erase(self) -> None:
        """Remove the files that charlstm makes and no others; the caller holds the lock.

        Oldest first and the config last, so that an interrupted erasure still looks like the old
        run. Raises ``RunFolderTakenError`` if the checkpoints are elsewhere, behind a link, and
        ``SystemRefusedError``.
        """
        self._refuse_checkpoints_elsewhere("removed")
        for step in reversed(self.steps()):
            files.remove(self.checkpoint_path(step))
        for path in (self.best, self.samples, self.metrics, self.config):
            files.remove(path)
        with files.refused("erase", self.path):  # or a power loss could bring old steps back
            for folder in (self.checkpoints, self.path):
                if folder.is_dir():
                    files.sync_folder(folder)

    def _refuse_checkpoints_elsewhere(self, verb: str) -> None:
        if os.path.islink(self.checkpoints):  # noqa: PTH114 (a NUL in the path is no link)
            raise RunFolderTakenError(
                f"{show(self.checkpoints)} is a link to another folder; nothing was {verb}."
                " Remove the link, or name another folder with --out."
            )

    def _locked(self) -> int:
        """A descriptor that holds the lock, signed by this process."""
        for _ in range(_ATTEMPTS):
            with files.refused("lock", self.lock_file):
                descriptor = files.open_in_place(self.lock_file)
            _held.add(descriptor)
            try:
                self._take(descriptor)
                with files.refused("lock", self.lock_file):
                    if self._is_ours_alone(descriptor):
                        _sign(descriptor)
                        return descriptor
            except BaseException:
                _release(descriptor)
                raise
            _release(descriptor)
        raise SystemRefusedError(
            f"cannot lock {show(self.lock_file)}: it keeps changing, or has other names (hard"
            " links). Remove it if no training runs here."
        )

    def _take(self, descriptor: int) -> None:
        with files.refused("lock", self.lock_file):
            if _locks(descriptor, fcntl.LOCK_EX):
                return
            time.sleep(INSTANT)  # perhaps somebody only asked whether it `is_in_use`
            if _locks(descriptor, fcntl.LOCK_EX):
                return
        raise RunFolderTakenError(
            f"{show(self.path)} is in use by {_holder(descriptor)}."
            " Wait, or name another folder with --out."
        )

    def _is_ours_alone(self, descriptor: int) -> bool:
        """Whether the locked file is the one of this folder, and of no other as well.

        One with more names, as ``cp -al`` leaves it, is replaced while its lock is held: who waits
        for that lock finds another file afterwards, and must take the lock of that one.
        """
        locked, present = os.fstat(descriptor), self.lock_file.lstat()
        if os.path.samestat(locked, present) and locked.st_nlink > 1:
            files.part_from_other_names(self.lock_file)
            return False
        return os.path.samestat(locked, present)


def resolve_checkpoint(path: Path) -> Path:
    """The checkpoint that a user means by ``path``: a file, or a run's best or newest one.

    Raises ``FileError`` for a folder that holds none. Whether a file is any good, its reader says.
    """
    if not path.is_dir():
        return path
    run = RunFolder(path)
    if os.path.lexists(run.best):
        return run.best
    steps = run.steps()
    if not steps:
        raise FileError(f"{show(path)} holds no checkpoint; is it the folder of a run?")
    return run.checkpoint_path(steps[0])


def _locks(descriptor: int, kind: int) -> bool:
    """Take the lock unless others have it. Raises ``OSError``."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int) -> None:
    since = time.strftime("%Y-%m-%d %H:%M")
    text = f"process {os.getpid()} on {socket.gethostname()} (since {since})\n"
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def _release(descriptor: int) -> None:
    if descriptor in _held:  # not so in a forked child
        _held.discard(descriptor)
        with suppress(OSError):  # it holds no data, and an error on the way must be told
            os.close(descriptor)


def _holder(descriptor: int) -> str:
    """Who holds the lock, by its own account, if that looks like one of ours."""
    with suppress(OSError):
        text = os.pread(descriptor, 300, 0).decode("ascii", errors="replace").strip()
        if _HOLDER.fullmatch(text):
            return text
    return "another process"


def _close_held_locks() -> None:
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_held_locks)
