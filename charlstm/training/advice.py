"""What a user may want to know before a training begins: settings and texts that rarely turn out
well. Nothing here ends a run.
"""

from collections.abc import Iterator

import numpy as np

from charlstm.config.auto import unsettled
from charlstm.config.schema import SETTINGS, value_of
from charlstm.config.settings import Config
from charlstm.from_config import shape_of
from charlstm.nn.model import parameter_count
from charlstm.nn.parameter import Array
from charlstm.text.items import Items
from charlstm.training.dataset import Dataset

FEW_EVALUATIONS = 5
FAR_TOO_MANY_PARAMETERS = 40  # for each character; the rule for auto stays below 25
MARKED_DIFFERENCE = 1.2
"""Times the loss of other text. Tails of novels, plays, letters and programs stay below 1.1."""
ENOUGH = 300_000  # characters on each side that tell how pairs of characters are distributed
MANY_SYMBOLS = 1_000
ENOUGH_LINES, SHORT_LINES = 100, 40
PRIOR = 5.0

ONLY_FOR = {
    "model.norm_epsilon": ("model.cell", ("layer-norm",)),
    "training.momentum": ("training.optimizer", ("momentum",)),
    "training.rmsprop_decay": ("training.optimizer", ("rmsprop",)),
    "training.beta1": ("training.optimizer", ("adam", "adamw")),
    "training.beta2": ("training.optimizer", ("adam", "adamw")),
    "training.epsilon": ("training.optimizer", ("rmsprop", "adagrad", "adam", "adamw")),
    "schedule.decay": ("schedule.kind", ("step", "exponential", "plateau")),
    "schedule.start_epoch": ("schedule.kind", ("step",)),
    "schedule.every_epochs": ("schedule.kind", ("step",)),
    "schedule.decay_steps": ("schedule.kind", ("exponential",)),
    "schedule.threshold": ("schedule.kind", ("plateau",)),
    "training.average_fraction": ("training.average", ("ema", "last-fraction")),
}
"""A setting, and the values of another one with which alone it does anything."""


def advice(dataset: Dataset) -> Iterator[str]:
    """Lines without a full stop, what to do included."""
    yield from _on_evaluations(dataset)
    yield from _on_the_rate(dataset)
    yield from _on_size(dataset)
    yield from _on_line_ends(dataset)
    yield from _on_a_list(dataset)
    yield from _on_the_tail(dataset)
    yield from _without_effect(dataset.asked)


def _on_evaluations(dataset: Dataset) -> Iterator[str]:
    every, steps = dataset.config.evaluation.every, dataset.total_steps
    number = -(-steps // every) if every else FEW_EVALUATIONS  # 0 is somebody's wish
    if dataset.text.validation and number < FEW_EVALUATIONS:
        yield (
            f"in {steps:,} steps the validation loss is computed {number} times only, too rarely to"
            f" see overfitting; set evaluation.every to {max(1, steps // 20)} or auto"
        )


def _on_the_rate(dataset: Dataset) -> Iterator[str]:
    warmup, steps = dataset.config.schedule.warmup_steps, dataset.total_steps
    if warmup >= steps:
        yield (
            f"in {steps:,} steps the learning rate never gets as high as it rises in"
            f" schedule.warmup_steps, {warmup:,}; set that to {max(1, steps // 20)} or auto"
        )


def _on_size(dataset: Dataset) -> Iterator[str]:
    parameters = parameter_count(shape_of(dataset.config, dataset.corpus.vocabulary.size))
    characters = dataset.text.characters
    is_fitted = {"model.layers", "model.hidden_size"} <= set(unsettled(dataset.asked))
    if not is_fitted and parameters > FAR_TOO_MANY_PARAMETERS * characters:
        yield (
            f"a model of {parameters:,} parameters will learn {characters:,} characters by heart;"
            " lower model.hidden_size or model.layers, or leave them to auto"
        )


def _on_line_ends(dataset: Dataset) -> Iterator[str]:
    data, vocabulary = dataset.config.data, dataset.corpus.vocabulary
    codes = set(vocabulary.code_points.tolist())
    if data.unit == "characters" and data.newlines == "keep" and ord("\r") in codes:
        mixed = " beside LF" if ord("\n") in codes else ""
        yield (
            f"the text has CR{mixed} for its line ends, which the model has to learn as well;"
            " set data.newlines=normalize"
        )


def _on_a_list(dataset: Dataset) -> Iterator[str]:
    """Verse and programs have empty lines, and the lines of prose are longer."""
    vocabulary, train = dataset.corpus.vocabulary, dataset.train
    if isinstance(train, Items) or not vocabulary.knows("\n"):
        return
    ids = np.asarray(train[:ENOUGH])
    lengths = np.diff(np.flatnonzero(ids == vocabulary.encode("\n")[0])) - 1
    many = len(lengths) >= ENOUGH_LINES
    if many and lengths.min() > 0 and lengths.mean() < SHORT_LINES:
        yield (
            f"the text looks like a list, lines of {lengths.mean():.0f} characters and none empty;"
            " if each stands for itself, data.items=lines reads and writes it so"
        )


def _on_the_tail(dataset: Dataset) -> Iterator[str]:
    ratio = tail_ratio(dataset)
    if ratio > MARKED_DIFFERENCE:
        yield (
            "the validation part, the end of the text, differs from the rest: pairs of characters"
            f" predict it {ratio - 1:.0%} worse than another part; put the text in another order,"
            " or read the validation loss with that in mind"
        )


def tail_ratio(dataset: Dataset) -> float:
    """How much larger the bigram loss of the validation part is than that of a training part.

    Both are predicted from the rest of the training part; 1.0 where there is too little to say.
    """
    train, validation = dataset.train, dataset.validation
    if isinstance(train, Items) or isinstance(validation, Items) or dataset.held_out:
        return 1.0
    size, symbols = min(len(validation), ENOUGH), dataset.corpus.vocabulary.size
    half = len(train) // 2
    if symbols > MANY_SYMBOLS or size < 1_000 or half < 2 * size:
        return 1.0
    middle = np.asarray(train[half : half + size], np.intp)
    rest = [train[max(0, half - ENOUGH) : half], train[half + size :][:ENOUGH]]
    counts = sum((_pairs(np.asarray(part, np.intp), symbols) for part in rest), np.zeros(()))
    tail = np.asarray(validation[:size], np.intp)
    return _bigram_loss(tail, counts) / max(_bigram_loss(middle, counts), 1e-9)


def _pairs(ids: Array, symbols: int) -> Array:
    """How often each character follows each, ``(V, V)``."""
    pairs: Array = np.bincount(ids[:-1] * symbols + ids[1:], minlength=symbols**2)
    return pairs.reshape(symbols, symbols)


def _bigram_loss(ids: Array, counts: Array) -> float:
    """Nats a character: (c(ab) + k p(b)) / (c(a) + k), where p is smoothed by one of each."""
    single = (counts.sum(0) + 1.0) / (counts.sum() + len(counts))
    before, after = ids[:-1], ids[1:]
    seen = counts[before, after] + PRIOR * single[after]
    return float(-np.log(seen / (counts.sum(1)[before] + PRIOR)).mean())


def _without_effect(asked: Config) -> Iterator[str]:
    for path, (other, values) in ONLY_FOR.items():
        found = value_of(asked, other)
        if value_of(asked, path) != SETTINGS[path].default and found not in values:
            yield f"{path} makes no difference with {other}={found}; it is for {', '.join(values)}"
    if asked.data.new_characters != "refuse" and asked.init_from is None:
        yield "data.new_characters makes no difference without init_from"
