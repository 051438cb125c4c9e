"""The loss of a model on a text: exactly, or in parallel lanes while training."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from charlstm.nn.model import CharLM, ModelTape
from charlstm.system.comm import Comm, lane_range
from charlstm.text.lanes import lanes_at
from charlstm.text.mapped_ids import MappedIds
from charlstm.text.vocabulary import Ids
from charlstm.training.pacing import Stop, never, paced


class Lanes(NamedTuple):
    """How a text is cut into ``number`` runs of ``run`` predictions."""

    number: int
    run: int


class Evaluation(ABC):
    """The mean loss of a model over so many ``predictions`` of all ranks together."""

    def __init__(self, comm: Comm, predictions: int) -> None:
        self._comm, self._predictions = comm, predictions

    def mean_loss(self, stop: Stop = never) -> float:
        """Nats a character, the same on every rank. Raises `StoppedError` if told to ``stop``."""
        total = np.zeros(1, np.float64)
        for part in paced(self._sums_of_losses(), self._comm, stop):
            total += part
        self._comm.all_reduce(np.zeros(0), total)
        return float(total[0]) / self._predictions

    @abstractmethod
    def _sums_of_losses(self) -> Iterator[float]:
        """In nats, piece by piece; of every rank as many."""


class LaneEvaluation(Evaluation):
    """The mean loss over a text, in ``batch_size`` lanes side by side, as fast as training.

    Every character but the first is predicted exactly once. A lane starts ``sequence_length``
    characters before its run to warm up its state, so the result differs from the exact one only
    by what lies further back. Under several ranks each takes its share of the lanes. With
    ``characters`` above 0 only about so many are predicted, those with which the runs begin.
    """

    def __init__(
        self,
        model: CharLM,
        ids: Ids | MappedIds,
        batch_size: int,
        sequence_length: int,
        comm: Comm,
        *,
        characters: int = 0,
    ) -> None:
        self._model, self._ids, self._T = model, ids, sequence_length
        self._lanes = _lanes(len(ids) - 1, batch_size, sequence_length)
        number, run = self._lanes
        self._run = min(run, -(-characters // number)) if characters else run
        ends = [(lane * run, min(lane * run + self._run, len(ids) - 1)) for lane in range(number)]
        super().__init__(comm, sum(max(0, stop - start) for start, stop in ends))
        first, stop = lane_range(self._lanes.number, comm.rank, comm.size)
        self._starts = np.arange(first, stop) * self._lanes.run
        self._tape = model.tape(sequence_length, stop - first) if stop > first else None

    def _sums_of_losses(self) -> Iterator[float]:
        """One for each piece of ``T`` steps; of a rank without lanes as many zeros."""
        offsets = range(-self._T, self._run, self._T)
        if self._tape is None:
            return (0.0 for _ in offsets)
        return self._sums_over_lanes(offsets, self._tape)

    def _sums_over_lanes(self, offsets: range, tape: ModelTape) -> Iterator[float]:
        model = self._model
        states = model.zero_states(len(self._starts))
        first_lane = self._starts == 0
        for offset in offsets:
            x, y, counted = lanes_at(self._ids, self._starts, self._run, offset, self._T)
            losses, states = model.losses(x, y, states, tape)
            yield float(losses.sum(where=counted, dtype=np.float64))
            if offset < 0:  # the first lane has nothing to warm up on
                for state in states:
                    state.h[first_lane] = 0.0
                    state.c[first_lane] = 0.0


def _lanes(predictions: int, batch_size: int, sequence_length: int) -> Lanes:
    """As many lanes as a batch has, unless the runs would be short beside their warm-up."""
    number = max(1, min(batch_size, predictions // (4 * sequence_length)))
    return Lanes(number, -(-predictions // number))
