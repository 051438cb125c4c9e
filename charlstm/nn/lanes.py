"""Many texts that end by themselves, side by side: a lane whose text has ended takes the next one.

What text number n is depends on n and the seed alone: not on its lane, nor on how many there are
(but for rounding: a product of more rows may differ in its last digit).
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.nn.automaton import ENDS, Route
from charlstm.nn.finite import finite_losses, is_tame, quiet, require_finite
from charlstm.nn.parameter import Array
from charlstm.nn.predictor import Predictor
from charlstm.nn.sampling import AnyIds, Choice, choose, read
from charlstm.nn.stepper import stepper_for

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
STAFFORD = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))


class Written(NamedTuple):
    """A text. ``nats``: by the model's own probabilities, with the end if it has ``ended``; else it
    was cut at the length.
    """

    number: int
    ids: NDArray[np.int32]
    nats: float
    ended: bool


class Streams:
    """Uniform numbers in [0, 1) for texts by their numbers: SplitMix64 (Steele, Lea & Flood 2014).

    A generator of NumPy's takes longer to make than a short text.
    """

    def __init__(self, seed: int, lanes: int) -> None:
        self._seed = _mixed(np.array([seed], np.uint64))[0]
        self._states = np.zeros(lanes, np.uint64)

    def begin(self, lanes: NDArray[np.intp], numbers: NDArray[np.int64]) -> None:
        """Texts with these numbers begin in these lanes."""
        self._states[lanes] = _mixed(self._seed + _mixed(numbers.astype(np.uint64) + GOLDEN))

    def next(self) -> NDArray[np.float64]:
        self._states += GOLDEN
        return (_mixed(self._states) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, factor in STAFFORD:
        z = (z ^ (z >> np.uint64(shift))) * factor
    return z ^ (z >> np.uint64(31))


class Lanes:
    """Texts ``numbers`` after the ids of ``start``, on a ``route`` for this ``length``."""

    def __init__(
        self,
        model: Predictor,
        start: AnyIds,
        numbers: Iterator[int],
        *,
        lanes: int,
        length: int,
        choice: Choice,
        seed: int,
        route: Route,
    ) -> None:
        self._model, self._route, self._choice, self._length = model, route, choice, length
        self._waiting = numbers
        self._first_logits, self._first_states = read(model, start, 1)
        logits, states = read(model, start, lanes)
        self._stepper, self._logits = stepper_for(model, states), logits.copy()
        self._streams = Streams(seed, lanes)
        self._tame = is_tame(model)
        self._states = np.zeros(lanes, np.int32)
        self._numbers = np.full(lanes, -1, np.int64)  # -1: nothing is written here
        self._ids = np.zeros((lanes, max(length, 1)), np.int32)
        self._lengths = np.zeros(lanes, np.int64)
        self._nats = np.zeros(lanes)
        self._begin(np.arange(lanes))

    @property
    def are_busy(self) -> bool:
        return bool((self._numbers >= 0).any())

    def step(self) -> list[Written]:
        """One more id in every lane; the texts that are complete now."""
        with quiet():
            ids = choose(self._allowed(), self._choice, self._streams.next())
        self._nats += finite_losses(self._model, self._logits.copy(), ids)
        after = self._route.advance(self._states, ids)
        ended = after == ENDS
        self._ids[np.arange(len(ids)), self._lengths] = ids
        self._lengths += ~ended
        self._states = np.where(ended, 0, after)
        done = np.flatnonzero(ended | (self._lengths == self._length))
        complete = [self._written(lane, bool(ended[lane])) for lane in done.tolist()]
        self._read(ids)
        self._begin(done)
        return [text for text in complete if text.number >= 0]

    def _allowed(self) -> Array:
        allowed = self._route.allowed(self._states, self._length - self._lengths)
        return np.where(allowed, self._logits, -np.inf)

    def _read(self, ids: NDArray[np.intp]) -> None:
        with quiet():
            self._logits = self._stepper.step(ids)
        if not self._tame:
            require_finite(self._model, self._logits)

    def _written(self, lane: int, ended: bool) -> Written:
        ids = self._ids[lane, : self._lengths[lane]].copy()
        return Written(int(self._numbers[lane]), ids, float(self._nats[lane]), ended)

    def _begin(self, lanes: NDArray[np.intp]) -> None:
        """The next texts in these lanes; where none is left, something that nobody reads."""
        if not len(lanes):
            return
        numbers = np.full(len(lanes), -1, np.int64)
        taken = list(islice(self._waiting, len(lanes)))
        numbers[: len(taken)] = taken
        self._numbers[lanes] = numbers
        self._streams.begin(lanes, numbers)
        self._stepper.restart(lanes, self._first_states)
        self._logits[lanes] = self._first_logits
        self._states[lanes], self._lengths[lanes], self._nats[lanes] = 0, 0, 0.0


def write_texts(lanes: Lanes) -> Iterator[Written]:
    """All texts, in the order of their numbers: those that are complete wait for their turn."""
    waiting: dict[int, Written] = {}
    turn = 0
    while lanes.are_busy:
        waiting |= {text.number: text for text in lanes.step()}
        while turn in waiting:
            yield waiting.pop(turn)
            turn += 1
