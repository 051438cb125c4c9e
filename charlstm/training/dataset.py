"""The text of a run: read, encoded and cut; and what training on it will take."""

from dataclasses import dataclass, replace
from pathlib import Path

from charlstm import from_config
from charlstm.config.auto import OF_THE_MODEL, leaves_speed_open, settled, taken_from
from charlstm.config.fitting import Text
from charlstm.config.schema import with_values
from charlstm.config.settings import AUTO, Config
from charlstm.saved.checkpoint import LoadedModel, TextIdentity, load_model
from charlstm.text.batches import Batches
from charlstm.text.cache import CorpusCache
from charlstm.text.corpus import Corpus, split
from charlstm.text.mapped_ids import MappedIds
from charlstm.text.vocabulary import Ids, UnknownCharacterError
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
    train: Ids | MappedIds
    validation: Ids | MappedIds
    batches: Batches
    total_steps: int
    source_bits: float | None

    @property
    def text(self) -> Text:
        """What the rule for ``auto`` looks at."""
        return Text(len(self.train), len(self.validation), self.corpus.vocabulary.size)

    @property
    def identity(self) -> TextIdentity:
        return TextIdentity(self.corpus.sha256, self.corpus.characters)


def cache_beside(folder: Path, say: Say) -> CorpusCache:
    """Where runs beside each other keep the texts that are too long to encode every time."""
    return CorpusCache(folder.parent / ".corpus-cache", say)


def read_dataset(
    asked: Config, cache: CorpusCache | None = None, known: Config | None = None
) -> Dataset:
    """Read and cut the text, encoded with the vocabulary of the model to start from, if any.

    What is ``auto`` comes from ``known``, the configuration of a run that goes on, or is fitted to
    the text. Raises `FileError` for a text, or a model, that cannot be used.
    """
    source = None if asked.init_from is None else load_model(Path(asked.init_from))
    vocabulary = None if source is None else source.vocabulary
    try:
        corpus = from_config.corpus_of(asked, vocabulary, cache)
    except UnknownCharacterError as error:
        advice = _on_new_characters(asked)
        raise UnknownCharacterError(error.code_points, error.where, advice) from None
    data = asked.data
    train_ids, validation, _ = split(corpus.ids, data.validation_fraction, data.test_fraction)
    text = Text(len(train_ids), len(validation), corpus.vocabulary.size)
    asked = _without_what_is_known(asked, source, known)
    config = settled(asked, text)
    batches = _batches(config, train_ids)
    start = len(train_ids)
    return Dataset(
        asked=asked,
        config=config,
        source=source,
        corpus=corpus,
        train=train_ids,
        validation=validation,
        batches=batches,
        total_steps=from_config.total_steps_of(config, batches.steps_per_epoch),
        source_bits=corpus.source_bits_per_character(start, start + len(validation)),
    )


def _on_new_characters(asked: Config) -> str:
    data = asked.data
    if data.new_characters == "replace":
        return f"nor is data.replacement, {data.replacement!r}; choose one that the model knows"
    return "add data.new_characters=grow to teach them to the model, or =replace"


def cut(dataset: Dataset, config: Config) -> Dataset:
    """The same text in batches for other settings, without reading it again."""
    batches = _batches(config, dataset.train)
    steps = from_config.total_steps_of(config, batches.steps_per_epoch)
    return replace(dataset, config=config, batches=batches, total_steps=steps)


def _batches(config: Config, ids: Ids | MappedIds) -> Batches:
    return Batches(ids, config.training.batch_size, config.training.sequence_length)


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
