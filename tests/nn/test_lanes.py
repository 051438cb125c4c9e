"""Texts in lanes that refill: each as if it were alone, with the probabilities of the model."""

from itertools import count, islice

import numpy as np
import pytest

from charlstm.nn.automaton import ENDS, Automaton, Route, ended_by
from charlstm.nn.lanes import Lanes, Streams, Written, write_texts
from charlstm.nn.model import CharLM, Shape
from charlstm.nn.sampling import Choice

END, V = 3, 4
START = np.array([END], np.uint8)


@pytest.fixture(scope="module", params=["lstm", "layer-norm"])
def model(request: pytest.FixtureRequest) -> CharLM:
    model = CharLM(Shape(V, request.param, layers=2, hidden_size=6, dtype="float64"), seed=2)
    model.values[...] = np.random.default_rng(3).normal(size=model.values.size)
    model.linear.b_y.value[...] = [0, 0, 0, -0.7]
    return model


def written(model: CharLM, numbers, lanes: int, length: int = 5, **options) -> list[Written]:
    settings = {"choice": Choice(), "seed": 5, "route": Route(ended_by(END, V), length)} | options
    made = Lanes(model, START, iter(numbers), lanes=lanes, length=length, **settings)
    return list(write_texts(made))


def probabilities(model: CharLM, ids: list[int]) -> np.ndarray:
    """``(len(ids) + 1, V)``, before each of the ids and after the last."""
    read = np.array([END, *ids], np.intp)[:, np.newaxis]
    logits, _ = model.forward(read, model.zero_states(1), model.tape(len(read), 1))
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def test_each_text_as_if_it_were_alone(model: CharLM):
    together = written(model, range(60), lanes=7)
    assert [text.number for text in together] == list(range(60))
    assert {text.ended for text in together} == {True, False}
    assert len({len(text.ids) for text in together}) > 3
    for lanes, numbers in ((1, range(60)), (60, range(60)), (100, range(60))):
        assert_same(written(model, numbers, lanes), together)
    assert_same(written(model, range(13), lanes=4), together[:13])


def assert_same(texts: list[Written], others: list[Written]) -> None:
    for text, other in zip(texts, others, strict=True):
        assert text.ids.tolist() == other.ids.tolist()
        assert (text.number, text.ended) == (other.number, other.ended)
        assert text.nats == pytest.approx(other.nats, rel=1e-12)


def test_nats_are_those_of_the_text_and_of_its_end(model: CharLM):
    for text in written(model, range(30), lanes=8, choice=Choice(2.0, top_k=3)):
        ids = text.ids.tolist()
        p = probabilities(model, ids)
        chosen = [*ids, END] if text.ended else ids
        expected = -sum(np.log(p[place, i]) for place, i in enumerate(chosen))
        assert text.nats == pytest.approx(expected, rel=1e-10)
        assert text.ended or len(ids) == 5


def test_texts_come_as_often_as_the_model_says(model: CharLM):
    drawn = 4000
    texts = written(model, range(drawn), lanes=200, length=2)
    first, _ = probabilities(model, [0])[:2]
    counts = np.bincount([text.ids[0] if len(text.ids) else END for text in texts], minlength=V)
    assert ((counts - drawn * first) ** 2 / (drawn * first)).sum() < 3 + 5 * np.sqrt(6)
    second = probabilities(model, [1])[1]
    after_1 = [text for text in texts if text.ids[:1].tolist() == [1]]
    counts = np.bincount([t.ids[1] if len(t.ids) > 1 else END for t in after_1], minlength=V)
    wanted = len(after_1) * second
    assert ((counts - wanted) ** 2 / wanted).sum() < 3 + 5 * np.sqrt(6)


def test_a_route_of_its_own_for_each(model: CharLM):
    """Ids 0 and 1 by turns, at least two: a text that begins anew stands at the beginning."""
    after = np.array([[1, -1, -1, -1], [-1, 2, -1, -1], [1, -1, -1, ENDS]], np.int32)
    route = Route(Automaton(after, np.array([False, False, True])), 9)
    texts = written(model, range(40), lanes=6, length=9, route=route)
    for text in texts:
        assert text.ids.tolist() == [0, 1] * (len(text.ids) // 2)
        assert len(text.ids) >= 2
    assert len({len(text.ids) for text in texts}) > 2


def test_scores_far_apart_are_no_matter():
    """Their difference is no float32 any more; warnings are errors here."""
    model = CharLM(Shape(V, layers=1, hidden_size=6), seed=2)
    model.linear.b_y.value[...] = [3e38, -3e38, 0, 0]
    texts = written(model, range(3), lanes=2)
    assert [text.ids.tolist() for text in texts] == [[0] * 5] * 3
    assert [text.nats for text in texts] == [0, 0, 0]


def test_endless_numbers_take_no_more_memory(model: CharLM):
    settings = {"length": 5, "choice": Choice(), "seed": 5, "route": Route(ended_by(END, V), 5)}
    several = list(islice(write_texts(Lanes(model, START, count(), lanes=5, **settings)), 30))
    assert_same(several, written(model, range(30), lanes=5))


def test_streams_do_not_depend_on_lanes():
    three, one = Streams(7, 3), Streams(7, 1)
    three.begin(np.array([0, 1, 2]), np.array([4, 11, 5]))
    one.begin(np.array([0]), np.array([11]))
    draws = np.array([three.next() for _ in range(50)])
    np.testing.assert_array_equal(draws[:, 1], [one.next()[0] for _ in range(50)])
    three.begin(np.array([0]), np.array([11]))
    np.testing.assert_array_equal([three.next()[0] for _ in range(50)], draws[:, 1])


def test_streams_are_uniform_and_independent():
    streams = Streams(2**63 - 1, 1000)
    streams.begin(np.arange(1000), np.arange(1000))
    draws = np.array([streams.next() for _ in range(200)])
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = np.histogram(draws, 20, (0, 1))[0]
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 19 + 5 * np.sqrt(38)
    for a, b in ((draws[:-1], draws[1:]), (draws[:, :-1], draws[:, 1:])):
        correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
        assert abs(correlation) < 5 / np.sqrt(a.size)
    other = Streams(3, 1000)
    other.begin(np.arange(1000), np.arange(1000))
    assert abs(np.corrcoef(other.next(), draws[0])[0, 1]) < 0.2
