"""Which ids may follow one another in a text: a deterministic automaton over a vocabulary.

`Automaton` says what is allowed; `both` lets only what two of them allow; `Route` has it ready for
sampling: from which states a text can still be finished, and within how many characters.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import ConfigError

NEVER = -1  # this id may not follow here
ENDS = -2  # where this id is drawn the text has ended; it is no part of the text

LARGEST_TABLE = 1 << 25
FAR = np.int32(2**31 - 1)


@dataclass(frozen=True)
class Automaton:
    """State 0 is the first. ``after``: ``(S, V)``, the state after each id, `NEVER` or `ENDS`;
    ``accepting``: ``(S,)``, where a text may end.
    """

    after: NDArray[np.int32]
    accepting: NDArray[np.bool_]


def of_ids(allowed: NDArray[np.bool_]) -> Automaton:
    """Any text of some ids, ``(V,)``."""
    after = np.where(allowed, 0, NEVER).astype(np.int32)
    return Automaton(after[np.newaxis], np.ones(1, np.bool_))


def ended_by(end: int, size: int) -> Automaton:
    """Any text of ``size`` ids, which the id ``end`` ends."""
    after = np.zeros((1, size), np.int32)
    after[:, end] = ENDS
    return Automaton(after, np.ones(1, np.bool_))


def at_least(length: int, size: int) -> Automaton:
    """Any text of ``length`` or more of ``size`` ids."""
    _require_room(length + 1, size)
    states = np.minimum(np.arange(length + 1, dtype=np.int32) + 1, length)
    after = np.repeat(states[:, np.newaxis], size, axis=1)
    return Automaton(after, np.arange(length + 1) == length)


def ended_by_others(automaton: Automaton) -> Automaton:
    """The same texts; where one may end, an id that may not follow ends it."""
    ends = (automaton.after == NEVER) & automaton.accepting[:, np.newaxis]
    return Automaton(np.where(ends, np.int32(ENDS), automaton.after), automaton.accepting)


def both(first: Automaton, second: Automaton) -> Automaton:
    """The texts that both accept; where both do, an id that ends one ends them.

    Raises `ConfigError` where the table of all pairs of states would be too large.
    """
    (S, V), T = first.after.shape, len(second.after)
    _require_room(S * T, V)
    a, b = np.broadcast_arrays(first.after[:, np.newaxis], second.after[np.newaxis])
    accepting = first.accepting[:, np.newaxis] & second.accepting
    ends = ((a == ENDS) | (b == ENDS)) & accepting[:, :, np.newaxis]
    after = np.where((a >= 0) & (b >= 0), a * T + b, np.where(ends, ENDS, NEVER))
    return Automaton(after.reshape(S * T, V).astype(np.int32), accepting.reshape(-1))


def trimmed(automaton: Automaton) -> Automaton:
    """The same texts; a state from which none can be finished is never entered."""
    return Automaton(_without_dead_ends(automaton, distances(automaton)), automaton.accepting)


def distances(automaton: Automaton) -> NDArray[np.int32]:
    """``(S,)``: how many ids at least are missing where a text stands; `FAR` if none is of use."""
    predecessors = _Predecessors(automaton.after)
    distance = np.where(automaton.accepting, np.int32(0), FAR)
    reached, steps = np.flatnonzero(automaton.accepting), 0
    while len(reached):
        steps += 1
        sources = np.unique(np.concatenate([predecessors.of(int(state)) for state in reached]))
        reached = sources[distance[sources] == FAR]
        distance[reached] = steps
    return distance


class Route:
    """An automaton on which texts are led: each can be finished with what it may still write.

    Where a text may end and nothing may follow, it ends. Raises `ConfigError` if no text of at most
    ``length`` ids is accepted.
    """

    def __init__(self, automaton: Automaton, length: int) -> None:
        distance = distances(automaton)
        if distance[0] > length:
            raise ConfigError(
                "no text of the model's vocabulary can satisfy this"
                if distance[0] == FAR
                else f"the shortest text that satisfies this has {distance[0]:,} characters,"
                f" more than the length of {length:,}"
            )
        after = _without_dead_ends(automaton, distance)
        stuck = automaton.accepting & (after == NEVER).all(axis=1)
        after[stuck] = ENDS
        self._after: NDArray[np.int32] = after
        ahead = _distance_ahead(after, distance)
        self._needed = np.where(after >= 0, ahead, np.where(after == ENDS, np.int32(-1), FAR))

    def allowed(self, states: NDArray[np.int32], left: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``(B, V)``: the ids that may follow where texts stand, which may have ``left`` more."""
        mask: NDArray[np.bool_] = self._needed[states] < np.minimum(left, FAR)[:, np.newaxis]
        return mask

    def advance(self, states: NDArray[np.int32], ids: NDArray[np.intp]) -> NDArray[np.int32]:
        """``(B,)``: where the texts stand after these ids; `ENDS` for those that have ended."""
        new: NDArray[np.int32] = self._after[states, ids]
        return new


def _without_dead_ends(automaton: Automaton, distance: NDArray[np.int32]) -> NDArray[np.int32]:
    after = automaton.after
    dead = (after >= 0) & (_distance_ahead(after, distance) == FAR)
    return np.where(dead, np.int32(NEVER), after)


def _distance_ahead(after: NDArray[np.int32], distance: NDArray[np.int32]) -> NDArray[np.int32]:
    """``(S, V)``: of the state after each id; of no meaning where there is none."""
    return np.take(distance, after, mode="clip")


class _Predecessors:
    """The states from which one id leads to a state."""

    def __init__(self, after: NDArray[np.int32]) -> None:
        S = len(after)
        states = np.repeat(np.arange(S, dtype=np.int64), after.shape[1])
        flat = after.reshape(-1).astype(np.int64)
        pairs = np.unique(flat[flat >= 0] * S + states[flat >= 0])
        self._sources = pairs % S
        self._starts = np.searchsorted(pairs, np.arange(S + 1, dtype=np.int64) * S)

    def of(self, state: int) -> NDArray[np.int64]:
        return self._sources[self._starts[state] : self._starts[state + 1]]


def _require_room(states: int, size: int) -> None:
    if states * size > LARGEST_TABLE:
        raise ConfigError(
            f"this takes {states:,} states of {size:,} characters, more than fit a table; ask for"
            " a shorter expression, or a smaller minimum"
        )
