"""Where a run begins: afresh, from another model's weights, or at a checkpoint of its own."""

from dataclasses import dataclass
from pathlib import Path

from charlstm.config.schema import differences, may_change
from charlstm.config.settings import Config
from charlstm.errors import ConfigError, FileError, RunFolderTakenError
from charlstm.messages import show
from charlstm.saved.checkpoint import Checkpoint, LoadedModel, load_model, read_checkpoint
from charlstm.saved.run_folder import Found, RunFolder
from charlstm.text.vocabulary import Vocabulary
from charlstm.training.console import Say
from charlstm.training.dataset import Dataset


@dataclass(frozen=True)
class Options:
    """How to treat a folder that holds a run, and how much to say."""

    resume: bool = False
    overwrite: bool = False
    exact: bool = False
    quiet: bool = False


def starting_point(
    folder: RunFolder,
    config: Config,
    dataset: Dataset,
    options: Options,
    say: Say,
) -> Found[Checkpoint] | None:
    """The checkpoint to go on from; None to start at step 0."""
    if not folder.holds_a_run():
        source_of(config, dataset.corpus.vocabulary)
        return None
    if options.overwrite:
        source = source_of(config, dataset.corpus.vocabulary)
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
    _check_same_experiment(found.loaded, config, dataset)
    _mend_best(folder, found)
    return found


def _check_same_experiment(checkpoint: Checkpoint, config: Config, dataset: Dataset) -> None:
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
    then, now = checkpoint.corpus, dataset.identity
    if then["sha256"] != now["sha256"]:
        names = ", ".join(map(show, dataset.corpus.files))
        raise FileError(
            f"{names}: not the text this run was trained on ({then['characters']:,} characters,"
            f" sha256 {then['sha256'][:8]}..; now {now['characters']:,},"
            f" {str(now['sha256'])[:8]}..)."
            " Start a new run with --out, perhaps with init_from."
        )
    if checkpoint.vocabulary != dataset.corpus.vocabulary:
        raise FileError(
            "the vocabulary is not the one this run was trained with; did the model that init_from"
            " names change? Start a new run with --out."
        )


def _mend_best(folder: RunFolder, found: Found[Checkpoint]) -> None:
    """Catch up on what a kill between saving a checkpoint and marking it as best prevented."""
    progress = found.loaded.progress
    if progress.best_step == progress.step and found.path != folder.best:
        folder.mark_best(progress.step)


def is_finished(checkpoint: Checkpoint, config: Config, total_steps: int) -> bool:
    """Done for the present settings: more steps than before mean there is more to do."""
    progress = checkpoint.progress
    return progress.step >= total_steps or (
        0 < config.training.early_stopping <= progress.evaluations_since_best
    )


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


def source_of(config: Config, vocabulary: Vocabulary) -> LoadedModel | None:
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
