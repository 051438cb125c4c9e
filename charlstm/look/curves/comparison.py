"""Runs beside each other: how far, how good, how fast, and in which settings they differ."""

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlstm.config.reading import load_config
from charlstm.config.schema import all_settings, value_of
from charlstm.config.settings import Config
from charlstm.errors import ConfigError, FileError
from charlstm.messages import shorten, show
from charlstm.nn.loss import bits
from charlstm.saved.checkpoint import Checkpoint
from charlstm.saved.finding import NoRunError, State, newest_of, require_run, runs_within, state_of
from charlstm.saved.history import History
from charlstm.saved.run_folder import RunFolder


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


def _summary(name: str, path: Path) -> RunSummary:
    """One that cannot be read is failed, and no reason to say nothing of the others."""
    try:
        return _summary_of_readable(name, path)
    except NoRunError:
        raise
    except FileError as error:
        return RunSummary(
            name=name,
            path=path,
            state="failed",
            config=None,
            parameters=None,
            steps=None,
            best_bits_per_char=None,
            chars_per_second=None,
            problem=str(error),
            text=None,
        )


def _summary_of_readable(name: str, path: Path) -> RunSummary:
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
        text=None if checkpoint is None else checkpoint.corpus.sha256,
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
        for schema in all_settings()
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
    if column in {schema.path for schema in all_settings()}:
        return lambda run: run.setting(column)
    raise ConfigError(
        f"--sort: found {shorten(column)}; columns are {', '.join(COLUMNS)},"
        " and settings by their full names, such as model.layers"
    )
