"""charlstm from Python: ``load`` a model to sample from and to score texts with, or ``train`` one.

Everything a user can cause is raised as a `charlstm.errors.UserError`, whose text is one line.
"""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlstm.config.settings import Config
from charlstm.errors import ConfigError
from charlstm.look.item_scores import ItemScore
from charlstm.look.score import Part, Score
from charlstm.nn.pace import Pace
from charlstm.saved.checkpoint import load_mixture
from charlstm.saved.progress import Progress
from charlstm.trained_model import Model, Name
from charlstm.writing.following import Next
from charlstm.writing.items import Item, Selection

__all__ = [
    "Item",
    "ItemScore",
    "Model",
    "Next",
    "Pace",
    "Part",
    "Score",
    "Selection",
    "Training",
    "load",
    "train",
]


def load(path: Name, *others: Name) -> Model:
    """The model of a checkpoint, or of a run folder's best checkpoint. With ``others``, of the same
    vocabulary, they write and score together, by the mean of their probabilities.

    >>> import charlstm
    >>> model = charlstm.load("runs/abc")
    >>> model
    <Model runs/abc/best.safetensors: lstm 1 x 12, 4 characters, step 60>

    >>> charlstm.load("runs/abc", "runs/abc").sample("ab", length=4, temperature=0)
    'cabc'

    Raises `FileError` for a file that is missing, damaged or of another kind.
    """
    return Model(load_mixture([Path(path), *map(Path, others)]))


@dataclass(frozen=True)
class Training:
    """What came out of `train`. Losses are in nats per character, None if never computed."""

    folder: Path
    reason: str
    """``finished``, ``no improvement`` (early stopping) or ``already finished``."""
    progress: Progress

    def __repr__(self) -> str:
        best = self.best_val_loss
        loss = "" if best is None else f", best validation loss {best:.4f}"
        return f"<Training {self.folder}: {self.reason}, step {self.step}{loss}>"

    @property
    def step(self) -> int:
        return self.progress.step

    @property
    def train_loss(self) -> float | None:
        """Mean since the last report."""
        return self.progress.train_loss

    @property
    def best_val_loss(self) -> float | None:
        return self.progress.best_val_loss

    def model(self) -> Model:
        """The run's best model."""
        return load(self.folder)


def train(
    config: Name | Mapping[str, Any] | Config,
    *,
    out: Name | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
    **settings: Any,
) -> Training:
    """Train in the folder ``out``, as ``charlstm train`` does.

    ``config`` is a YAML file, the settings themselves as nested mappings, or a `Config`; the
    keyword arguments replace some of them. Paths are seen from the working directory, those in a
    file from its folder. ``out`` may be left out for a file (``runs/<its name>``).

    >>> import charlstm
    >>> training = charlstm.train(
    ...     {"data": {"files": "abc.txt"}},
    ...     out="runs/small",
    ...     model={"layers": 1, "hidden_size": 5},
    ...     training={"steps": 3, "batch_size": 2, "sequence_length": 4},
    ... )
    >>> training.reason, training.step, training.folder
    ('finished', 3, PosixPath('runs/small'))
    >>> training.model().config.model.hidden_size
    5

    A signal saves and stops the training, and then does what it would have done without it:
    Ctrl-C raises KeyboardInterrupt. Call again with ``resume=True`` to go on. Signals reach only a
    training in the main thread. NumPy is running already, so ``training.blas_threads`` acts on
    other workers only: set OPENBLAS_NUM_THREADS before you import NumPy.

    Raises what the command line ends with: `ConfigError`, `FileError`, `DivergedError`,
    `SystemRefusedError`, `RunFolderTakenError`.
    """
    from charlstm.training import arguments, run  # noqa: PLC0415 - takes longer than to load a model and use it
    from charlstm.training.console import say, say_nothing  # noqa: PLC0415
    from charlstm.training.resuming import Options  # noqa: PLC0415

    if resume and overwrite:
        raise ConfigError("resume and overwrite exclude each other")
    checked = arguments.config_of(config, settings)
    folder = arguments.folder_of(config, checked, out)
    options = Options(resume=resume, overwrite=overwrite, quiet=quiet)
    with arguments.in_the_words_of_python():
        outcome = run.run_training(checked, folder, options, say_nothing if quiet else say)
    if not quiet:
        say(run.ending(outcome, folder, "call charlstm.train again with resume=True"))
    if outcome.stopped_by is not None:
        signal.raise_signal(outcome.stopped_by)
    return Training(folder, outcome.reason, outcome.progress)
