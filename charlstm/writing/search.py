"""The likeliest ways to go on until something ends them: best-first search, exact in its budget."""

import bisect
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.nn.cells import State
from charlstm.nn.finite import finite_logits
from charlstm.nn.parameter import Array
from charlstm.nn.predictor import Predictor

WIDEST = 1024  # ways to go on from one text that are kept: of a large vocabulary the likeliest
AT_ONCE = 32  # steps of the model side by side: one alone costs nearly as much
IMPOSSIBLE = -np.inf


class Way(NamedTuple):
    """Ids until one of the ends, and the log of the probability that these and then an end come."""

    log_p: float
    ids: tuple[int, ...]


class Found(NamedTuple):
    """The likeliest ``ways``, first the likeliest. Others have at most the log probability
    ``unseen``: -inf where none has more than those found.
    """

    ways: list[Way]
    unseen: float


def log_probabilities(logits: Array) -> NDArray[np.float64]:
    """``(B, V)``, natural logarithms."""
    scores = logits.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return scores


@dataclass(frozen=True)
class _Node:
    """Text that the model has read: what may follow, the likeliest first, with ``log_next``."""

    log_p: float
    ids: tuple[int, ...]
    order: NDArray[np.intp]
    log_next: NDArray[np.float64]
    states: list[State] = field(repr=False)


class _Search:
    """A node's continuations wait one at a time, its next likeliest: so few wait."""

    def __init__(self, model: Predictor, ends: NDArray[np.bool_], count: int) -> None:
        self._model, self._ends, self._count = model, ends, count
        self._waiting: list[tuple[float, tuple[int, ...], int, _Node]] = []
        self._ways: list[Way] = []
        self._left_out = IMPOSSIBLE
        self.steps = 0

    def begin(self, logits: Array, states: list[State], *, may_end: bool) -> None:
        log_next = log_probabilities(logits)[0]
        if may_end:
            self._end_here(0.0, (), log_next)
        self._add(0.0, (), log_next, states)

    @property
    def worst_wanted(self) -> float:
        """A way with less than this is none of the ways that are looked for."""
        return self._ways[-1].log_p if len(self._ways) == self._count else IMPOSSIBLE

    def best_waiting(self) -> float:
        return -self._waiting[0][0] if self._waiting else IMPOSSIBLE

    def step(self) -> None:
        """Read the likeliest of the continuations that wait."""
        chosen: list[tuple[float, tuple[int, ...], int, list[State]]] = []
        while self._waiting and len(chosen) < AT_ONCE and self.best_waiting() > self.worst_wanted:
            negative, ids, rank, node = heapq.heappop(self._waiting)
            chosen.append((-negative, ids, int(node.order[rank]), node.states))
            self._wait(node, rank + 1)
        last = np.array([[i for _, _, i, _ in chosen]], np.intp)
        logits, states = finite_logits(
            self._model,
            last,
            _side_by_side([before for _, _, _, before in chosen]),
            self._model.tape(1, len(chosen)),
        )
        self.steps += len(chosen)
        rows = log_probabilities(logits)
        for place, (log_p, ids, i, _) in enumerate(chosen):
            longer = (*ids, i)
            self._end_here(log_p, longer, rows[place])
            own = [State(*(part[place : place + 1] for part in state)) for state in states]
            self._add(log_p, longer, rows[place], own)

    def found(self) -> Found:
        best = max(self.best_waiting(), self._left_out)
        return Found(self._ways, best if best > self.worst_wanted else IMPOSSIBLE)

    def _end_here(self, log_p: float, ids: tuple[int, ...], log_next: NDArray[np.float64]) -> None:
        way = Way(log_p + float(np.logaddexp.reduce(log_next[self._ends])), ids)
        if way.log_p > self.worst_wanted:
            bisect.insort(self._ways, way, key=lambda w: (-w.log_p, w.ids))
            del self._ways[self._count :]

    def _add(
        self, log_p: float, ids: tuple[int, ...], log_next: NDArray[np.float64], states: list[State]
    ) -> None:
        log_next = np.where(self._ends, IMPOSSIBLE, log_next)
        order = _likeliest_first(log_next)
        self._wait(_Node(log_p, ids, order, log_next[order], states), 0)

    def _wait(self, node: _Node, rank: int) -> None:
        if rank < len(node.order):
            log_p = node.log_p + float(node.log_next[rank])
            if rank == WIDEST:
                self._left_out = max(self._left_out, log_p)
                return
            if log_p > self.worst_wanted:
                heapq.heappush(self._waiting, (-log_p, node.ids, rank, node))


def likeliest(
    model: Predictor,
    logits: Array,
    states: list[State],
    ends: NDArray[np.bool_],
    *,
    count: int,
    steps: int,
    may_end: bool = True,
) -> Found:
    """The ``count`` likeliest ways to one of the ``ends`` ``(V,)``, from after a text that left
    these ``logits`` ``(1, V)`` and ``states``.

    A way's probability is no higher than that of each of its beginnings; so once no beginning that
    waits is likelier than the worst of ``count`` ways, these are the likeliest there are. The model
    is asked ``steps`` times, give or take `AT_ONCE`. ``may_end``: whether an end at once is a way.
    """
    search = _Search(model, ends, count)
    search.begin(logits, states, may_end=may_end)
    while search.steps < steps and search.best_waiting() > search.worst_wanted:
        search.step()
    return search.found()


def _likeliest_first(log_next: NDArray[np.float64]) -> NDArray[np.intp]:
    """Ids; one more than are kept, where there are more."""
    order = np.arange(len(log_next))
    if len(log_next) > WIDEST:
        order = np.sort(np.argpartition(-log_next, WIDEST)[: WIDEST + 1])
    chosen: NDArray[np.intp] = order[np.argsort(-log_next[order], kind="stable")]
    return chosen


def _side_by_side(states: Sequence[Sequence[State]]) -> list[State]:
    layers = zip(*states, strict=True)
    return [State(*map(np.concatenate, zip(*layer, strict=True))) for layer in layers]
