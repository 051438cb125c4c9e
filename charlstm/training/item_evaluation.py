"""The loss of a model on items, each read from a state of zero, side by side while training."""

from collections.abc import Iterator

import numpy as np

from charlstm.nn.model import CharLM
from charlstm.system.comm import Comm, lane_range
from charlstm.text.items import Items
from charlstm.text.packing import locate, next_starts, read
from charlstm.training.evaluation import Evaluation


class ItemEvaluation(Evaluation):
    """The mean loss over items, whole ones in a row in each of ``batch_size`` lanes.

    Every character and every end is predicted exactly once, and nothing of one item reaches
    another, so but for rounding this is the exact loss. With ``characters`` above 0 only about so
    many are predicted, those with which the lanes begin.
    """

    def __init__(
        self,
        model: CharLM,
        items: Items,
        batch_size: int,
        sequence_length: int,
        comm: Comm,
        *,
        characters: int = 0,
    ) -> None:
        total = items.predictions
        number = max(1, min(batch_size, total // sequence_length))
        order = np.arange(items.count)
        starts = next_starts(items, order, np.arange(number, dtype=np.int64) * total // number)
        runs = np.diff(starts, append=total)
        if characters:
            runs = np.minimum(runs, -(-characters // number))
        first, stop = lane_range(number, comm.rank, comm.size)
        super().__init__(comm, int(runs.sum()))
        self._model, self._items, self._order, self._T = model, items, order, sequence_length
        self._longest = int(runs.max())
        self._runs = runs[first:stop]
        self._cursor = locate(items, order, starts[first:stop] % total)
        self._tape = model.tape(sequence_length, stop - first) if stop > first else None

    def _sums_of_losses(self) -> Iterator[float]:
        states, cursor = self._model.zero_states(len(self._runs)), self._cursor
        for offset in range(0, self._longest, self._T):
            if self._tape is None:
                yield 0.0
                continue
            x, y, begins, cursor = read(self._items, self._order, cursor, self._T)
            counted = offset + np.arange(self._T)[:, np.newaxis] < self._runs
            self._tape.begin_at(begins)
            x, y = np.asarray(x, np.intp), np.asarray(y, np.intp)
            losses, states = self._model.losses(x, y, states, self._tape)
            yield float(losses.sum(where=counted, dtype=np.float64))
