"""A whole run: from a configuration to a folder with checkpoints, from scratch or resumed."""

import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from charlstm.config.settings import Config
from charlstm.config.writing import dump_config
from charlstm.errors import DivergedError, SystemRefusedError, UserError
from charlstm.messages import show
from charlstm.nn.loss import bits
from charlstm.saved.checkpoint import require_room
from charlstm.saved.progress import Progress
from charlstm.saved.run_folder import RunFolder
from charlstm.system.files import LineWriter, write_atomically
from charlstm.system.mpi_launcher import (
    SWITCH,
    launched,
    refuse_to_lead_twice,
    tasks_without_mpi,
)
from charlstm.system.signals import SignalRequests
from charlstm.training.advice import advice
from charlstm.training.budget import Correction, fit_to_time, is_due
from charlstm.training.console import Say, display_for
from charlstm.training.dataset import Dataset, cache_beside, read_dataset
from charlstm.training.estimate import check_memory, decided, describe
from charlstm.training.growth import tell_of_growth
from charlstm.training.loop import Reason, train
from charlstm.training.products import with_quickest_products
from charlstm.training.ranks import ranks_for
from charlstm.training.recorder import Identity, RunRecorder
from charlstm.training.resuming import (
    Options,
    check_kind_of_source,
    compare_arithmetic,
    is_finished,
    so_far,
    starting_point,
)
from charlstm.training.rounding import arithmetic_fingerprint
from charlstm.training.setup import evaluation_of, plan_of, prepare
from charlstm.training.summary import summary
from charlstm.training.trainer import Requests, Trainer


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    ``stopped_by`` may have come too late to stop anything; the process still ends by it.
    """

    reason: Reason | Literal["already finished"]
    progress: Progress
    stopped_by: signal.Signals | None = None


def run_training(config: Config, path: Path, options: Options, say: Say) -> Outcome:
    """Train in the folder ``path``. Raises a `UserError` for everything a user can put right."""
    dataset, correction = _read(config, path, options, say)
    folder = RunFolder(path)
    folder.create()
    with folder.lock():
        found = starting_point(folder, dataset, options, say)
        if found is not None and is_finished(found.loaded, dataset):
            _take_back_later_reports(folder, found.loaded.progress)
            return Outcome("already finished", found.loaded.progress)
        say(describe(dataset))
        dataset = with_quickest_products(dataset, found and found.loaded.config)
        if found is None:
            _tell_of_the_start(dataset, options, say)
        with ranks_for(dataset, folder, found and found.path) as comm:
            trainer, progress = prepare(dataset, comm, found and found.loaded)
            identity = _identity(dataset, trainer)
            if found is not None:
                compare_arithmetic(found.loaded, identity.fingerprint, options.exact, say)
                say(f"Resuming at step {progress.step:,}.")
            if options.overwrite and folder.holds_a_run():
                folder.erase()  # now that nothing more can be refused
            write_atomically(folder.config, [dump_config(dataset.config).encode()])
            display = display_for(
                options.quiet, progress.step, dataset.total_steps, trainer.characters_per_step
            )
            recorder = RunRecorder(folder, identity, display, progress, dataset.total_steps)
            outcome = _train(dataset, trainer, progress, recorder, correction)
        if not options.quiet and outcome.stopped_by is None:
            for line in summary(dataset, progress, folder):
                say(line)
        return outcome


def _read(config: Config, path: Path, options: Options, say: Say) -> tuple[Dataset, Correction]:
    """The text, with settings that fit it and the time; what is odd about them is told."""
    started, timed = time.monotonic(), None
    refuse_to_lead_twice()
    _warn_of_tasks(say)
    known = so_far(RunFolder(path)) if options.resume else None
    dataset = read_dataset(config, cache_beside(path, say), known)
    if not (options.resume and RunFolder(path).holds_a_run()):
        check_kind_of_source(dataset)
    if is_due(config, None if known is None else known.config):
        timed = fit_to_time(dataset, RunFolder(path), started)
        dataset = timed.dataset
        say(f"Measured: {timed.characters_per_second:,.0f} characters a second.")
    check_memory(dataset.config, dataset.corpus.vocabulary.size)
    require_room(dataset.config)
    for warning in dataset.corpus.warnings:
        say(f"Warning: {warning}")
    if launched() and isinstance(config.training.workers, int) and config.training.workers > 1:
        say("training.workers is ignored: the MPI launcher has started the processes.")
    return dataset, Correction(timed)


def _tell_of_the_start(dataset: Dataset, options: Options, say: Say) -> None:
    for line in [*decided(dataset), *(f"Warning: {line}" for line in advice(dataset))]:
        say(line)
    if not options.quiet:
        tell_of_growth(dataset, say)


def _warn_of_tasks(say: Say) -> None:
    if (tasks := tasks_without_mpi()) > 1:
        say(
            f"Warning: srun started {tasks} processes, and each trains by itself; to share the"
            f" work, give it --mpi=pmix, or what srun --mpi=list shows ({SWITCH}=0: it is meant so)"
        )


def _take_back_later_reports(folder: RunFolder, progress: Progress) -> None:
    """Those of an attempt to go on that failed before anything was saved."""
    with LineWriter(folder.metrics) as metrics:
        metrics.truncate_to(progress.metrics_length)


def _train(
    dataset: Dataset,
    trainer: Trainer,
    progress: Progress,
    recorder: RunRecorder,
    correction: Correction,
) -> Outcome:
    timer = _SaveTimer(dataset.config.output.checkpoint_minutes)
    with (
        SignalRequests() as signals,
        _what_was_kept(recorder),
        closing(recorder),
        _divergence_noted(recorder, progress),
    ):
        reason = train(
            trainer,
            evaluation_of(dataset, trainer),
            plan_of(dataset),
            progress,
            recorder=recorder,
            requests=lambda: Requests(
                stop=signals.stopped_by is not None,
                save=signals.wants_save() or timer.due(),
                steps=correction.steps(progress),
            ),
        )
    return Outcome(reason, progress, signals.stopped_by)


def _identity(dataset: Dataset, trainer: Trainer) -> Identity:
    """What all checkpoints of this run will say of it."""
    lanes = trainer.batches
    return Identity(
        config=dataset.config,
        vocabulary=dataset.corpus.vocabulary,
        corpus=dataset.identity,
        fingerprint=arithmetic_fingerprint(
            trainer.model.shape, lanes.sequence_length, lanes.batch_size, trainer.model.cuts
        ),
        source_bits=dataset.source_bits,
        label_counts=dataset.label_counts,
        characters_per_item=dataset.characters_per_item,
    )


class _SaveTimer:
    """Asks for a checkpoint every so many minutes of training."""

    def __init__(self, minutes: float) -> None:
        self._seconds = minutes * 60
        self._last = time.monotonic()

    def due(self) -> bool:
        if not self._seconds or time.monotonic() - self._last < self._seconds:
            return False
        self._last = time.monotonic()
        return True


@contextmanager
def _divergence_noted(recorder: RunRecorder, progress: Progress) -> Iterator[None]:
    try:
        yield
    except DivergedError as error:
        with suppress(SystemRefusedError):  # the divergence is what must be told
            recorder.failed(progress, str(error))
        raise


@contextmanager
def _what_was_kept(recorder: RunRecorder) -> Iterator[None]:
    """Add to an error what the user still has."""
    try:
        yield
    except (DivergedError, SystemRefusedError) as error:
        kept = (
            f"The last saved step is {recorder.last_saved_step:,}, in {show(recorder.folder.path)}"
            if recorder.last_saved_step
            else "Nothing was saved yet"
        )
        advice = (
            "try a smaller training.learning_rate or clip_norm in a new run"
            if isinstance(error, DivergedError)
            else "continue with --resume"
        )
        raise _with_message(error, f"{str(error).rstrip('.')}. {kept}; {advice}.") from error


def _with_message(error: UserError, message: str) -> UserError:
    return type(error)(message)


def ending(outcome: Outcome, path: Path, again: str) -> str:
    """The last line on stderr: how it ended; ``again`` is how to go on with one that stopped."""
    progress = outcome.progress
    best = (
        ""
        if progress.best_val_loss is None
        else f" Best validation loss {progress.best_val_loss:.4f}"
        f" ({bits(progress.best_val_loss):.4f} bits/char) at step {progress.best_step:,}."
    )
    sample = f"Try: charlstm sample {shlex.quote(show(path))}"
    if outcome.reason == "stopped":
        name = "a signal" if outcome.stopped_by is None else outcome.stopped_by.name
        return f"Stopped by {name} at step {progress.step:,}; saved. Continue: {again}"
    if outcome.reason == "no improvement":
        return f"Stopped early at step {progress.step:,}.{best}  {sample}"
    if outcome.reason == "already finished":
        return f"Already finished at step {progress.step:,}.{best}  {sample}"
    return f"Finished {progress.step:,} steps.{best}  {sample}"
