"""The loss of a model on a text: exactly, or in parallel lanes while training."""

from typing import NamedTuple

import numpy as np

from charlstm.nn.model import CharLM, ModelTape
from charlstm.nn.parameter import Array
from charlstm.system.comm import Comm, lane_range
from charlstm.text.mapped_ids import MappedIds
from charlstm.text.vocabulary import Ids


class Lanes(NamedTuple):
    """How a text is cut into ``number`` runs of ``run`` predictions."""

    number: int
    run: int


class LaneEvaluation:
    """The mean loss over a text, in ``batch_size`` lanes side by side, as fast as training.

    Every character but the first is predicted exactly once. A lane starts ``sequence_length``
    characters before its run to warm up its state, so the result differs from the exact one only
    by what lies further back. Under several ranks each takes its share of the lanes.
    """

    def __init__(
        self,
        model: CharLM,
        ids: Ids | MappedIds,
        batch_size: int,
        sequence_length: int,
        comm: Comm,
    ) -> None:
        self._model, self._ids, self._comm, self._T = model, ids, comm, sequence_length
        self._lanes = _lanes(len(ids) - 1, batch_size, sequence_length)
        first, stop = lane_range(self._lanes.number, comm.rank, comm.size)
        self._starts = np.arange(first, stop) * self._lanes.run
        self._tape = model.tape(sequence_length, stop - first) if stop > first else None

    def mean_loss(self) -> float:
        """Nats a character, the same on every rank."""
        total = np.zeros(1, np.float64)
        if self._tape is not None:
            total[0] = self._sum_of_losses(self._tape)
        self._comm.all_reduce(np.zeros(0), total)
        return float(total[0]) / (len(self._ids) - 1)

    def _sum_of_losses(self, tape: ModelTape) -> float:
        model, T = self._model, self._T
        states = model.zero_states(len(self._starts))
        first_lane = self._starts == 0
        total = 0.0
        for offset in range(-T, self._lanes.run, T):
            x, y, counted = self._batch(offset)
            losses, states = model.losses(x, y, states, tape)
            total += float(losses.sum(where=counted, dtype=np.float64))
            if offset < 0:  # the first lane has nothing to warm up on
                for state in states:
                    state.h[first_lane] = 0.0
                    state.c[first_lane] = 0.0
        return total

    def _batch(self, offset: int) -> tuple[Array, Array, Array]:
        """Inputs, targets and which of them count, ``(T, B)``, from ``offset`` in every run."""
        steps = offset + np.arange(self._T)[:, np.newaxis]
        places = self._starts + steps
        counted = (steps >= 0) & (steps < self._lanes.run) & (places < len(self._ids) - 1)
        places = np.clip(places, 0, len(self._ids) - 2)
        x = np.asarray(self._ids[places], np.intp)
        y = np.asarray(self._ids[places + 1], np.intp)
        return x, y, counted


def _lanes(predictions: int, batch_size: int, sequence_length: int) -> Lanes:
    """As many lanes as a batch has, unless the runs would be short beside their warm-up."""
    number = max(1, min(batch_size, predictions // (4 * sequence_length)))
    return Lanes(number, -(-predictions // number))
