"""What a training will be and take, told before it begins."""

import os
from collections.abc import Sequence
from pathlib import Path

from charlstm.config.auto import reason, unsettled
from charlstm.config.schema import value_of
from charlstm.config.settings import Config
from charlstm.config.writing import written
from charlstm.errors import ConfigError
from charlstm.from_config import shape_of
from charlstm.messages import printable
from charlstm.nn.model import parameter_count
from charlstm.nn.optim import OPTIMIZERS
from charlstm.text.items import Items
from charlstm.text.parts import Part
from charlstm.training.dataset import Dataset


def memory_bytes(config: Config, vocabulary_size: int) -> int:
    """Roughly what training takes beside the text, from sizes alone; nothing is allocated.

    Parameters, gradients, the optimizer's moments, an average; for each layer and step of the tape
    four gates, h, c, s and dx (layer norm twice the gates more); logits, and the gradient from
    above; with skips, what is put side by side.
    """
    training, model = config.training, config.model
    shape = shape_of(config, vocabulary_size)
    parameters = parameter_count(shape)
    averages = training.average != "none"
    copies = 2 + averages + len(OPTIMIZERS[training.optimizer][0].remembers)
    cells = training.batch_size * training.sequence_length
    per_cell = model.hidden_size * (8 if model.cell != "layer-norm" else 13) * model.layers
    masks = model.hidden_size * model.layers * 2 if model.dropout else 0
    top = 2 * vocabulary_size + shape.top_size + 2 * model.embedding_size
    if model.skips:
        joined = model.hidden_size + 2 * model.embedding_size
        top += (model.layers - 1) * joined + shape.top_size
    item = 8 if model.dtype == "float64" else 4
    return item * (parameters * copies + cells * (per_cell + masks + top))


TOLD = (
    *("layers", "hidden_size", "embedding_size", "dropout"),
    *("batch_size", "sequence_length", "learning_rate", "epochs"),
)


def decided(dataset: Dataset) -> list[str]:
    """One line on what ``auto`` came to, and why; none where nothing of weight was left open."""
    config, text = dataset.config, dataset.text
    names = {path.rpartition(".")[2]: path for path in unsettled(dataset.asked)}
    if config.training.steps is not None:
        names.pop("epochs", None)
    chosen = [f"{name} {written(value_of(config, names[name]))}" for name in TOLD if name in names]
    why = f"; {reason(config, text)}" if "hidden_size" in names else ""
    return [f"Chosen for this text: {', '.join(chosen)}{why}."] if chosen else []


def describe(dataset: Dataset) -> str:
    """One line: the text, the model, the length."""
    model, vocabulary = dataset.config.model, dataset.corpus.vocabulary
    parameters = parameter_count(shape_of(dataset.config, vocabulary.size))
    return (
        f"{_names(dataset.corpus.files)}: {dataset.corpus.characters:,} {vocabulary.unit},"
        f" {vocabulary.size} different;{_items(dataset.train)}"
        f" {model.cell} {model.layers} x {model.hidden_size}; {parameters:,} parameters;"
        f" {dataset.total_steps:,} steps"
    )


def _items(part: Part) -> str:
    return f" {part.count:,} items to learn from;" if isinstance(part, Items) else ""


def _names(files: Sequence[Path]) -> str:
    """The first three, and how many more there are."""
    more = len(files) - 3
    names = ", ".join(printable(path.name) for path in files[:3])
    return names + (f" and {more} more" if more > 0 else "")


def check_memory(config: Config, vocabulary_size: int) -> int:
    """The estimate in bytes. Raises `ConfigError` if this machine cannot have as much."""
    needed = memory_bytes(config, vocabulary_size)
    present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > present:
        raise ConfigError(
            f"this model needs about {needed / 1e9:,.1f} GB and this machine has"
            f" {present / 1e9:,.1f} GB; lower model.hidden_size, model.layers,"
            " training.batch_size or training.sequence_length"
        )
    return needed
