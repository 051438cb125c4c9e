"""Items one after another in the lanes of a batch, in an order drawn anew for every epoch.

Everything follows from seed, epoch and number of the batch, so a resumed run reads what it would
have read, and every worker reads its own lanes of the same batches. The order takes four bytes an
item (eight from 2^32 items on); the items themselves stay where they are.
"""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from charlstm.text.items import AT_ONCE, Items

Whole = NDArray[np.int64]
Order = NDArray[np.integer[Any]]
AHEAD = 1 << 17
"""Symbols that are read at once. A batch of names costs NumPy's calls more than its symbols; and of
a mapped list each block is then fetched once for all items in it that come soon.
"""


class Cursor(NamedTuple):
    """Where lanes stand: each in the item with this number in the order, so far from its start."""

    item: Whole
    offset: Whole


class Window(NamedTuple):
    """What lanes read from a cursor on: ids and what follows each, both ``(T, B)``; ``begins``:
    where an item begins; and the cursor after it.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    begins: NDArray[np.bool_]
    after: Cursor


def read(items: Items, order: Order, cursor: Cursor, steps: int) -> Window:
    """The next ``steps`` symbols of every lane; after the last item of all comes the first."""
    most = steps // items.shortest + 2
    in_order = (cursor.item[:, np.newaxis] + np.arange(most)) % len(order)
    numbers = order[in_order]
    lengths = items.lengths[numbers].astype(np.int64)
    stops = lengths.cumsum(axis=1) - cursor.offset[:, np.newaxis]
    lane, which = np.nonzero(stops <= steps)
    begins = np.zeros((len(numbers), steps + 1), bool)
    begins[lane, stops[lane, which]] = True
    current = begins.cumsum(axis=1)
    begins[:, 0] = cursor.offset == 0
    first_steps = np.take_along_axis(stops - lengths, current, axis=1)
    offsets = np.arange(steps + 1) - first_steps
    starts = items.starts[np.take_along_axis(numbers, current, axis=1)]
    symbols = items.ids[starts.astype(np.int64) + offsets]
    following = np.where(begins[:, 1:], symbols.dtype.type(items.end), symbols[:, 1:])
    after = Cursor(np.take_along_axis(in_order, current[:, -1:], axis=1)[:, 0], offsets[:, -1])
    return Window(symbols[:, :-1].T, following.T, begins[:, :-1].T, after)


def locate(items: Items, order: Order, places: Whole) -> Cursor:
    """The cursor at these places of all items in a row."""
    item, offset = np.zeros_like(places), np.zeros_like(places)
    before = 0
    for start in range(0, len(order), AT_ONCE):
        lengths = items.lengths[order[start : start + AT_ONCE]].astype(np.int64)
        stops = before + lengths.cumsum()
        here = (before <= places) & (places < stops[-1])
        found = np.searchsorted(stops, places[here], side="right")
        item[here] = start + found
        offset[here] = places[here] - (stops - lengths)[found]
        before = int(stops[-1])
    return Cursor(item, offset)


def next_starts(items: Items, order: Order, places: Whole) -> Whole:
    """Where the first item begins at or after each of these places of all items in a row."""
    found = locate(items, order, places)
    lengths = items.lengths[order[found.item]].astype(np.int64)
    starts: Whole = places + (lengths - found.offset) * (found.offset > 0)
    return starts


class ItemBatches:
    """B lanes, T symbols at a time, through all items in an order of its own for every epoch.

    Lane b begins with the first item at or after b/B of all symbols in a row, and reads on from
    there, through ``steps_per_epoch`` batches; so two lanes may share an item at their border, and
    of each lane's share fewer than T symbols may stay unread. An item that is longer than T goes on
    in the next batch.
    """

    def __init__(self, items: Items, batch_size: int, sequence_length: int, seed: int) -> None:
        total = items.predictions
        self._items, self._seed, self._total = items, seed, total
        self._shares = np.arange(batch_size, dtype=np.int64) * total // batch_size
        self._epoch, self._order = -1, order_of(0, seed, 0)
        self.sequence_length = sequence_length
        self.steps_per_epoch = max(1, total // (batch_size * sequence_length))
        self._read = range(0)
        self._window: Window

    @property
    def batch_size(self) -> int:
        return len(self._shares)

    def batch(self, step: int, out_x: NDArray[Any], out_y: NDArray[Any]) -> NDArray[np.bool_]:
        """Write the batch of a step, counted from the beginning of the run, into ``out_x`` and
        ``out_y``, both ``(T, B)``; returns where items begin, ``(T, B)``.
        """
        if step not in self._read:
            self._read_ahead(step)
        first = (step - self._read.start) * self.sequence_length
        rows = slice(first, first + self.sequence_length)
        out_x[...], out_y[...] = self._window.x[rows], self._window.y[rows]
        return self._window.begins[rows]

    def lanes(self, first: int, stop: int) -> Self:
        """Lanes ``first`` to ``stop`` of every batch, for one of several parallel workers."""
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__)
        part._shares, part._read = self._shares[first:stop], range(0)
        return part

    def _read_ahead(self, step: int) -> None:
        """Several batches cost little more than one."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        goes_on = batch > 0 and step == self._read.stop
        cursor = self._window.after if goes_on else self._find(epoch, batch)
        ahead = max(1, AHEAD // (len(self._shares) * self.sequence_length))
        self._read = range(step, step + min(ahead, self.steps_per_epoch - batch))
        symbols = len(self._read) * self.sequence_length
        self._window = read(self._items, self._order, cursor, symbols)

    def _find(self, epoch: int, batch: int) -> Cursor:
        if epoch != self._epoch:
            self._epoch, self._order = epoch, order_of(self._items.count, self._seed, epoch)
        starts = next_starts(self._items, self._order, self._shares)
        places = (starts + batch * self.sequence_length) % self._total
        return locate(self._items, self._order, places)


def order_of(count: int, seed: int, epoch: int) -> Order:
    """In which items come in an epoch."""
    order: Order = np.arange(count).astype(np.uint32 if count <= 2**32 else np.uint64)
    np.random.default_rng([seed, epoch, count]).shuffle(order)
    return order
