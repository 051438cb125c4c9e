"""Runs beside each other: how far, how good, how fast, and in which settings they differ."""

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from charlstm.config.reading import load_config
from charlstm.config.schema import setting_paths, value_of
from charlstm.config.settings import Config
from charlstm.errors import ConfigError, FileError, shorten
from charlstm.saved.checkpoint import Checkpoint, read_checkpoint
from charlstm.saved.history import History, read_history
from charlstm.saved.run_folder import RunFolder
from charlstm.system.files import show
from charlstm.training.console import bits

State = Literal["running", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class RunSummary:
    """One run. What it does not tell (yet) is None.

    ``steps`` is that of the newest checkpoint, of the last report while there is none and while
    the run goes on. ``chars_per_second`` is the median of all reports; ``problem`` says why no
    checkpoint can be used, or what went wrong after the last; ``text`` is the SHA-256 of what the
    run learned from.
    """

    name: str
    path: Path
    state: State
    config: Config | None
    parameters: int | None
    steps: int | None
    best_bits_per_char: float | None
    chars_per_second: float | None
    problem: str | None
    text: str | None

    @property
    def cell(self) -> str | None:
        return None if self.config is None else self.config.model.cell

    @property
    def size(self) -> tuple[int, int] | None:
        """Layers, and units in each."""
        if self.config is None:
            return None
        return self.config.model.layers, self.config.model.hidden_size

    def setting(self, path: str) -> Any:
        return None if self.config is None else value_of(self.config, path)


class Newest(NamedTuple):
    """The newest checkpoint that can be used, or why there is none."""

    checkpoint: Checkpoint | None
    problem: str | None


COLUMNS: dict[str, Callable[[RunSummary], Any]] = {
    "name": lambda run: run.name,
    "cell": lambda run: run.cell,
    "size": lambda run: run.size,
    "parameters": lambda run: run.parameters,
    "steps": lambda run: run.steps,
    "bits": lambda run: run.best_bits_per_char,
    "speed": lambda run: run.chars_per_second,
    "state": lambda run: run.state,
}


def summaries_of(paths: Sequence[Path]) -> list[RunSummary]:
    """What there is to say of runs, none of which is changed. Raises `FileError` for no run."""
    paths = runs_within(paths)
    names = names_of(paths)
    return [_summary(name, path) for name, path in zip(names, paths, strict=True)]


def names_of(paths: Sequence[Path]) -> list[str]:
    """The names of the folders; whole paths where two have the same."""
    names = [show(Path(os.path.abspath(path).rpartition("/")[2])) for path in paths]  # noqa: PTH100
    return names if len(set(names)) == len(names) else [show(path) for path in paths]


def runs_within(paths: Sequence[Path]) -> list[Path]:
    """For a folder that is no run but holds runs, as a sweep leaves it, those; each path once."""
    return list(dict.fromkeys(run for path in paths for run in _runs_of(path)))


def _runs_of(path: Path) -> list[Path]:
    if is_run(path) or not path.is_dir():
        return [path]
    return sorted(filter(is_run, path.iterdir())) or [path]


def is_run(path: Path) -> bool:
    """One just begun has a lock alone."""
    folder = RunFolder(path)
    return path.is_dir() and (folder.holds_a_run() or os.path.lexists(folder.lock_file))


def require_run(path: Path) -> RunFolder:
    """Raises `FileError` for what is not the folder of a run."""
    if not path.is_dir():
        what = "is a file, not the folder of a run" if path.exists() else "does not exist"
        raise FileError(f"{show(path)} {what}")
    if not is_run(path):
        raise FileError(f"{show(path)} is not the folder of a run")
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


def _summary(name: str, path: Path) -> RunSummary:
    folder = require_run(path)
    checkpoint, problem = newest_of(folder)
    state, history = state_of(folder, checkpoint)
    return RunSummary(
        name=name,
        path=path,
        state=state,
        config=_config(folder, checkpoint),
        parameters=None if checkpoint is None else parameter_count(checkpoint),
        steps=_steps(state, history, checkpoint),
        best_bits_per_char=_best(history, checkpoint),
        chars_per_second=speed_of(history),
        problem=(history.failure if state == "failed" else None) or problem,
        text=None if checkpoint is None else checkpoint.corpus["sha256"],
    )


def parameter_count(checkpoint: Checkpoint) -> int:
    return sum(value.size for value in checkpoint.parameters.values())


def speed_of(history: History) -> float | None:
    """Characters per second: the median of all reports, which pauses of the machine leave alone."""
    return statistics.median(history.finite("chars_per_second") or [0.0]) or None


def _config(folder: RunFolder, checkpoint: Checkpoint | None) -> Config | None:
    if checkpoint is not None:
        return checkpoint.config
    try:
        return load_config(folder.config)
    except ConfigError:
        return None


def _steps(state: State, history: History, checkpoint: Checkpoint | None) -> int | None:
    if checkpoint is None:
        return history.last_step
    saved = checkpoint.progress.step
    return max(saved, history.last_step or 0) if state == "running" else saved


def _best(history: History, checkpoint: Checkpoint | None) -> float | None:
    if checkpoint is not None:
        best = checkpoint.progress.best_val_loss
    else:
        best = min(history.finite("val_loss"), default=None)
    return None if best is None else bits(best)


# Between runs ------------------------------------------------------------------------------------


def differing_settings(runs: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """Settings that are not the same in all runs whose settings are known: a value for each run.

    Where a run is written is its name, and explains nothing; nor does where its text lies, if all
    have the same.
    """
    known = [run for run in runs if run.config is not None]
    passed_over = {"output.directory"}
    if len({run.text for run in known} - {None}) == 1:
        passed_over.add("data.files")
    return {
        schema.path: [run.setting(schema.path) for run in runs]
        for schema in setting_paths()
        if schema.path not in passed_over
        and len({repr(run.setting(schema.path)) for run in known}) > 1
    }


def ordered(runs: Sequence[RunSummary], column: str, *, reverse: bool = False) -> list[RunSummary]:
    """By a column or a setting; runs that lack it come last. Raises `ConfigError`."""
    value = _reader_of(column)
    known = [run for run in runs if value(run) is not None]
    unknown = [run for run in runs if value(run) is None]
    known.sort(key=lambda run: (isinstance(value(run), str), value(run)), reverse=reverse)
    return known + unknown


def _reader_of(column: str) -> Callable[[RunSummary], Any]:
    if column in COLUMNS:
        return COLUMNS[column]
    if column in {schema.path for schema in setting_paths()}:
        return lambda run: run.setting(column)
    raise ConfigError(
        f"--sort: found {shorten(column)}; columns are {', '.join(COLUMNS)},"
        " and settings by their full names, such as model.layers"
    )
