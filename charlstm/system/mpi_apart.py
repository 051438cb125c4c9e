"""Ranks on several machines: vectors travel in pieces, and rank 0 does not wait for ever.

Before an MPI library sends something long it asks the other side. On a network that costs a round
trip, and lets the two directions of a link take turns. Pieces that are short enough go at once, all
of them together: half of the time at 100 Mbit/s, a third where the way is long.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from charlstm.errors import SystemRefusedError
from charlstm.system.comm import Array, sum_in_order

PIECE = 48 * 1024  # bytes: Open MPI sends up to 64 KiB by TCP without asking
_TAG = 9

Arrays = Mapping[int, Sequence[Array]]  # for each of the other ranks


class ApartComm:
    """`Comm` over an mpi4py communicator. ``machines``: the name of each rank's.

    ``timeout``: seconds without a piece from a rank it waits for, after which `all_reduce` and
    `gather` raise `SystemRefusedError`; 0: wait for ever. `broadcast`, which comes first, waits for
    ranks that still read the text, however long.
    """

    def __init__(self, communicator: Any, machines: Sequence[str], timeout: float = 0) -> None:
        self.rank: int = communicator.Get_rank()
        self.size: int = communicator.Get_size()
        self._communicator = communicator
        self._machines = machines
        self._timeout = timeout
        # Each rank begins with its neighbour: else all would send to rank 0 first.
        self._others = [(self.rank + k) % self.size for k in range(1, self.size)]

    def all_reduce(self, vector: Array, scalars: Array) -> None:
        """Each rank gets its section of everybody's vector, adds them up, and sends the sum to all:
        2 (R - 1) / R vectors pass in and out of each of R ranks, the least that is possible.
        """
        ends = [vector.size * rank // self.size for rank in range(self.size + 1)]
        sections = [vector[start:stop] for start, stop in pairwise(ends)]
        parts = np.empty((self.size, sections[self.rank].size), vector.dtype)
        rows = np.empty((self.size, scalars.size), scalars.dtype)
        parts[self.rank], rows[self.rank] = sections[self.rank], scalars
        self._exchange(
            {rank: (sections[rank], scalars) for rank in self._others},
            {rank: (parts[rank], rows[rank]) for rank in self._others},
        )
        sections[self.rank][:] = sum_in_order(parts)
        scalars[:] = sum_in_order(rows)
        self._exchange(
            dict.fromkeys(self._others, (sections[self.rank],)),
            {rank: (sections[rank],) for rank in self._others},
        )

    def broadcast(self, array: Array) -> None:
        self._communicator.Bcast(array)

    def gather(self, array: Array, axis: int) -> Array:
        shapes = np.empty((self.size, array.ndim), np.int64)
        shapes[self.rank] = array.shape
        own = np.ascontiguousarray(array)
        if self.rank:
            self._exchange({0: (shapes[self.rank], own.reshape(-1))}, {})
            return array
        self._exchange({}, {rank: (shapes[rank],) for rank in self._others})
        parts = {rank: np.empty(shapes[rank], array.dtype) for rank in self._others}
        self._exchange({}, {rank: (part.reshape(-1),) for rank, part in parts.items()})
        return np.concatenate([own, *(parts[rank] for rank in sorted(parts))], axis=axis)

    def _exchange(self, out: Arrays, into: Arrays) -> None:
        """Send and receive, until all has come and may be changed again."""
        post = self._communicator
        waiting = [(post.Irecv(piece, rank, _TAG), rank) for rank, piece in _pieces(into)]
        waiting += [(post.Isend(piece, rank, _TAG), rank) for rank, piece in _pieces(out)]
        self._wait(waiting)

    def _wait(self, waiting: list[tuple[Any, int]]) -> None:
        from mpi4py.MPI import Request  # noqa: PLC0415

        requests = [request for request, _ in waiting]
        if not self._timeout:
            Request.Waitall(requests)
            return
        clock = _Clock()
        while not Request.Testall(requests):
            if clock.waited() > self._timeout:
                left = [(request, rank) for request, rank in waiting if not request.Test()]
                if len(left) == len(waiting):
                    raise self._silent(left[0][1])
                waiting, clock = left, _Clock()

    def _silent(self, rank: int) -> SystemRefusedError:
        return SystemRefusedError(
            f"rank {rank} on {self._machines[rank]} has not been heard of for"
            f" {self._timeout:g} seconds (training.rank_timeout): is the way to it open?"
        )


class _Clock:
    """Seconds of waiting. While the program itself was stopped, nobody waited."""

    def __init__(self) -> None:
        self._waited, self._last = 0.0, time.monotonic()

    def waited(self) -> float:
        now = time.monotonic()
        self._waited += min(now - self._last, 1.0)
        self._last = now
        return self._waited


def _pieces(arrays: Arrays) -> Iterator[tuple[int, Array]]:
    """In turn for every rank, so that all of them have something to do."""
    cut = [
        [(rank, piece) for array in each for piece in _cut(array)] for rank, each in arrays.items()
    ]
    for number in range(max(map(len, cut), default=0)):
        yield from (pieces[number] for pieces in cut if number < len(pieces))


def _cut(array: Array) -> Iterator[Array]:
    length = PIECE // array.itemsize
    return (array[start : start + length] for start in range(0, array.size, length))
