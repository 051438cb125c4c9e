"""What a model reads before it writes."""

from dataclasses import replace

import numpy as np

from charlstm.errors import ConfigError
from charlstm.from_config import item_rules_of, text_rules_of
from charlstm.messages import did_you_mean, shorten
from charlstm.saved.checkpoint import LoadedModel
from charlstm.text.encoding import decode_stream, encode_string, is_parted, read_stdin
from charlstm.text.vocabulary import LABEL, Ids, Vocabulary


def start_of(
    loaded: LoadedModel,
    prompt: str | bytes,
    *,
    skip_unknown: bool = False,
    label: str | None = None,
) -> Ids:
    """The ids of ``prompt``; without one those of a line end. Of a model of a list, the symbol that
    begins an item first: that of its ``label``, where items have labels.

    Raises `UnknownCharacterError` unless ``skip_unknown``, `ConfigError` for labels, `FileError`
    for bytes that are no UTF-8 where the model is one of characters. A prompt that holds what ends
    an item is a `ConfigError` as well.
    """
    vocabulary, rules = loaded.vocabulary, item_rules_of(loaded.config)
    if isinstance(prompt, bytes):
        prompt = decode_stream(prompt, vocabulary.unit, "the prompt")
    ids = prompt_ids(loaded, prompt, skip_unknown=skip_unknown)
    if rules is not None and (rules.end_id(vocabulary) in ids or is_parted(prompt, rules)):
        raise ConfigError("prompt: holds what ends an item; an item goes on from one alone")
    if vocabulary.labels:
        first = label_id(vocabulary, label)
    elif label is not None:
        raise ConfigError("label: the items of this model have no labels")
    elif rules is None:
        return ids if len(ids) else vocabulary.default_start()
    else:
        first = rules.end_id(vocabulary)
    return np.concatenate([np.array([first], vocabulary.id_dtype), ids])


def prompt_ids(loaded: LoadedModel, prompt: str, *, skip_unknown: bool = False) -> Ids:
    """Read as texts are: its line ends, its normalization and its rare characters."""
    rules = replace(text_rules_of(loaded.config), items=None)
    if not skip_unknown:
        return encode_string(prompt, loaded.vocabulary, rules)
    return loaded.vocabulary.encode("".join(rules.applied([prompt])), skip_unknown=True)


def prompt_from_stdin(loaded: LoadedModel) -> str:
    """As it is; of a model of a list without a line end at its end, with which `echo` ends it."""
    prompt = read_stdin(loaded.vocabulary.unit)
    if item_rules_of(loaded.config) is None:
        return prompt
    return prompt.removesuffix("\n").removesuffix("\r")


def label_id(vocabulary: Vocabulary, label: str | None) -> int:
    names = vocabulary.labels
    if label in names:
        return vocabulary.special(f"{LABEL}{label}")
    listed = ", ".join(map(shorten, names[:5])) + ", ..." * (len(names) > 5)
    if label is None:
        raise ConfigError(f"label: items of this model begin with one; choose among {listed}")
    raise ConfigError(
        f"label: {shorten(label)} is none of the model's;"
        f" {did_you_mean(label, names, f'choose among {listed}')}"
    )
