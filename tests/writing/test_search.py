"""The search finds the likeliest ways: compared with all there are, one by one."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest

from charlstm.nn.model import CharLM, Shape
from charlstm.nn.sampling import read
from charlstm.writing import search
from charlstm.writing.search import Found, likeliest, log_probabilities

START = np.array([2, 0], np.uint8)
ENDS = np.array([False, False, True, False, True])


@pytest.fixture(scope="module", params=["lstm", "layer-norm"])
def model(request: pytest.FixtureRequest) -> CharLM:
    model = CharLM(Shape(5, request.param, layers=2, hidden_size=6, dtype="float64"), seed=2)
    model.values[...] = np.random.default_rng(4).normal(size=model.values.size)
    model.linear.b_y.value[...] = [0, 0.5, 1.5, -0.5, 1]
    return model


def searched(model: CharLM, count: int, **options) -> Found:
    logits, states = read(model, START, 1)
    return likeliest(model, logits, states, ENDS, count=count, **{"steps": 10_000, **options})


@pytest.fixture(scope="module")
def ways(model: CharLM) -> list[tuple[float, tuple[int, ...]]]:
    """All there are with up to six ids, the likeliest first."""
    found = []
    for length in range(7):
        texts = list(itertools.product(np.flatnonzero(~ENDS).tolist(), repeat=length))
        ids = np.array([[*START, *text] for text in texts], np.intp).T
        T, B = ids.shape
        logits, _ = model.forward(ids, model.zero_states(B), model.tape(T, B))
        rows = log_probabilities(logits).reshape(T, B, -1)
        for b, text in enumerate(texts):
            own = math.fsum(rows[1 + place, b, i] for place, i in enumerate(text))
            found.append((own + math.log(np.exp(rows[-1, b, ENDS]).sum()), text))
    return sorted(found, key=lambda way: -way[0])


@pytest.mark.parametrize("count", [1, 4, 30])
def test_the_likeliest_ways(model: CharLM, ways: list, count: int):
    found = searched(model, count)
    assert found.unseen == -np.inf
    assert [way.ids for way in found.ways] == [ids for _, ids in ways[:count]]
    np.testing.assert_allclose([w.log_p for w in found.ways], [p for p, _ in ways[:count]])
    assert any(len(way.ids) > 1 for way in found.ways) or count < 30


def test_an_end_at_once_need_not_be_a_way(model: CharLM, ways: list):
    expected = [ids for _, ids in ways if ids]
    assert [way.ids for way in searched(model, 5, may_end=False).ways] == expected[:5]


def test_what_a_budget_hides_is_told(model: CharLM):
    early = searched(model, 20, steps=1)
    everything = searched(model, 20)
    missed = {way.ids for way in everything.ways} - {way.ids for way in early.ways}
    assert missed
    assert all(way.log_p <= early.unseen for way in everything.ways if way.ids in missed)
    assert -np.inf < early.unseen < 0


def test_what_is_left_out_of_a_large_vocabulary_is_told(
    model: CharLM, ways: list, monkeypatch: pytest.MonkeyPatch
):
    everything = {way.ids: way.log_p for way in searched(model, 20).ways}
    monkeypatch.setattr(search, "WIDEST", 1)
    found = searched(model, 20)
    seen = {way.ids: way.log_p for way in found.ways}
    missed = everything.keys() - seen.keys()
    assert missed
    assert all(everything[ids] <= found.unseen for ids in missed)
    for ids in everything.keys() - missed:  # beside fewer others: BLAS sums in another order
        assert seen[ids] == pytest.approx(everything[ids], rel=1e-12)


def test_memory_does_not_grow_with_vocabulary_times_steps():
    V = 30_000
    model = CharLM(Shape(V, "lstm", 1, 1, 1), seed=1)
    logits, states = read(model, START, 1)
    ends = np.arange(V) == 0
    tracemalloc.start()
    likeliest(model, logits, states, ends, count=5000, steps=320)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80_000_000  # of 320 rows of the vocabulary, sorted, 154 million


def test_nothing_but_ends(model: CharLM):
    logits, states = read(model, START, 1)
    every = np.ones(5, np.bool_)
    (way,), unseen = likeliest(model, logits, states, every, count=9, steps=9)
    assert way.ids == ()
    assert way.log_p == pytest.approx(0, abs=1e-12)
    assert unseen == -np.inf
