"""The text of a run: read, encoded and cut; and what training on it will take."""

from dataclasses import dataclass
from pathlib import Path

from charlstm import from_config
from charlstm.config.settings import Config
from charlstm.saved.checkpoint import LoadedModel, TextIdentity, load_model
from charlstm.text.batches import Batches
from charlstm.text.cache import CorpusCache
from charlstm.text.corpus import Corpus, split
from charlstm.text.mapped_ids import MappedIds
from charlstm.text.vocabulary import Ids
from charlstm.training.console import Say


@dataclass(frozen=True)
class Dataset:
    """The text of a run, cut and encoded, with the configuration that it was read for.

    ``source`` is the model that ``init_from`` names, read once.
    """

    config: Config
    source: LoadedModel | None
    corpus: Corpus
    train: Ids | MappedIds
    validation: Ids | MappedIds
    batches: Batches
    total_steps: int
    source_bits: float | None

    @property
    def identity(self) -> TextIdentity:
        return TextIdentity(self.corpus.sha256, self.corpus.characters)


def cache_beside(folder: Path, say: Say) -> CorpusCache:
    """Where runs beside each other keep the texts that are too long to encode every time."""
    return CorpusCache(folder.parent / ".corpus-cache", say)


def read_dataset(config: Config, cache: CorpusCache | None = None) -> Dataset:
    """Read and cut the text, encoded with the vocabulary of the model to start from, if any.

    Raises `FileError` for a text, or a model, that cannot be used.
    """
    source = None if config.init_from is None else load_model(Path(config.init_from))
    vocabulary = None if source is None else source.vocabulary
    corpus = from_config.corpus_of(config, vocabulary, cache)
    data, training = config.data, config.training
    train_ids, validation, _ = split(corpus.ids, data.validation_fraction, data.test_fraction)
    batches = Batches(train_ids, training.batch_size, training.sequence_length)
    start = len(train_ids)
    return Dataset(
        config=config,
        source=source,
        corpus=corpus,
        train=train_ids,
        validation=validation,
        batches=batches,
        total_steps=from_config.total_steps_of(config, batches.steps_per_epoch),
        source_bits=corpus.source_bits_per_character(start, start + len(validation)),
    )
