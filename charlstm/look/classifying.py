"""Which label an item has, by Bayes' rule from what it costs under each.

    p(label | text) = p(label) p(text | label) / p(text),  p(text) = sum p(label) p(text | label)

where p(text | label) is the model's, of an item that begins with that label's symbol, and p(label)
the label's share of the training items (each counted once more, so that none is impossible).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import FileError
from charlstm.from_config import text_rules_of
from charlstm.look.item_scores import item_nats, items_named, rules_of
from charlstm.messages import show
from charlstm.saved.checkpoint import LoadedModel
from charlstm.text.encoding import encode_items, encode_list, list_in_files, read_stdin
from charlstm.text.items import Items
from charlstm.text.marking import ItemRules, LabelError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Classified:
    """``nats``: ``(items, labels)``, minus the logarithm of p(label) p(text | label).

    ``true``: the number of the label that each item came with; None where they came without.
    """

    items: Items
    labels: tuple[str, ...]
    nats: Floats
    true: NDArray[np.intp] | None = None

    @property
    def total(self) -> Floats:
        """Nats of each text, whatever its label: ``(items,)``."""
        found: Floats = -np.logaddexp.reduce(-self.nats, axis=1)
        return found

    @property
    def probabilities(self) -> Floats:
        """``(items, labels)``; every row adds up to 1."""
        found: Floats = np.exp(self.total[:, np.newaxis] - self.nats)
        return found

    @property
    def best(self) -> NDArray[np.intp]:
        """The number of the likeliest label."""
        return np.asarray(self.nats.argmin(axis=1))

    @property
    def accuracy(self) -> float | None:
        return None if self.true is None else float((self.best == self.true).mean())

    @property
    def confusion(self) -> NDArray[np.intp] | None:
        """``(labels, labels)``: how many of a label (row) are taken for a label (column)."""
        if self.true is None:
            return None
        size = len(self.labels)
        pairs = np.bincount(self.true * size + self.best, minlength=size**2)
        return np.asarray(pairs.reshape(size, size))


def classify_items(
    loaded: LoadedModel, items: Items, true: NDArray[np.intp] | None = None
) -> Classified:
    """What each item costs with each label in front, whatever it begins with."""
    rules = labelled_rules_of(loaded)
    shares = shares_of_labels(loaded)
    each = []
    for start, share in zip(rules.start_ids(loaded.vocabulary), shares, strict=True):
        ids = np.array(items.ids)
        ids[items.starts.astype(np.intp)] = start
        nats = np.empty(items.count)
        for group in item_nats(loaded.predictor, replace(items, ids=ids)):
            nats[group.numbers] = group.nats
        each.append(nats - np.log(share))
    return Classified(items, loaded.vocabulary.labels, np.stack(each, axis=1), true)


def shares_of_labels(loaded: LoadedModel) -> Floats:
    """``(labels,)``: of the training items; of several models the mean of theirs."""
    each = [one.label_counts or [1] * len(one.vocabulary.labels) for one in loaded.all]
    counts = np.array(each) + 1.0
    found: Floats = (counts / counts.sum(axis=1, keepdims=True)).mean(axis=0)
    return found


def classify_strings(loaded: LoadedModel, texts: Sequence[str]) -> Classified:
    """Each string as an item. Raises `FileError` where it cannot be one."""
    rules = labelled_rules_of(loaded)
    plain = replace(text_rules_of(loaded.config), items=None)
    return classify_items(loaded, encode_items(texts, loaded.vocabulary, plain, rules))


def classify_list(loaded: LoadedModel, names: Sequence[Path]) -> Classified:
    """Files, or with ``-`` standard input. Items come with their labels where the first begins with
    one that the model knows, and a tab; else without. Raises `FileError`.
    """
    labelled, vocabulary = labelled_rules_of(loaded), loaded.vocabulary
    text_rules = text_rules_of(loaded.config)
    stdin = read_stdin(vocabulary.unit) if list(map(str, names)) == ["-"] else None

    def read(rules: ItemRules) -> Items:
        if stdin is None:
            ids = list_in_files(names, vocabulary, text_rules, rules)
        else:
            ids = encode_list(stdin, vocabulary, text_rules, rules)
        return items_named(names, ids, loaded, rules)

    try:
        items = read(labelled)
    except LabelError as error:
        if not error.is_first:
            raise
        plain = labelled._replace(labels=False)
        return classify_items(loaded, read(plain))
    first = labelled.start_ids(vocabulary)[0]
    true = items.begun_with().astype(np.intp) - first
    return classify_items(loaded, items, true)


def labelled_rules_of(loaded: LoadedModel) -> ItemRules:
    """Raises `FileError` for a model without labels."""
    rules = rules_of(loaded)
    if not rules.labels:
        raise FileError(f"{show(loaded.path)}: its items have no labels: see data.labels")
    return rules
