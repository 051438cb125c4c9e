"""A list of items as ids: where each begins, and how the list is parted."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import FileError
from charlstm.text.mapped_ids import MappedIds
from charlstm.text.marking import ItemRules
from charlstm.text.vocabulary import Ids, Vocabulary

Places = NDArray[np.unsignedinteger[Any]]
AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class Items:
    """Items of a list: ``ids[starts[n]]`` is what item n is read from, its characters follow, and
    after the last of its ``lengths[n]`` symbols the ``end`` is predicted. So it has as many
    predictions as symbols: of each character, and of the end.

    ``starts`` and ``lengths`` are ``(items,)`` of the smallest integers that hold them. ``ids`` may
    be mapped from a file, and may hold other items, too.
    """

    ids: Ids | MappedIds
    starts: Places
    lengths: Places
    end: int

    @property
    def count(self) -> int:
        return len(self.starts)

    @property
    def predictions(self) -> int:
        return int(self.lengths.sum(dtype=np.int64))

    @cached_property
    def shortest(self) -> int:
        """The number of symbols of the shortest item."""
        return int(self.lengths.min())

    @cached_property
    def usual_length(self) -> int:
        """Nine in ten items have no more symbols."""
        place = (9 * self.count) // 10
        return int(np.partition(self.lengths, place)[place])

    def chosen(self, numbers: NDArray[Any]) -> "Items":
        """These of the items, in this order."""
        return replace(self, starts=self.starts[numbers], lengths=self.lengths[numbers])

    def begun_with(self) -> Ids:
        """The symbol that each item is read from, ``(items,)``."""
        return np.asarray(self.ids[self.starts.astype(np.int64)])

    def item(self, number: int) -> Ids:
        """What item ``number`` is read from, its start symbol first."""
        start = int(self.starts[number])
        return np.asarray(self.ids[start : start + int(self.lengths[number])])


def items_of(ids: Ids | MappedIds, rules: ItemRules, vocabulary: Vocabulary) -> Items:
    """The items of an encoded list. Raises `FileError` if there are none."""
    begins = np.zeros(vocabulary.size, bool)
    begins[rules.start_ids(vocabulary)] = True
    kind = np.min_scalar_type(max(len(ids), 1))
    found = [
        (np.flatnonzero(begins[np.asarray(ids[place : place + AT_ONCE])]) + place).astype(kind)
        for place in range(0, len(ids), AT_ONCE)
    ]
    starts = np.concatenate([np.zeros(0, kind), *found])
    if not len(starts):
        raise FileError("the list has no items")
    lengths = np.diff(starts, append=np.array([len(ids)], kind))
    return Items(ids, starts, lengths, rules.end_id(vocabulary))


def drawn(items: Items, seed: int, fractions: tuple[float, float]) -> tuple[Items, Items, Items]:
    """Whole items at random: train | validation | test, each in the order of the list.

    ``fractions``: of the items, for validation and test. Which they are follows from ``seed`` and
    the number of items.
    """
    order = np.random.default_rng([seed, items.count]).permutation(items.count)
    test = math.floor(items.count * fractions[1])
    validation = math.floor(items.count * fractions[0])
    cuts = items.count - validation - test, items.count - test
    parts = np.split(order, cuts)
    names = ("training", "validation", "test")
    for name, part, asked in zip(names, parts, (1.0, *fractions), strict=True):
        if asked and not len(part):
            raise FileError(
                f"the list is too short: of its {items.count:,} items the {name} part gets none;"
                " add items, or change validation_fraction and test_fraction"
            )
    train, validation_part, test_part = (items.chosen(np.sort(part)) for part in parts)
    return train, validation_part, test_part
