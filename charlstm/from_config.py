"""From a configuration to the things it describes, none of which keeps a Config."""

import math

from charlstm.config.settings import Config
from charlstm.nn import cuts
from charlstm.nn.averaging import Average
from charlstm.nn.dropout import Dropout
from charlstm.nn.model import CharLM, Shape
from charlstm.nn.optim import Optimizer, make_optimizer
from charlstm.nn.schedule import Schedule, make_schedule
from charlstm.text import parts
from charlstm.text.cache import CorpusCache
from charlstm.text.code_points import TextRules
from charlstm.text.corpus import Corpus, encode_corpus, read_corpus
from charlstm.text.marking import ItemRules
from charlstm.text.vocabulary import Vocabulary


def corpus_of(
    config: Config, vocabulary: Vocabulary | None = None, cache: CorpusCache | None = None
) -> Corpus:
    """The text that a config names, encoded with its own characters, with those of a vocabulary
    that is given, or with both.
    """
    data, rules = config.data, text_rules_of(config)
    grows = data.new_characters == "grow"
    if vocabulary is None or (grows and vocabulary.unit == data.unit):
        return read_corpus(
            data.files,
            rules,
            min_count=data.min_count,
            observed_bytes=data.byte_values == "observed",
            known=vocabulary,
            cache=cache,
        )
    return encode_corpus(data.files, vocabulary, rules, cache=cache)


def held_out_of(
    config: Config, vocabulary: Vocabulary, cache: CorpusCache | None = None
) -> dict[parts.Name, Corpus]:
    """The validation and test texts that have files of their own, as the model reads them."""
    data, rules = config.data, text_rules_of(config)
    named: dict[parts.Name, tuple[str, ...] | None] = {
        "validation": data.validation_files,
        "test": data.test_files,
    }
    return {
        name: encode_corpus(files, vocabulary, rules, cache=cache)
        for name, files in named.items()
        if files
    }


def division_of(config: Config) -> parts.Division:
    return parts.Division(item_rules_of(config), config.data.fractions, config.seed)


def text_rules_of(config: Config) -> TextRules:
    """Characters are replaced only where the vocabulary may leave any out."""
    data = config.data
    leaves_out = data.min_count > 1 or data.new_characters == "replace"
    replacement = data.replacement if leaves_out else None
    return TextRules(data.unit, data.newlines, data.normalize, replacement, item_rules_of(config))


def item_rules_of(config: Config) -> ItemRules | None:
    """How the text is a list; None where it is one text."""
    data = config.data
    if data.items == "none":
        return None
    return ItemRules(data.items, data.labels, in_bytes=data.unit == "bytes")


def items_fit(config: Config, vocabulary: Vocabulary) -> bool:
    """Whether a vocabulary's reserved symbols are those of such items; a text has none."""
    rules = item_rules_of(config)
    return not vocabulary.specials if rules is None else rules.fits(vocabulary)


def shape_of(config: Config, vocabulary_size: int) -> Shape:
    model = config.model
    return Shape(
        vocabulary_size=vocabulary_size,
        cell=model.cell,
        layers=model.layers,
        hidden_size=model.hidden_size,
        embedding_size=model.embedding_size,
        forget_bias=model.forget_bias,
        norm_epsilon=model.norm_epsilon,
        dtype=model.dtype,
        input_gate=model.input_gate,
        skips=model.skips,
    )


def model_of(config: Config, vocabulary_size: int) -> CharLM:
    shape = shape_of(config, vocabulary_size)
    return CharLM(shape, seed=config.seed, cuts=cuts.parse(config.training.products))


def dropout_of(config: Config) -> Dropout:
    return Dropout(config.model.dropout, config.model.recurrent_dropout, config.seed)


def optimizer_of(config: Config, model: CharLM) -> Optimizer:
    training = config.training
    numbers = vars(training) | {"decay": training.rmsprop_decay}
    return make_optimizer(training.optimizer, model.values.size, model.values.dtype, numbers)


def average_of(config: Config, model: CharLM, steps_per_epoch: int) -> Average | None:
    training = config.training
    if training.average == "none":
        return None
    steps = total_steps_of(config, steps_per_epoch)
    return Average(model, training.average, steps=steps, fraction=training.average_fraction)


def total_steps_of(config: Config, steps_per_epoch: int) -> int:
    """Length in steps; a part of an epoch counts as its share of steps, rounded up."""
    if config.training.steps is not None:
        return config.training.steps
    return math.ceil(config.training.epochs * steps_per_epoch)


def epochs_of(steps: int, steps_per_epoch: int) -> float:
    """A short number that `total_steps_of` counts as so many steps."""
    for digits in range(4, 17):
        epochs = float(f"{(steps - 0.5) / steps_per_epoch:.{digits}g}")
        if math.ceil(epochs * steps_per_epoch) == steps:
            break
    return epochs


def schedule_of(config: Config, steps_per_epoch: int) -> Schedule:
    of_the_run = {
        "base": config.training.learning_rate,
        "total_steps": total_steps_of(config, steps_per_epoch),
        "steps_per_epoch": steps_per_epoch,
    }
    return make_schedule(config.schedule.kind, vars(config.schedule) | of_the_run)
