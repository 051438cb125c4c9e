"""A text as (T, B) batches whose recurrent state can be carried from one to the next."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import FileError
from charlstm.text.mapped_ids import MappedIds
from charlstm.text.vocabulary import Ids


class Batches:
    """A text of N ids cut into B equal runs of L = (N - 1) // B, read side by side, T at a time.

    Column b of batch k holds the ids from ``b * L + k * T`` on; targets are one further. So batch
    k + 1 continues batch k in every column, and the state is carried through an epoch of
    ``steps_per_epoch = L // T`` batches and reset at its end. Every epoch is alike: what a batch
    holds depends on its number alone, which keeps resuming exact. The last ``L % T`` characters of
    each run, and fewer than B at the end of the text, are not trained on.

    ``ids`` may be mapped from a file: a batch reads the characters it holds and no others.
    """

    def __init__(self, ids: Ids | MappedIds, batch_size: int, sequence_length: int) -> None:
        run_length = (len(ids) - 1) // batch_size
        if run_length < sequence_length:
            needed = batch_size * sequence_length + 1
            raise FileError(
                f"the training text is too short: {len(ids):,} characters, but {batch_size}"
                f" streams of {sequence_length} need {needed:,};"
                " lower batch_size, sequence_length or validation_fraction, or add text"
            )
        self._ids = ids
        self._starts = np.arange(batch_size) * run_length
        self._window = np.arange(sequence_length + 1)[:, np.newaxis]
        self.sequence_length = sequence_length
        self.steps_per_epoch = run_length // sequence_length

    @property
    def batch_size(self) -> int:
        return len(self._starts)

    def batch(self, step: int, out_x: NDArray[np.signedinteger[Any]], out_y: NDArray[Any]) -> None:
        """Write the batch of a step, counted from the beginning of the run, into ``out_x`` and
        ``out_y``, both ``(T, B)``.
        """
        k = step % self.steps_per_epoch
        ids = self._ids[self._starts + self._window + k * self.sequence_length]
        out_x[...] = ids[:-1]
        out_y[...] = ids[1:]

    def lanes(self, first: int, stop: int) -> Self:
        """Columns ``first`` to ``stop`` of every batch, for one of several parallel workers."""
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__)
        part._starts = self._starts[first:stop]
        return part
