"""What a model reads before it writes."""

import numpy as np

from charlstm.errors import ConfigError
from charlstm.from_config import item_rules_of
from charlstm.messages import did_you_mean, shorten
from charlstm.saved.checkpoint import LoadedModel
from charlstm.text.encoding import decode_stream
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
    for bytes that are no UTF-8 where the model is one of characters.
    """
    vocabulary, rules = loaded.vocabulary, item_rules_of(loaded.config)
    if isinstance(prompt, bytes):
        prompt = decode_stream(prompt, vocabulary.unit, "the prompt")
    ids = vocabulary.encode(prompt, skip_unknown=skip_unknown)
    if vocabulary.labels:
        first = label_id(vocabulary, label)
    elif label is not None:
        raise ConfigError("label: the items of this model have no labels")
    elif rules is None:
        return ids if len(ids) else vocabulary.default_start()
    else:
        first = rules.end_id(vocabulary)
    return np.concatenate([np.array([first], vocabulary.id_dtype), ids])


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
