"""The training, validation and test parts of a text or a list, cut off or in their own files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from charlstm.errors import FileError
from charlstm.text.corpus import Corpus, split
from charlstm.text.items import Items, drawn, items_of
from charlstm.text.mapped_ids import MappedIds
from charlstm.text.marking import ItemRules
from charlstm.text.packing import Cursor, read
from charlstm.text.vocabulary import Ids

Part = Ids | MappedIds | Items
Name = Literal["train", "validation", "test"]
NAMES: tuple[Name, ...] = ("train", "validation", "test")


def length(part: Part) -> int:
    """In characters; of items with what ends them."""
    return part.predictions if isinstance(part, Items) else len(part)


def beginning(part: Part, characters: int) -> Ids:
    """At most so many of what is predicted in a part."""
    if not isinstance(part, Items):
        return np.asarray(part[:characters])
    at_first = Cursor(np.zeros(1, np.int64), np.zeros(1, np.int64))
    steps = min(characters, part.predictions)
    return np.asarray(read(part, np.arange(part.count), at_first, steps).y[:, 0])


@dataclass(frozen=True)
class Division:
    """How a text becomes parts: ``fractions`` of it for validation and test, of a list by whole
    items that ``seed`` draws.
    """

    items: ItemRules | None
    fractions: tuple[float, float]
    seed: int

    def whole(self, corpus: Corpus) -> Part:
        """All of a text, or its items. Raises `FileError` where there is none."""
        if self.items is None:
            return corpus.ids
        try:
            return items_of(corpus.ids, self.items, corpus.vocabulary)
        except FileError as error:
            raise FileError(f"{corpus.names()}: {error}") from None

    def held_out(self, corpus: Corpus) -> Part:
        """As `whole`, of a text of its own. Raises `FileError` where nothing can be predicted."""
        part = self.whole(corpus)
        if length(part) <= 1:
            found = f"{length(part)} {corpus.vocabulary.unit}"
            raise FileError(f"{corpus.names()}: has {found}; there is nothing to predict")
        return part

    def parts(self, corpus: Corpus, held_out: Mapping[Name, Corpus]) -> dict[Name, Part]:
        """The three parts; those ``held_out`` are texts of their own. Raises `FileError`."""
        own = self.whole(corpus)
        if isinstance(own, Items):
            cut: tuple[Part, ...] = drawn(own, self.seed, self.fractions)
        else:
            cut = split(own, *self.fractions)
        return dict(zip(NAMES, cut, strict=True)) | {
            name: self.held_out(other) for name, other in held_out.items()
        }
