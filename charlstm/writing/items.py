"""Items of a list, written one after the other: any number, new ones only, each once, the best."""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count as counting
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from charlstm.errors import ConfigError
from charlstm.nn.lanes import Lanes, Written, write_texts
from charlstm.nn.loss import NATS_PER_BIT
from charlstm.nn.sampling import Draws
from charlstm.saved.checkpoint import LoadedModel
from charlstm.writing.constraints import item_route
from charlstm.writing.options import Options
from charlstm.writing.sieve import Sieve, known_items
from charlstm.writing.start import start_of

MOST_LANES = 256
PATIENCE = 20_000
"""So many refused in a row, and nobody waits for another."""


class Item(NamedTuple):
    """``text`` is what was written after the prompt; ``bits`` are its own and, where it ``ended``
    by itself and was not cut at the length, those of its end. ``number``: of all that were drawn.
    """

    number: int
    text: str
    bits: float
    predictions: int
    ended: bool

    @property
    def bits_per_character(self) -> float:
        """The end counts as a character."""
        return self.bits / self.predictions if self.predictions else math.inf


@dataclass(frozen=True)
class Selection:
    """Which of the items that are drawn count. ``new``: none of the training items; ``not_in``:
    none of the items in these files; ``unique``: none that came before.
    """

    new: bool = False
    not_in: Sequence[Path] = ()
    unique: bool = False


class ItemWriter:
    """A model of a list that writes items; ``seed`` tells which. Item n of a seed is always the
    same, whatever the number of items.

    Raises `ConfigError` for a model of one text, and for wishes that no item can satisfy.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        prompt: str | bytes,
        options: Options,
        selection: Selection | None = None,
    ) -> None:
        if options.stop is not None or options.length < 1:
            raise ConfigError("items end by themselves: no stop, and a length of at least 1")
        self._loaded, self._options = loaded, options
        self._start = start_of(
            loaded, prompt, skip_unknown=options.skip_unknown, label=options.label
        )
        self._route = item_route(options, loaded, begun=len(self._start) > 1)
        self.seed = Draws.fresh_seed() if options.seed is None else options.seed
        selection = selection or Selection()
        known = known_items(loaded, selection.new, selection.not_in)
        self.sieve = Sieve(known, self._start[1:], unique=selection.unique)

    def items(self, count: int) -> Iterator[Item]:
        """``count`` items; memory does not grow with it, but for those that must differ. Raises
        `ConfigError` where nothing new comes any more.
        """
        if not self.sieve.refuses_any:
            yield from map(self._item, self._drawn(range(count), count))
            return
        found = filter(self.sieve.keeps, self._patiently(self._drawn(counting(), count), count))
        yield from map(self._item, islice(found, count))

    def texts(self, count: int) -> Iterator[str]:
        return (item.text for item in self.items(count))

    def stream(self) -> Iterator[str]:
        return self.texts(1)

    def best(self, count: int, of: int) -> list[Item]:
        """Of ``of`` items the ``count`` that take the fewest bits a character, these first."""
        return heapq.nsmallest(count, self.items(of), key=lambda item: item.bits_per_character)

    def _drawn(self, numbers: range | Iterator[int], count: int) -> Iterator[Written]:
        options = self._options
        lanes = Lanes(
            self._loaded.predictor,
            self._start,
            iter(numbers),
            lanes=self._lanes(count),
            length=options.length,
            choice=options.choice,
            seed=self.seed,
            route=self._route,
        )
        return write_texts(lanes)

    def _lanes(self, count: int) -> int:
        """Texts and scores of those that are written side by side take some 100 MB."""
        each = 4 * self._options.length + 64 * self._loaded.vocabulary.size
        return max(1, min(count, MOST_LANES, 100_000_000 // each))

    def _patiently(self, drawn: Iterator[Written], count: int) -> Iterator[Written]:
        sieve = self.sieve
        for text in drawn:
            yield text
            if sieve.refused_in_a_row == PATIENCE:
                raise ConfigError(
                    f"of {sieve.drawn:,} items drawn {sieve.kept:,} were kept, and none of the last"
                    f" {PATIENCE:,}: ask for fewer than {count:,}, or a higher temperature"
                )

    def _item(self, text: Written) -> Item:
        return Item(
            text.number,
            self._loaded.vocabulary.decode(text.ids, self._options.errors),
            text.nats / NATS_PER_BIT,
            len(text.ids) + text.ended,
            text.ended,
        )
