"""A whole run: from a configuration to a folder with checkpoints, from scratch or resumed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from charlstm import building
from charlstm.checkpoint import (
    Checkpoint,
    LoadedModel,
    Progress,
    load_model,
    load_parameters,
    read_checkpoint,
)
from charlstm.comm import Alone, Comm
from charlstm.config import Config, config_to_dict, differences, dump_config, may_change
from charlstm.corpus import Corpus, split
from charlstm.corpus_cache import CorpusCache
from charlstm.display import Say, bits, display_for
from charlstm.errors import (
    ConfigError,
    DivergedError,
    FileError,
    RunFolderTakenError,
    SystemRefusedError,
    UserError,
)
from charlstm.evaluation import LaneEvaluation
from charlstm.files import show, write_atomically
from charlstm.fingerprint import arithmetic_fingerprint
from charlstm.launcher import launched, refuse_to_lead_twice
from charlstm.mapped_ids import MappedIds
from charlstm.mpi_comm import leading
from charlstm.recorder import Identity, RunRecorder
from charlstm.resources import resources_for
from charlstm.runfolder import Found, RunFolder
from charlstm.shared_comm import local_ranks
from charlstm.signals import SignalWishes
from charlstm.streams import Streams
from charlstm.trainer import StepSettings, Trainer, Wishes
from charlstm.training import Plan, train
from charlstm.vocabulary import Ids, Vocabulary

ENOUGH_TO_COUNT = 1_000_000  # characters that tell how often each occurs


@dataclass(frozen=True)
class Material:
    """The text of a run, cut and encoded."""

    corpus: Corpus
    train: Ids | MappedIds
    validation: Ids | MappedIds
    streams: Streams
    total_steps: int
    source_bits: float | None

    @property
    def identity(self) -> dict[str, object]:
        return {"sha256": self.corpus.sha256, "characters": self.corpus.characters}


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``finished``, ``no improvement``, ``already finished`` or ``stopped``.

    ``stopped_by`` may have come too late to stop anything; the process still ends by it.
    """

    reason: str
    progress: Progress
    stopped_by: signal.Signals | None = None


def cache_beside(folder: Path, say: Say) -> CorpusCache:
    """Where runs beside each other keep the texts that are too long to encode every time."""
    return CorpusCache(folder.parent / ".corpus-cache", say)


def read_material_for(config: Config, cache: CorpusCache | None = None) -> Material:
    """The text, encoded with the vocabulary of the model to start from if there is one."""
    if config.init_from is None:
        return read_material(config, cache=cache)
    return read_material(config, load_model(Path(config.init_from)).vocabulary, cache)


def read_material(
    config: Config, vocabulary: Vocabulary | None = None, cache: CorpusCache | None = None
) -> Material:
    """Read and cut the text. Raises `FileError` for one that cannot be used."""
    corpus = building.corpus_of(config, vocabulary, cache)
    data, training = config.data, config.training
    train_ids, validation, _ = split(corpus.ids, data.validation_fraction, data.test_fraction)
    streams = Streams(train_ids, training.batch_size, training.sequence_length)
    start = len(train_ids)
    return Material(
        corpus=corpus,
        train=train_ids,
        validation=validation,
        streams=streams,
        total_steps=building.total_steps_of(config, streams.steps_per_epoch),
        source_bits=corpus.source_bits_per_character(start, start + len(validation)),
    )


def describe(config: Config, material: Material) -> str:
    """One line: the text, the model, the length."""
    model, vocabulary = config.model, material.corpus.vocabulary
    parameters = building.parameter_count(building.shape_of(config, vocabulary.size))
    names = ", ".join(path.name for path in material.corpus.files[:3])
    return (
        f"{names}: {material.corpus.characters:,} characters, {vocabulary.size} different;"
        f" {model.cell} {model.layers} x {model.hidden_size}; {parameters:,} parameters;"
        f" {material.total_steps:,} steps"
    )


def check_memory(config: Config, vocabulary_size: int) -> int:
    """The estimate in bytes. Raises `ConfigError` if this machine cannot have as much."""
    needed = building.memory_bytes(config, vocabulary_size)
    present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > present:
        raise ConfigError(
            f"this model needs about {needed / 1e9:,.1f} GB and this machine has"
            f" {present / 1e9:,.1f} GB; lower model.hidden_size, model.layers,"
            " training.batch_size or training.sequence_length"
        )
    return needed


@dataclass(frozen=True)
class Options:
    """How to treat a folder that holds a run, and how much to say."""

    resume: bool = False
    overwrite: bool = False
    exact: bool = False
    quiet: bool = False


def run_training(config: Config, path: Path, options: Options, say: Say) -> Outcome:
    """Train in the folder ``path``. Raises a `UserError` for everything a user can put right."""
    refuse_to_lead_twice()
    folder = RunFolder(path)
    material = read_material_for(config, cache_beside(path, say))
    check_memory(config, material.corpus.vocabulary.size)
    for warning in material.corpus.warnings:
        say(f"Warning: {warning}")
    if launched() and isinstance(config.training.workers, int) and config.training.workers > 1:
        say("training.workers is ignored: the MPI launcher has started the processes.")
    folder.create()
    with folder.lock():
        found = _starting_point(folder, config, material, options, say)
        if found is not None and _is_finished(found.loaded, config, material.total_steps):
            return Outcome("already finished", found.loaded.progress)
        say(describe(config, material))
        with ranks_for(config, material, folder, found and found.path) as comm:
            trainer, progress = prepare(config, material, comm, found and found.loaded)
            identity = _identity(config, material, trainer)
            if found is not None:
                _compare_arithmetic(found.loaded, identity.fingerprint, options.exact, say)
                say(f"Resuming at step {progress.step:,}.")
            write_atomically(folder.config, [dump_config(config).encode()])
            display = display_for(
                options.quiet, progress.step, material.total_steps, trainer.characters_per_step
            )
            recorder = RunRecorder(folder, identity, display, progress, material.total_steps)
            return _train(config, material, trainer, progress, recorder)


def prepare(
    config: Config, material: Material, comm: Comm, checkpoint: Checkpoint | None
) -> tuple[Trainer, Progress]:
    """A trainer of this rank where the run stands: at a checkpoint, or at its start."""
    trainer = _new_trainer(config, material, comm)
    if checkpoint is not None:
        load_parameters(trainer.model, checkpoint.parameters)
        trainer.optimizer.load(checkpoint.optimizer, checkpoint.optimizer_steps)
        trainer.schedule.restore(checkpoint.progress.schedule)
        trainer.restore(checkpoint.states, checkpoint.progress.step)
        return trainer, replace(checkpoint.progress, finished=False)
    source = _source_of(config, material.corpus.vocabulary)
    if source is not None:
        trainer.model.values[...] = source.model.values
    else:
        sample = np.asarray(material.train[:ENOUGH_TO_COUNT])
        trainer.model.expect(np.bincount(sample, minlength=material.corpus.vocabulary.size))
    return trainer, Progress()


def _train(
    config: Config,
    material: Material,
    trainer: Trainer,
    progress: Progress,
    recorder: RunRecorder,
) -> Outcome:
    timer = _SaveTimer(config.output.checkpoint_minutes)
    with SignalWishes() as signals, _what_was_kept(recorder), closing(recorder):
        reason = train(
            trainer,
            evaluation_of(config, material, trainer),
            plan_of(config, material.total_steps),
            progress,
            recorder=recorder,
            wishes=lambda: Wishes(
                stop=signals.stopped_by is not None, save=signals.wants_save() or timer.due()
            ),
        )
    return Outcome(reason, progress, signals.stopped_by)


def ranks_for(
    config: Config, material: Material, folder: RunFolder, checkpoint: Path | None
) -> AbstractContextManager[Comm]:
    resources = resources_for(config)
    setup = {
        "config": config_to_dict(config),
        "folder": str(folder.path),
        "checkpoint": None if checkpoint is None else str(checkpoint),
        "environment": resources.environment,
    }
    if launched():
        return leading(setup, config.training.batch_size)
    if resources.workers == 1:
        return nullcontext(Alone())
    shape = building.shape_of(config, material.corpus.vocabulary.size)
    states = shape.layers * 2 * config.training.batch_size * shape.hidden_size
    largest = max(building.parameter_count(shape), states) * np.dtype(shape.dtype).itemsize
    return local_ranks(resources.workers, largest, setup, resources.environment)


def _identity(config: Config, material: Material, trainer: Trainer) -> Identity:
    """What all checkpoints of this run will say of it."""
    lanes = trainer.streams
    return Identity(
        config=config,
        vocabulary=material.corpus.vocabulary,
        corpus=dict(material.identity),
        fingerprint=arithmetic_fingerprint(
            trainer.model.shape, lanes.sequence_length, lanes.batch_size
        ),
        source_bits=material.source_bits,
    )


def _new_trainer(config: Config, material: Material, comm: Comm) -> Trainer:
    model = building.model_of(config, material.corpus.vocabulary.size)
    return Trainer(
        model,
        material.streams,
        optimizer=building.optimizer_of(config, model),
        schedule=building.schedule_of(config, material.streams.steps_per_epoch),
        settings=StepSettings(
            clip_norm=config.training.clip_norm,
            clip_value=config.training.clip_value,
            dropout=config.model.dropout,
            recurrent_dropout=config.model.recurrent_dropout,
            seed=config.seed,
        ),
        comm=comm,
    )


def evaluation_of(config: Config, material: Material, trainer: Trainer) -> LaneEvaluation | None:
    if not len(material.validation):
        return None
    training = config.training
    return LaneEvaluation(
        trainer.model,
        material.validation,
        training.batch_size,
        training.sequence_length,
        trainer.comm,
    )


def plan_of(config: Config, total_steps: int) -> Plan:
    return Plan(
        total_steps=total_steps,
        report_every=config.output.report_every,
        evaluate_every=config.evaluation.every,
        checkpoint_every=config.output.checkpoint_every,
        sample_every=config.output.sample_every,
        early_stopping=config.training.early_stopping,
    )


def _starting_point(
    folder: RunFolder,
    config: Config,
    material: Material,
    options: Options,
    say: Say,
) -> Found[Checkpoint] | None:
    """The checkpoint to go on from; None to start at step 0."""
    if not folder.holds_a_run():
        _source_of(config, material.corpus.vocabulary)
        return None
    if options.overwrite:
        source = _source_of(config, material.corpus.vocabulary)
        if source is not None and folder.path.resolve() in source.path.resolve().parents:
            raise ConfigError(
                "init_from: names the run that --overwrite would remove; name another folder"
                " with --out"
            )
        folder.erase()
        return None
    if not options.resume:
        raise RunFolderTakenError(
            f"{show(folder.path)} already holds a run. Continue it with --resume, replace it with"
            " --overwrite, or name another folder with --out."
        )
    found = folder.newest_good(read_checkpoint)
    if found is None:
        return None
    for _, reason in found.damaged:
        say(f"Warning: {reason}; going back to {found.path.name}.")
    _check_same_experiment(found.loaded, config, material)
    _mend_best(folder, found)
    return found


def _check_same_experiment(checkpoint: Checkpoint, config: Config, material: Material) -> None:
    differing = [
        f"{path} is {ours!s:.40} (checkpoint: {theirs!s:.40})"
        for path, ours, theirs in differences(config, checkpoint.config)
        if not may_change(path)
    ]
    if differing:
        raise ConfigError(
            f"cannot resume with other settings: {'; '.join(differing)}."
            " Use the old values, or name another folder with --out."
        )
    then, now = checkpoint.corpus, material.identity
    if then["sha256"] != now["sha256"]:
        names = ", ".join(map(show, material.corpus.files))
        raise FileError(
            f"{names}: not the text this run was trained on ({then['characters']:,} characters,"
            f" sha256 {then['sha256'][:8]}..; now {now['characters']:,},"
            f" {str(now['sha256'])[:8]}..)."
            " Start a new run with --out, perhaps with init_from."
        )
    if checkpoint.vocabulary != material.corpus.vocabulary:
        raise FileError(
            "the vocabulary is not the one this run was trained with; did the model that init_from"
            " names change? Start a new run with --out."
        )


def _mend_best(folder: RunFolder, found: Found[Checkpoint]) -> None:
    """Catch up on what a kill between saving a checkpoint and marking it as best prevented."""
    progress = found.loaded.progress
    if progress.best_step == progress.step and found.path != folder.best:
        folder.mark_best(progress.step)


def _is_finished(checkpoint: Checkpoint, config: Config, total_steps: int) -> bool:
    """Done for the present settings: more steps than before mean there is more to do."""
    progress = checkpoint.progress
    return progress.step >= total_steps or (
        0 < config.training.early_stopping <= progress.evaluations_since_best
    )


def _compare_arithmetic(checkpoint: Checkpoint, now: str, exact: bool, say: Say) -> None:
    if checkpoint.fingerprint == now:
        return
    what = (
        "this machine rounds differently from the one that wrote step"
        f" {checkpoint.progress.step:,} (NumPy, BLAS, processor or threads)"
    )
    if exact:
        raise ConfigError(f"{what}, and --exact was asked for; resume on the same kind of machine")
    say(f"Warning: {what}; the run continues but will not match bit for bit.")


def _source_of(config: Config, vocabulary: Vocabulary) -> LoadedModel | None:
    """The model that ``init_from`` names, checked to be of the kind that is to be trained."""
    if config.init_from is None:
        return None
    source = load_model(Path(config.init_from))
    differing = [
        f"{path} is {ours} (there: {theirs})"
        for path, ours, theirs in differences(config, source.config)
        if path in _same_in_a_source(config.model.cell)
    ]
    if differing:
        raise ConfigError(
            f"init_from: cannot start from a different kind of model: {'; '.join(differing)}."
            " Use the values of that model."
        )
    if source.vocabulary != vocabulary:
        raise FileError(f"{show(source.path)}: changed while the text was read; try again")
    return source


def _same_in_a_source(cell: str) -> set[str]:
    """The settings that decide which arrays a model has and what it computes with them.

    Layer norm adds ``forget_bias`` at every step; in other cells it only sets where ``b`` starts.
    """
    names = {"cell", "layers", "hidden_size", "embedding_size", "dtype"}
    names |= {"forget_bias", "norm_epsilon"} if cell == "layer-norm" else set()
    return {"data.unit", *(f"model.{name}" for name in names)}


class _SaveTimer:
    """Wishes for a checkpoint every so many minutes of training."""

    def __init__(self, minutes: float) -> None:
        self._seconds = minutes * 60
        self._last = time.monotonic()

    def due(self) -> bool:
        if not self._seconds or time.monotonic() - self._last < self._seconds:
            return False
        self._last = time.monotonic()
        return True


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


def ending(outcome: Outcome, path: Path, command: str) -> str:
    """The last line on stderr: how it ended, and the command to go on with."""
    progress = outcome.progress
    best = (
        ""
        if progress.best_val_loss is None
        else f" Best validation loss {progress.best_val_loss:.4f}"
        f" ({bits(progress.best_val_loss):.4f} bits/char) at step {progress.best_step:,}."
    )
    sample = f"Try: charlstm sample {show(path)}"
    if outcome.reason == "stopped":
        name = "a signal" if outcome.stopped_by is None else outcome.stopped_by.name
        return f"Stopped by {name} at step {progress.step:,}; saved. Continue: {command} --resume"
    if outcome.reason == "no improvement":
        return f"Stopped early at step {progress.step:,}.{best}  {sample}"
    if outcome.reason == "already finished":
        return f"Already finished at step {progress.step:,}.{best}  {sample}"
    return f"Finished {progress.step:,} steps.{best}  {sample}"
