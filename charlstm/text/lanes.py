"""A text cut into lanes that are read side by side, each a run of predictions."""

import numpy as np
from numpy.typing import NDArray

from charlstm.text.mapped_ids import MappedIds
from charlstm.text.vocabulary import Ids


def lanes_at(
    ids: Ids | MappedIds, starts: NDArray[np.intp], run: int, offset: int, T: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """What all lanes read in ``T`` steps from ``offset`` of their runs on, what follows it, and
    which of it counts: ``(T, lanes)`` each.

    ``starts``: ``(lanes,)``, where runs of ``run`` predictions begin. Before them, at an ``offset``
    below 0, a lane warms up, and nothing counts.
    """
    steps = offset + np.arange(T)[:, np.newaxis]
    places = starts + steps
    counted = (steps >= 0) & (steps < run) & (places < len(ids) - 1)
    places = np.clip(places, 0, len(ids) - 2)
    return np.asarray(ids[places], np.intp), np.asarray(ids[places + 1], np.intp), counted
