"""The loss on a long text soon: cut into lanes that are read side by side, each warmed up."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from charlstm.nn.finite import finite_logits, finite_losses
from charlstm.nn.predictor import Predictor
from charlstm.text.lanes import lanes_at
from charlstm.text.mapped_ids import MappedIds
from charlstm.text.vocabulary import Ids

STEPS = 64
WARM_UP = STEPS
"""Characters that a lane reads before those it counts."""
ENOUGH = 8 * WARM_UP
"""Characters that a lane counts at least; else there are fewer lanes."""
LANES_OF_A_THREAD = 32
"""Whatever the number of cores is: how sums are rounded must not depend on it."""


def lane_losses(
    model: Predictor, ids: Ids | MappedIds, lanes: int
) -> Iterator[NDArray[np.float64]]:
    """Nats of every character but the first, in pieces, and not in the order of the text.

    A row of weights that is read serves all lanes, where `score.exact_losses` reads all weights for
    each character. A lane knows nothing of what lies more than `WARM_UP` characters before it;
    the first begins as the text does. Raises `OverflowedError` for what is not finite.
    """
    predictions = len(ids) - 1
    number = max(1, min(lanes, predictions // ENOUGH))
    run = -(-predictions // number)
    offsets = range(-WARM_UP if number > 1 else 0, run, STEPS)
    threads = -(-number // LANES_OF_A_THREAD)
    readings = [
        _read(model, ids, starts, run, offsets)
        for starts in np.array_split(np.arange(number) * run, threads)
    ]
    with ThreadPoolExecutor() as pool:  # NumPy lets other threads run while it computes
        for _ in offsets:
            yield np.concatenate(list(pool.map(next, readings)))


def _read(
    model: Predictor, ids: Ids | MappedIds, starts: NDArray[np.intp], run: int, offsets: range
) -> Iterator[NDArray[np.float64]]:
    """The losses of these lanes that count, once for each of the ``offsets``."""
    states, tape = model.zero_states(len(starts)), model.tape(STEPS, len(starts))
    for offset in offsets:
        x, y, counted = lanes_at(ids, starts, run, offset, STEPS)
        logits, states = finite_logits(model, x, states, tape)
        losses = finite_losses(model, logits, y.reshape(-1)).astype(np.float64)
        if offset < 0 and starts[0] == 0:
            for state in states:
                state.h[0] = state.c[0] = 0.0
        yield losses[counted.reshape(-1)]
