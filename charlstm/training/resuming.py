"""Where a run begins: afresh, from another model's weights, or at a checkpoint of its own."""

import math
from dataclasses import dataclass
from pathlib import Path

from charlstm.config.schema import differences, may_change
from charlstm.config.settings import Config
from charlstm.config.writing import default_config_text, written
from charlstm.errors import ConfigError, FileError, RunFolderTakenError
from charlstm.from_config import items_fit
from charlstm.messages import show
from charlstm.saved.checkpoint import Checkpoint, read_checkpoint
from charlstm.saved.history import read_history
from charlstm.saved.run_folder import Found, RunFolder
from charlstm.saved.samples import HEADING
from charlstm.training.console import Say
from charlstm.training.dataset import Dataset


@dataclass(frozen=True)
class Options:
    """How to treat a folder that holds a run, and how much to say."""

    resume: bool = False
    overwrite: bool = False
    exact: bool = False
    quiet: bool = False


def so_far(folder: RunFolder) -> Checkpoint | None:
    """Where a run that is to go on stands; None where there is none."""
    found = folder.newest_good(read_checkpoint) if folder.holds_a_run() else None
    return None if found is None else found.loaded


def starting_point(
    folder: RunFolder,
    dataset: Dataset,
    options: Options,
    say: Say,
) -> Found[Checkpoint] | None:
    """The checkpoint to go on from; None to start at step 0, with ``overwrite`` in the place of
    what is there.
    """
    if not folder.holds_a_run():
        return None
    if options.overwrite:
        source = dataset.source
        if source is not None and folder.path.resolve() in source.path.resolve().parents:
            raise ConfigError(
                "init_from: names the run that --overwrite would remove; name another folder"
                " with --out"
            )
        return None
    if not options.resume:
        raise RunFolderTakenError(
            f"{show(folder.path)} already holds a run. Continue it with --resume, replace it with"
            " --overwrite, or name another folder with --out."
        )
    found = folder.newest_good(read_checkpoint)
    if found is None:
        check_kind_of_source(dataset)
        _refuse_to_forget(folder, dataset)
        _refuse_to_replace(folder)
        say(f"Warning: {show(folder.path)} holds no checkpoint; starting again at step 0.")
        return None
    for _, reason in found.damaged:
        say(f"Warning: {reason}; going back to {found.path.name}.")
    check_same_experiment(found.loaded, dataset)
    _mend_best(folder, found)
    return found


def _refuse_to_forget(folder: RunFolder, dataset: Dataset) -> None:
    """A run that was ended before its first checkpoint may start again; one that had some, and
    has lost them, must not be thrown away without being asked for.
    """
    history = read_history(folder.metrics)
    improved = (row["step"] for row in history.rows if row.get("improved") is True)
    first = min((*improved, dataset.config.output.checkpoint_every or math.inf))
    last = history.last_step or 0
    if last > first:
        raise RunFolderTakenError(
            f"{show(folder.path)} has lost its checkpoints, and its reports go up to step"
            f" {last:,}. Put one back, start anew with --overwrite, or name another folder with"
            " --out."
        )


def _refuse_to_replace(folder: RunFolder) -> None:
    """What stands under the names of a run's files, and is nothing that a run has written."""
    kinds = {
        folder.config: _is_a_config_of_a_run,
        folder.metrics: _are_reports,
        folder.samples: _are_samples,
    }
    for path, is_ours in kinds.items():
        if path.exists() and not is_ours(path):
            raise RunFolderTakenError(
                f"{show(path)}: no run has written this, and a new one would replace it. Move it"
                " away, replace it with --overwrite, or name another folder with --out."
            )


def _is_a_config_of_a_run(path: Path) -> bool:
    """Who writes one by hand gives other comments to the settings."""
    text = path.read_text("utf-8", errors="replace")
    return text.startswith("seed:") and _comments(text) == _comments(default_config_text())


def _comments(text: str) -> list[str]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return [line.rpartition(" # ")[2] for line in lines if " # " in line]


def _are_reports(path: Path) -> bool:
    history = read_history(path)
    return bool(history.rows) or not history.damaged


def _are_samples(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline()
    return not first.endswith("\n") or HEADING.fullmatch(first.rstrip("\n")) is not None


def check_same_experiment(checkpoint: Checkpoint, dataset: Dataset) -> None:
    differing = [
        f"{path} is {written(ours):.40} (checkpoint: {written(theirs):.40})"
        for path, ours, theirs in differences(dataset.config, checkpoint.config)
        if not may_change(path)
    ]
    if differing:
        raise ConfigError(
            f"cannot resume with other settings: {'; '.join(differing)}."
            " Use the old values, or name another folder with --out."
        )
    then, now = checkpoint.corpus, dataset.identity
    if (then.sha256, then.characters) != (now.sha256, now.characters):
        names = ", ".join(map(show, dataset.corpus.files))
        raise FileError(
            f"{names}: not the text this run was trained on ({then.characters:,} characters,"
            f" sha256 {then.sha256[:8]}..; now {now.characters:,},"
            f" {now.sha256[:8]}..)."
            " Start a new run with --out, perhaps with init_from."
        )
    if dict(then.held_out) != dict(now.held_out):
        raise FileError(
            "data.validation_files, data.test_files: not the texts that this run was begun with."
            " Start a new run with --out."
        )
    if checkpoint.vocabulary != dataset.corpus.vocabulary:
        raise FileError(
            "the vocabulary is not the one this run was trained with. Start a new run with --out."
        )


def _mend_best(folder: RunFolder, found: Found[Checkpoint]) -> None:
    """Catch up on what a kill between saving a checkpoint and marking it as best prevented."""
    progress = found.loaded.progress
    if progress.best_step == progress.step and found.path != folder.best:
        folder.mark_best(progress.step)


def is_finished(checkpoint: Checkpoint, dataset: Dataset) -> bool:
    """Done for the present settings: more steps than before mean there is more to do."""
    progress = checkpoint.progress
    at_the_end = progress.step >= dataset.total_steps or (
        0 < dataset.config.training.early_stopping <= progress.evaluations_since_best
    )
    return at_the_end and not progress.due


def compare_arithmetic(checkpoint: Checkpoint, now: str, exact: bool, say: Say) -> None:
    if checkpoint.fingerprint == now:
        return
    what = (
        "this machine rounds differently from the one that wrote step"
        f" {checkpoint.progress.step:,} (NumPy, BLAS, processor or threads)"
    )
    if exact:
        raise ConfigError(f"{what}, and --exact was asked for; resume on the same kind of machine")
    say(f"Warning: {what}; the run continues but will not match bit for bit.")


def check_kind_of_source(dataset: Dataset) -> None:
    """The model to start from must be of the kind that is to be trained. Raises `ConfigError`."""
    config, source, vocabulary = dataset.config, dataset.source, dataset.corpus.vocabulary
    if source is None:
        return
    reserved = set(source.vocabulary.specials)
    if not items_fit(config, vocabulary) or not reserved <= set(vocabulary.specials):
        raise ConfigError(
            f"init_from: {show(source.path)} reads items of a list that begin and end as here none"
            " do; give data.items and data.labels as it has them"
        )
    differing = [
        f"{path} is {written(ours)} (there: {written(theirs)})"
        for path, ours, theirs in differences(config, source.config)
        if path in _same_in_a_source(config)
    ]
    if differing:
        raise ConfigError(
            f"init_from: cannot start from a different kind of model: {'; '.join(differing)}."
            " Use the values of that model."
        )


def _same_in_a_source(config: Config) -> set[str]:
    """The settings that decide which arrays a model has and what it computes with them.

    Layer norm adds ``forget_bias`` at every step; in other cells it only sets where ``b`` starts.
    A model of some bytes is not one of all unless it grows.
    """
    names = {"cell", "input_gate", "skips", "layers", "hidden_size", "embedding_size", "dtype"}
    names |= {"forget_bias", "norm_epsilon"} if config.model.cell == "layer-norm" else set()
    data = config.data
    of_all_bytes = data.byte_values == "all" and data.new_characters != "grow"
    of_data = {"data.unit"} | ({"data.byte_values"} if of_all_bytes else set())
    return of_data | {f"model.{name}" for name in names}
