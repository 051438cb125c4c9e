"""What is told of a text with characters that the model to start from has never seen."""

from collections.abc import Iterator

import numpy as np

from charlstm import from_config
from charlstm.messages import show
from charlstm.nn.model import CharLM
from charlstm.nn.parameter import Array
from charlstm.system.comm import Alone
from charlstm.text.items import Items
from charlstm.text.parts import beginning
from charlstm.text.vocabulary import named
from charlstm.training.console import Say
from charlstm.training.dataset import Dataset
from charlstm.training.evaluation import LaneEvaluation
from charlstm.training.setup import ENOUGH_TO_COUNT, give_first_values

MEASURED = 50_000  # characters


def tell_of_growth(dataset: Dataset, say: Say) -> None:
    """Before the first step: what is new, and what it costs."""
    for line in [*on_new_characters(dataset), *_on_the_losses(dataset)]:
        say(line)


def on_new_characters(dataset: Dataset) -> Iterator[str]:
    """What becomes of them; nothing to say where there are none."""
    source, vocabulary, data = dataset.source, dataset.corpus.vocabulary, dataset.config.data
    if source is None:
        return
    name = show(dataset.config.init_from or source.path)
    if data.new_characters == "replace":
        yield f"What {name} does not know is read as {data.replacement!r}."
    new = _new_ids(dataset)
    if len(new):
        share = np.isin(beginning(dataset.train, ENOUGH_TO_COUNT), new).mean()
        characters = vocabulary.code_points[new[new < len(vocabulary.code_points)]].tolist()
        told = [named(characters)] if characters else []
        told += [name for name in vocabulary.specials if name not in source.vocabulary.specials]
        yield (
            f"New to {name}: {', '.join(told)}; {share:.2%}"
            f" of the text. Its vocabulary grows from {source.vocabulary.size} to"
            f" {vocabulary.size} {vocabulary.unit}."
        )


def _on_the_losses(dataset: Dataset) -> Iterator[str]:
    new, source = _new_ids(dataset), dataset.source
    if isinstance(dataset.validation, Items):
        return
    text = np.asarray(dataset.validation[:MEASURED])
    old_text = text[~np.isin(text, new)]
    if source is None or not len(new) or len(old_text) < 2:
        return
    grown = from_config.model_of(dataset.config, dataset.corpus.vocabulary.size)
    give_first_values(grown, dataset)
    places = source.vocabulary.ids_in(dataset.corpus.vocabulary)
    before = _loss(source.model, np.searchsorted(places, old_text), dataset)
    after = _loss(grown, text, dataset)
    part = "the validation part"
    if len(text) < len(dataset.validation):
        part = f"the first {len(text):,} {dataset.corpus.vocabulary.unit} of {part}"
    yield f"Before the first step, on {part}, in nats:"
    yield f"  {before:.4f}  the old model, on the text without what is new"
    yield f"  {after:.4f}  the grown one, on all of it"


def _loss(model: CharLM, ids: Array, dataset: Dataset) -> float:
    training = dataset.config.training
    lanes, steps = training.batch_size, training.sequence_length
    return LaneEvaluation(model, ids, lanes, steps, Alone()).mean_loss()


def _new_ids(dataset: Dataset) -> Array:
    vocabulary, source = dataset.corpus.vocabulary, dataset.source
    ids = np.arange(vocabulary.size)
    return ids if source is None else np.setdiff1d(ids, source.vocabulary.ids_in(vocabulary))
