"""How the processes of one training talk: a rank, a size and three operations.

Training is written once, for any number of ranks: every rank runs the same loop on its own lanes
of the batch, and gradients are summed over ranks once a step.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Comm(Protocol):
    """What a group of processes offers. Every rank calls the same operations in the same order."""

    rank: int
    size: int

    def all_reduce(self, vector: Array, scalars: Array) -> None:
        """Sum both over all ranks, in place, in an order that never changes."""

    def broadcast(self, array: Array) -> None:
        """Copy rank 0's array into everybody's, in place."""

    def gather(self, array: Array, axis: int) -> Array:
        """Rank 0 gets the arrays of all ranks joined along ``axis``; others get their own back."""


class Alone:
    """One process: nothing to exchange."""

    rank = 0
    size = 1

    def all_reduce(self, vector: Array, scalars: Array) -> None:
        pass

    def broadcast(self, array: Array) -> None:
        pass

    def gather(self, array: Array, axis: int) -> Array:
        return np.asarray(array)


def lane_range(batch_size: int, rank: int, size: int) -> tuple[int, int]:
    """Columns ``(first, stop)`` of worker ``rank`` of ``size``; shares differ by one at most."""
    return rank * batch_size // size, (rank + 1) * batch_size // size


def sum_in_order(parts: Array) -> Array:
    """Of the rows, from the first to the last: rounded the same every time. Changes the first."""
    total: Array = parts[0]
    for part in parts[1:]:
        total += part
    return total
