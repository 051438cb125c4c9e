"""Text from a model, one character at a time, for one or many texts side by side."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.nn.automaton import ENDS, Route
from charlstm.nn.cells import State
from charlstm.nn.finite import finite_logits, is_tame, quiet, watched
from charlstm.nn.parameter import Array
from charlstm.nn.predictor import Predictor
from charlstm.nn.stepper import stepper_for

AnyIds = NDArray[np.integer[Any]]

DRAWS_AT_ONCE = 1024
PROMPT_CHUNK = 128
ENDED = -1  # no id: the text is complete
COLDEST = 1e-100  # as good as 0, and scores divided by it do not overflow


@dataclass(frozen=True)
class Choice:
    """How the next character is chosen from the model's scores.

    ``temperature`` divides the scores: 1 keeps the model's probabilities, 0 takes the likeliest.
    ``top_k`` keeps the k likeliest characters (0: all); ``top_p`` the fewest that together reach
    probability p (Holtzman et al. 2020; 1: all).
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


class Draws:
    """Uniform numbers in [0, 1), one a text and character.

    Every text has a generator of its own, so that the third text of ten is also the third of a
    hundred, and the ``first`` of those that come after two others.
    """

    def __init__(self, seed: int, count: int, first: int = 0) -> None:
        numbers = range(first, first + count)
        self._generators = [np.random.default_rng([seed, number]) for number in numbers]
        self._block = np.empty((DRAWS_AT_ONCE, count))
        self._next = DRAWS_AT_ONCE

    @staticmethod
    def fresh_seed() -> int:
        """A seed nobody has chosen, small enough to type again."""
        return secrets.randbelow(2**31)

    def next(self) -> NDArray[np.float64]:
        if self._next == DRAWS_AT_ONCE:
            for number, generator in enumerate(self._generators):
                self._block[:, number] = generator.random(DRAWS_AT_ONCE)
            self._next = 0
        draws: NDArray[np.float64] = self._block[self._next]
        self._next += 1
        return draws


def generate(
    model: Predictor,
    start: AnyIds,
    *,
    count: int,
    length: int,
    choice: Choice,
    seed: int,
    first: int = 0,
    route: Route | None = None,
) -> Iterator[NDArray[np.intp]]:
    """``length`` times the next ids of ``count`` texts, ``(count,)``, after the ids of ``start``.

    ``start`` must not be empty: a model predicts what follows something. The texts are those from
    the number ``first`` on of all that ``seed`` stands for. With a ``route`` (for this ``length``)
    they keep to it; `ENDED` stands in the place of the ids of a text that has ended, until all
    have. Raises `OverflowedError` where the scores are not finite.
    """
    logits, states = read(model, start, count)
    draws = Draws(seed, count, first)
    stepper = stepper_for(model, states)
    step: Callable[[Array], Array] = stepper.step
    pick = choose
    if not is_tame(model):
        step, pick = watched(model, step), quiet()(choose)
    led = None if route is None else _Led(route, count, length)
    for _ in range(length):
        if led is None:
            ids = pick(logits, choice, draws.next())
            yield ids
        else:
            ids = pick(led.only_allowed(logits), choice, draws.next())
            yield led.follow(ids)
            if led.all_have_ended:
                return
        logits = step(ids)


class _Led:
    """Where texts that are written side by side stand on their route."""

    def __init__(self, route: Route, count: int, length: int) -> None:
        self._route = route
        self._states = np.zeros(count, np.int32)
        self._left = np.full(count, length, np.int64)
        self._ended = np.zeros(count, np.bool_)

    @property
    def all_have_ended(self) -> bool:
        return bool(self._ended.all())

    def only_allowed(self, logits: Array) -> Array:
        allowed = self._route.allowed(self._states, self._left)
        return np.where(allowed, logits, -np.inf)

    def follow(self, ids: NDArray[np.intp]) -> NDArray[np.intp]:
        """The ids, with `ENDED` for the texts that they end, or that had ended."""
        after = self._route.advance(self._states, ids)
        self._ended |= after == ENDS
        self._states = np.where(self._ended, self._states, after)
        self._left -= ~self._ended
        return np.where(self._ended, ENDED, ids)


def choose(logits: Array, choice: Choice, draws: NDArray[np.float64]) -> NDArray[np.intp]:
    """One id for each row of ``logits`` ``(B, V)``, by the uniform numbers ``draws`` ``(B,)``.

    Here alone scores become a choice. What may not follow has the score -inf.
    """
    if choice.temperature == 0.0:
        return np.asarray(logits.argmax(axis=1))
    scores = logits - logits.max(axis=1, keepdims=True)
    if choice.temperature != 1.0:
        scores = np.divide(scores, max(choice.temperature, COLDEST), dtype=np.float64)
    weights = np.exp(scores, out=scores)
    if 0 < choice.top_k < weights.shape[1]:
        _keep_top_k(weights, choice.top_k)
    if choice.top_p < 1.0:
        _keep_top_p(weights, choice.top_p)
    cumulative = weights.cumsum(axis=1, dtype=np.float64)
    thresholds = draws * cumulative[:, -1]
    # The first place where the cumulative weight exceeds the threshold: never one of weight 0.
    return np.asarray((cumulative > thresholds[:, np.newaxis]).argmax(axis=1))


def _keep_top_k(weights: Array, k: int) -> None:
    """Ties at the k-th place go to the smaller id, so that exactly k are kept."""
    order = np.argsort(-weights, axis=1, kind="stable")
    np.put_along_axis(weights, order[:, k:], 0.0, axis=1)


def _keep_top_p(weights: Array, p: float) -> None:
    order = np.argsort(-weights, axis=1, kind="stable")
    ordered = np.take_along_axis(weights, order, axis=1)
    reached = ordered.cumsum(axis=1, dtype=np.float64)
    ordered[reached - ordered >= p * reached[:, -1:]] = 0.0
    np.put_along_axis(weights, order, ordered, axis=1)


def read(model: Predictor, start: AnyIds, count: int) -> tuple[Array, list[State]]:
    """Logits and states after reading ``start``, for ``count`` equal texts."""
    states = model.zero_states(1)
    for place in range(0, len(start), PROMPT_CHUNK):
        piece = np.asarray(start[place : place + PROMPT_CHUNK], np.intp)[:, np.newaxis]
        logits, states = finite_logits(model, piece, states, model.tape(len(piece), 1))
    repeated = [State(*(np.repeat(part, count, axis=0) for part in state)) for state in states]
    return np.repeat(logits[-1:], count, axis=0), repeated
