"""The text of a run: read, encoded and cut; and what training on it will take."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from charlstm import from_config
from charlstm.config.auto import OF_THE_MODEL, leaves_speed_open, settled, taken_from
from charlstm.config.fitting import Text
from charlstm.config.schema import with_values
from charlstm.config.settings import AUTO, Config
from charlstm.saved.checkpoint import Checkpoint, LoadedModel, TextIdentity, load_model
from charlstm.text.batches import Batches
from charlstm.text.cache import CorpusCache
from charlstm.text.corpus import Corpus
from charlstm.text.items import Items
from charlstm.text.packing import ItemBatches
from charlstm.text.parts import Name, Part, length
from charlstm.text.vocabulary import UnknownCharacterError
from charlstm.training.console import Say


@dataclass(frozen=True)
class Dataset:
    """The text of a run, cut and encoded, with the configuration that it was read for.

    ``asked`` is the configuration with ``auto`` where the text decided on a number.
    ``source`` is the model that ``init_from`` names, read once.
    """

    asked: Config
    config: Config
    source: LoadedModel | None
    corpus: Corpus
    held_out: Mapping[Name, Corpus]
    train: Part
    validation: Part
    batches: Batches | ItemBatches
    total_steps: int
    source_bits: float | None

    @property
    def text(self) -> Text:
        """What the rule for ``auto`` looks at."""
        return _text(self.train, self.validation, self.corpus)

    @property
    def identity(self) -> TextIdentity:
        others = {str(name): _identity(corpus) for name, corpus in self.held_out.items()}
        return _identity(self.corpus)._replace(held_out=others)

    @property
    def label_counts(self) -> tuple[int, ...]:
        """Of the training items, how many have each label of the vocabulary, if it has any."""
        vocabulary = self.corpus.vocabulary
        if not isinstance(self.train, Items) or not vocabulary.labels:
            return ()
        first = vocabulary.size - len(vocabulary.labels)
        numbers = self.train.begun_with().astype(np.intp) - first
        return tuple(np.bincount(numbers, minlength=len(vocabulary.labels)).tolist())

    @property
    def characters_per_item(self) -> float | None:
        """Of the validation part of a list, the ends counted; None where there is no such part."""
        part = self.validation
        if not isinstance(part, Items) or not part.count:
            return None
        return part.predictions / part.count


def cache_beside(folder: Path, say: Say) -> CorpusCache:
    """Where runs beside each other keep the texts that are too long to encode every time."""
    return CorpusCache(folder.parent / ".corpus-cache", say)


def read_dataset(
    asked: Config, cache: CorpusCache | None = None, known: Checkpoint | None = None
) -> Dataset:
    """Read and cut the text, encoded with the vocabulary of the model to start from, if any.

    What is ``auto`` comes from ``known``, where a run that goes on stands, or is fitted to the
    text; nor is a model to start from needed then any more. Raises `FileError` for a text, or a
    model, that cannot be used.
    """
    source = None if known or asked.init_from is None else load_model(Path(asked.init_from))
    begun_from = known if source is None and asked.init_from else source
    vocabulary = None if begun_from is None else begun_from.vocabulary
    try:
        corpus = from_config.corpus_of(asked, vocabulary, cache)
    except UnknownCharacterError as error:
        raise error.told(advice=_on_new_characters(asked)) from None
    held_out = from_config.held_out_of(asked, corpus.vocabulary, cache)
    parts = from_config.division_of(asked).parts(corpus, held_out)
    train, validation = parts["train"], parts["validation"]
    asked = _without_what_is_known(asked, source, None if known is None else known.config)
    config = settled(asked, _text(train, validation, corpus))
    batches = _batches(config, train)
    return Dataset(
        asked=asked,
        config=config,
        source=source,
        corpus=corpus,
        held_out=held_out,
        train=train,
        validation=validation,
        batches=batches,
        total_steps=from_config.total_steps_of(config, batches.steps_per_epoch),
        source_bits=_source_bits(parts, corpus, held_out),
    )


def _on_new_characters(asked: Config) -> str:
    data = asked.data
    if data.new_characters == "replace":
        return f"nor is data.replacement, {data.replacement!r}; choose one that the model knows"
    return "add data.new_characters=grow to teach them to the model, or =replace"


def _identity(corpus: Corpus) -> TextIdentity:
    return TextIdentity(corpus.sha256, corpus.characters)


def _text(train: Part, validation: Part, corpus: Corpus) -> Text:
    usual = train.usual_length if isinstance(train, Items) else 0
    return Text(length(train), length(validation), corpus.vocabulary.size, usual)


def _source_bits(
    parts: Mapping[Name, Part], corpus: Corpus, held_out: Mapping[Name, Corpus]
) -> float | None:
    """Entropy of the validation part, bits a character; None where it is not known."""
    if "validation" in held_out:
        other = held_out["validation"]
        return other.source_bits_per_character(0, other.characters)
    if isinstance(parts["train"], Items):
        return None
    start = length(parts["train"])
    return corpus.source_bits_per_character(start, start + length(parts["validation"]))


def cut(dataset: Dataset, config: Config) -> Dataset:
    """The same text in batches for other settings, without reading it again."""
    batches = _batches(config, dataset.train)
    steps = from_config.total_steps_of(config, batches.steps_per_epoch)
    return replace(dataset, config=config, batches=batches, total_steps=steps)


def _batches(config: Config, part: Part) -> Batches | ItemBatches:
    sizes = config.training.batch_size, config.training.sequence_length
    if isinstance(part, Items):
        return ItemBatches(part, *sizes, config.seed)
    return Batches(part, *sizes)


def _without_what_is_known(
    asked: Config, source: LoadedModel | None, known: Config | None
) -> Config:
    """What is ``auto`` but decided already: by a model to start from, or a run that goes on."""
    if leaves_speed_open(asked) and asked.training.blas_threads == AUTO:
        asked = with_values(asked, {"training.blas_threads": 1})  # as BLAS was started by then
    if source is not None:
        asked = taken_from(asked, source.config, OF_THE_MODEL)
    if known is None:
        return asked
    if known.training.minutes == asked.training.minutes is not None:
        asked = with_values(asked, {"training.epochs": AUTO})  # as it was measured then
    return taken_from(asked, known)
