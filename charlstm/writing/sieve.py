"""Which items are kept: those that are not known, each once. An item is remembered by 64 bits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from charlstm.from_config import division_of, text_rules_of
from charlstm.nn.lanes import Written
from charlstm.saved.checkpoint import LoadedModel
from charlstm.saved.own_text import own_part
from charlstm.text.corpus import encode_corpus
from charlstm.text.items import Items
from charlstm.text.vocabulary import AnyIds

Hashes = NDArray[np.int64]
NAMED_BY = "charlstm sample MODEL --not-in LIST ..."


class Sieve:
    """``known``: sorted hashes of items that are refused; ``prompt``: how every item begins, which
    is written to the rest of it. With ``unique`` an item is kept once.
    """

    def __init__(self, known: Hashes, prompt: AnyIds, *, unique: bool) -> None:
        self._known, self._prompt = known, prompt
        self._kept: set[int] | None = set() if unique else None
        self.drawn = self.in_list = self.repeated = self.refused_in_a_row = 0

    @property
    def refuses_any(self) -> bool:
        return bool(len(self._known)) or self._kept is not None

    @property
    def kept(self) -> int:
        return self.drawn - self.in_list - self.repeated

    def keeps(self, text: Written) -> bool:
        self.drawn += 1
        mark = hash_of(np.concatenate([self._prompt, text.ids]))
        known = self._is_known(mark)
        repeated = not known and self._kept is not None and mark in self._kept
        self.in_list += known
        self.repeated += repeated
        if known or repeated:
            self.refused_in_a_row += 1
            return False
        if self._kept is not None:
            self._kept.add(mark)
        self.refused_in_a_row = 0
        return True

    def _is_known(self, mark: int) -> bool:
        place = int(np.searchsorted(self._known, mark))
        return place < len(self._known) and int(self._known[place]) == mark


def hash_of(ids: AnyIds) -> int:
    """Of what an item says, without its start symbol; the same in this process only."""
    return hash(ids.astype(np.int32).tobytes())


def known_items(loaded: LoadedModel, new: bool, files: Sequence[Path]) -> Hashes:
    """Of the training items of all models, if ``new``, and those in ``files``: sorted, each once.

    Raises `FileError` for lists that cannot be read, or that the model was not trained on.
    """
    lists = list(map(training_items, loaded.all)) if new else []
    if files:
        rules = text_rules_of(loaded.config)
        corpus = encode_corpus(files, loaded.vocabulary, rules)
        whole = division_of(loaded.config).whole(corpus)
        assert isinstance(whole, Items)
        lists.append(whole)
    hashes = [
        np.fromiter((hash_of(own.item(n)[1:]) for n in range(own.count)), np.int64, own.count)
        for own in lists
    ]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *hashes]))


def training_items(loaded: LoadedModel) -> Items:
    """Those of the model's own list. Raises `FileError` if that is not where it was."""
    own = own_part("train", loaded, named_by=NAMED_BY).part
    assert isinstance(own, Items)
    return own
