"""Long work between two steps, piece by piece, so that nobody who wants to stop waits for it."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np

from charlstm.system.comm import Comm

Piece = TypeVar("Piece")
Stop = Callable[[], bool]

PATIENCE = 0.25
"""Seconds: work that takes no longer is done to its end."""
BETWEEN = 0.1
"""Seconds between two questions whether to stop."""


class StoppedError(Exception):
    """The work was given up, by all ranks at the same piece."""


def never() -> bool:
    return False


def paced(pieces: Iterable[Piece], comm: Comm, stop: Stop) -> Iterator[Piece]:
    """The pieces, as they are made; every rank must have as many.

    Now and then rank 0 asks ``stop``. Raises `StoppedError`, on every rank, if the answer is yes.
    """
    left, started = iter(pieces), time.perf_counter()
    done, count = 0, 1
    while True:
        before = done
        for piece in islice(left, count):
            done += 1
            yield piece
        if done < before + count:
            return
        count = _pieces_until_the_next_question(comm, stop, done, time.perf_counter() - started)


def _pieces_until_the_next_question(comm: Comm, stop: Stop, done: int, seconds: float) -> int:
    """Rank 0 decides, for clocks differ. At most three times as many as before, for pieces do."""
    answer = np.zeros(2, np.float64)
    if comm.rank == 0:
        fitting = done * BETWEEN / max(seconds, 1e-9)
        answer[:] = seconds > PATIENCE and stop(), max(1, min(fitting, 3 * done))
    comm.all_reduce(np.zeros(0), answer)
    if answer[0]:
        raise StoppedError
    return max(1, int(answer[1]))
