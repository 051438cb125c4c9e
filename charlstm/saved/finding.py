"""Which folders are runs, how far each is, and in which state."""

import os
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Literal, NamedTuple

from charlstm.errors import FileError
from charlstm.messages import show
from charlstm.saved.checkpoint import Checkpoint, read_checkpoint
from charlstm.saved.history import History, read_history
from charlstm.saved.run_folder import RunFolder
from charlstm.system.sealed import looks_sealed

State = Literal["running", "finished", "stopped", "failed"]


class NoRunError(FileError):
    """What is named is no run at all."""


class Newest(NamedTuple):
    """The newest checkpoint that can be used, or why there is none."""

    checkpoint: Checkpoint | None
    problem: str | None


def runs_within(paths: Sequence[Path]) -> list[Path]:
    """For a folder that is no run but holds runs, as a sweep leaves it, those; each path once."""
    return list(dict.fromkeys(run for path in paths for run in _runs_of(path)))


def _runs_of(path: Path) -> list[Path]:
    if is_run(path) or not path.is_dir():
        return [path]
    return sorted(filter(_may_be_run, path.iterdir())) or [path]


def _may_be_run(path: Path) -> bool:
    """One that cannot be read is told of, and not passed over."""
    try:
        return is_run(path)
    except FileError:
        return True


def is_run(path: Path) -> bool:
    """One just begun has a lock alone."""
    folder = RunFolder(path)
    return path.is_dir() and (folder.holds_a_run() or os.path.lexists(folder.lock_file))


def is_model(path: Path) -> bool:
    """Whether it is the folder of a run, or a checkpoint; not so a text."""
    return is_run(path) or looks_sealed(path)


def models_first(names: tuple[Path, ...]) -> tuple[list[Path], tuple[Path, ...]]:
    """Those that are runs or checkpoints, up to the first that is not; and the rest."""
    models = list(takewhile(is_model, names))
    return models, names[len(models) :]


def require_run(path: Path) -> RunFolder:
    """Raises `NoRunError` for what is not the folder of a run, `FileError` if nobody can tell."""
    if not path.is_dir():
        what = "is a file, not the folder of a run" if path.exists() else "does not exist"
        raise NoRunError(f"{show(path)} {what}")
    if not is_run(path):
        raise NoRunError(f"{show(path)} is not the folder of a run")
    return RunFolder(path)


def newest_of(folder: RunFolder) -> Newest:
    """Looks again when a trainer has removed what was there for something newer."""
    while True:
        steps = folder.steps()
        try:
            found = folder.newest_good(read_checkpoint)
        except FileError as error:
            if folder.steps() == steps:
                return Newest(None, str(error))
        else:
            return Newest(found.loaded, None) if found else Newest(None, "no checkpoint was saved")


def state_of(folder: RunFolder, checkpoint: Checkpoint | None) -> tuple[State, History]:
    """The state of a run, and its reports. ``stopped`` can go on; ``failed`` has no checkpoint from
    which it could, or its numbers went wrong after the last one.
    """
    running = folder.is_in_use()  # asked first: what is read next may be the end of the run
    history = read_history(folder.metrics)
    if running:
        return "running", history
    if checkpoint is None or history.failure is not None:
        return "failed", history
    return "finished" if checkpoint.progress.finished else "stopped", history
