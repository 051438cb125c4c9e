"""Automata accept what they say, by trying all short texts; routes lead to nothing else."""

import itertools

import numpy as np
import pytest

from charlstm.errors import ConfigError
from charlstm.nn import automaton as module
from charlstm.nn.automaton import (
    ENDS,
    FAR,
    NEVER,
    Automaton,
    Route,
    at_least,
    both,
    distances,
    ended_by,
    ended_by_others,
    of_ids,
    trimmed,
)

V = 3
TEXTS = [text for n in range(6) for text in itertools.product(range(V), repeat=n)]


def some_automaton(rng: np.random.Generator, states: int) -> Automaton:
    after = rng.integers(-1, states, (states, V)).astype(np.int32)
    return Automaton(after, rng.random(states) < 0.4)


def accepts(automaton: Automaton, text: tuple[int, ...]) -> bool:
    state = 0
    for i in text:
        state = int(automaton.after[state, i])
        if state < 0:
            return False
    return bool(automaton.accepting[state])


def accepted(automaton: Automaton) -> set[tuple[int, ...]]:
    return {text for text in TEXTS if accepts(automaton, text)}


@pytest.mark.parametrize("seed", range(30))
def test_both_trimmed_and_distances(seed: int):
    rng = np.random.default_rng(seed)
    first, second = some_automaton(rng, 4), some_automaton(rng, 3)
    assert accepted(both(first, second)) == accepted(first) & accepted(second)
    assert accepted(trimmed(first)) == accepted(first)
    for state, distance in enumerate(distances(first)):
        shortest = min((len(text) for text in accepted(begun_at(first, state))), default=FAR)
        assert distance == shortest
    dead = np.flatnonzero(distances(first) == FAR)
    assert not np.isin(trimmed(first).after, dead).any()


def begun_at(automaton: Automaton, first: int) -> Automaton:
    after = automaton.after
    renumbered = np.where(after >= 0, (after - first) % len(after), after)
    return Automaton(np.roll(renumbered, -first, 0), np.roll(automaton.accepting, -first))


def test_the_rows():
    assert accepted(of_ids(np.array([True, False, True]))) == {t for t in TEXTS if 1 not in t}
    assert accepted(at_least(2, V)) == {t for t in TEXTS if len(t) >= 2}
    assert accepted(at_least(0, V)) == set(TEXTS)
    assert accepted(ended_by(1, V)) == {t for t in TEXTS if 1 not in t}
    assert ended_by(1, V).after.tolist() == [[0, ENDS, 0]]


def test_what_ends_a_text():
    """Texts 0+; where one may end, others end it; an id that is banned is none of the others."""
    zeros = Automaton(
        np.array([[1, NEVER, NEVER], [1, NEVER, NEVER]], np.int32), np.array([False, True])
    )
    ended = ended_by_others(zeros)
    assert ended.after.tolist() == [[1, NEVER, NEVER], [1, ENDS, ENDS]]
    long = both(ended, at_least(2, V))
    assert accepted(long) == {(0,) * n for n in range(2, 6)}
    assert long.after[long.accepting].tolist() == [[5, ENDS, ENDS]]
    assert not (long.after[~long.accepting] == ENDS).any()
    without = both(ended, of_ids(np.array([False, True, True])))
    assert without.after.tolist() == [[NEVER, NEVER, NEVER], [NEVER, ENDS, ENDS]]


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("length", [0, 1, 3, 5])
def test_a_route_leads_to_every_accepted_text_and_to_no_other(seed: int, length: int):
    some = some_automaton(np.random.default_rng(seed), 4)
    some.after[:, 2] = NEVER  # an id that ends a text wherever it may end
    automaton = ended_by_others(some)
    wanted = {text for text in accepted(automaton) if len(text) <= length}
    if not wanted:
        with pytest.raises(ConfigError, match=r"no text of|the shortest text"):
            Route(automaton, length)
        return
    route = Route(automaton, length)
    assert set(written(route, (), 0, length)) == wanted


def written(route: Route, text: tuple[int, ...], state: int, left: int) -> list[tuple[int, ...]]:
    """All texts to which a route leads, by trying all that it allows."""
    if left == 0:
        return [text]
    states = np.array([state], np.int32)
    (allowed,) = route.allowed(states, np.array([left]))
    assert allowed.any()
    found = []
    for i in np.flatnonzero(allowed):
        after = int(route.advance(states, np.array([i]))[0])
        found += [text] if after == ENDS else written(route, (*text, int(i)), after, left - 1)
    return found


def test_a_route_of_one_state():
    assert set(written(Route(ended_by(1, V), 2), (), 0, 2)) == {
        t for t in TEXTS if len(t) <= 2 and 1 not in t
    }


def test_any_length_has_room():
    route = Route(of_ids(np.array([True, False, True])), 10**15)
    (allowed,) = route.allowed(np.zeros(1, np.int32), np.array([10**15]))
    assert allowed.tolist() == [True, False, True]


def test_a_table_has_an_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LARGEST_TABLE", 30)
    both(at_least(1, V), at_least(4, V))
    for make in (lambda: both(at_least(2, V), at_least(4, V)), lambda: at_least(10, V)):
        with pytest.raises(ConfigError, match="more than fit a table"):
            make()
