"""Texts that a model writes: one while it is made, or any number."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from charlstm.from_config import item_rules_of
from charlstm.nn.automaton import Route
from charlstm.nn.sampling import DRAWS_AT_ONCE, ENDED, Draws, generate
from charlstm.saved.checkpoint import LoadedModel
from charlstm.text.vocabulary import until
from charlstm.writing.constraints import route_for
from charlstm.writing.items import ItemWriter
from charlstm.writing.options import Options
from charlstm.writing.start import start_of

LARGEST_GROUP = 1024


def writer_for(loaded: LoadedModel, prompt: str | bytes, options: Options) -> "Writer | ItemWriter":
    """Of a model of a list, one that writes items."""
    is_list = item_rules_of(loaded.config) is not None
    return (ItemWriter if is_list else Writer)(loaded, prompt, options)


class Writer:
    """A model that goes on from a prompt. Without a seed one is drawn."""

    def __init__(self, loaded: LoadedModel, prompt: str | bytes, options: Options) -> None:
        self._loaded, self._options = loaded, options
        self._start = start_of(
            loaded, prompt, skip_unknown=options.skip_unknown, label=options.label
        )
        self._seed = Draws.fresh_seed() if options.seed is None else options.seed
        self._route: Route | None = route_for(options, loaded.vocabulary)

    def stream(self) -> Iterator[str]:
        """The first text, piece by piece while it is made."""
        made = (ids[ids != ENDED] for ids in self._generate(1, 0))
        return until(self._options.stop, self._decoded(made))

    def texts(self, count: int) -> Iterator[str]:
        """``count`` texts; made in groups, so that any number takes no more memory."""
        size = self.group_size()
        for first in range(0, count, size):
            group = min(size, count - first)
            for ids in self._group(group, first):
                text = self._loaded.vocabulary.decode(ids, self._options.errors)
                yield "".join(until(self._options.stop, [text]))

    def group_size(self) -> int:
        """How many texts are made side by side: their ids, draws and scores take some 100 MB."""
        each = 4 * self._options.length + 8 * DRAWS_AT_ONCE + 32 * self._loaded.vocabulary.size
        return max(1, min(LARGEST_GROUP, 100_000_000 // each))

    def _group(self, count: int, first: int) -> Iterator[NDArray[np.int32]]:
        made = np.empty((self._options.length, count), np.int32)
        written = 0
        for ids in self._generate(count, first):
            made[written] = ids
            written += 1
        for ids in made[:written].T:
            yield ids[ids != ENDED]

    def _generate(self, count: int, first: int) -> Iterator[NDArray[np.intp]]:
        return generate(
            self._loaded.predictor,
            self._start,
            count=count,
            length=self._options.length,
            choice=self._options.choice,
            seed=self._seed,
            first=first,
            route=self._route,
        )

    def _decoded(self, made: Iterable[NDArray[np.intp]]) -> Iterator[str]:
        decoder = self._loaded.vocabulary.decoder(self._options.errors)
        for ids in made:
            yield decoder.decode(ids)
        if held_back := decoder.decode(np.empty(0, np.intp), final=True):
            yield held_back
