"""Text from a model: chosen with the probabilities that were asked for, and repeatable."""

import itertools
import random
from collections.abc import Iterator

import numpy as np
import pytest

from charlstm.nn.finite import OverflowedError
from charlstm.nn.model import CharLM, Shape
from charlstm.nn.sampling import DRAWS_AT_ONCE, PROMPT_CHUNK, Choice, Draws, choose, generate
from charlstm.text.vocabulary import Vocabulary, until

LOGITS = np.array([0.3, 2.0, -1.0, 2.0, 0.9, -3.0, 1.4], np.float32)
DRAWN = 200_000


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores.astype(np.float64) - scores.max())
    return weights / weights.sum()


def expected(choice: Choice) -> np.ndarray:
    """The distribution by the definition, one character at a time."""
    p = softmax(LOGITS / choice.temperature)
    order = sorted(range(len(p)), key=lambda i: (-p[i], i))
    kept = order[: choice.top_k or len(p)]
    p = np.array([p[i] if i in kept else 0.0 for i in range(len(p))])
    p /= p.sum()
    nucleus, reached = [], 0.0
    for i in kept:
        if reached >= choice.top_p:
            break
        nucleus.append(i)
        reached += p[i]
    p = np.array([p[i] if i in nucleus else 0.0 for i in range(len(p))])
    return p / p.sum()


CHOICES = [
    Choice(),
    Choice(temperature=0.5),
    Choice(temperature=3.0),
    Choice(top_k=1),
    Choice(top_k=2),  # the second and the fourth are equally likely
    Choice(top_k=3),
    Choice(top_k=7),
    Choice(top_k=100),
    Choice(top_p=0.3),  # within the first: only that one
    Choice(top_p=0.6),
    Choice(top_p=0.95),
    Choice(top_p=1e-9),
    Choice(temperature=0.7, top_k=4, top_p=0.9),
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_choices_have_the_probabilities_asked_for(choice: Choice):
    draws = np.random.default_rng(7).random(DRAWN)
    counts = np.zeros(len(LOGITS))
    for part in np.split(draws, 20):
        ids = choose(np.tile(LOGITS, (len(part), 1)), choice, part)
        counts += np.bincount(ids, minlength=len(LOGITS))
    p = expected(choice)
    assert not counts[p == 0].any()
    kept = p > 0
    chi_square = float(((counts - DRAWN * p)[kept] ** 2 / (DRAWN * p[kept])).sum())
    freedom = int(kept.sum()) - 1
    # Mean and spread of the distribution are freedom and sqrt(2 freedom).
    assert chi_square <= freedom + 5 * np.sqrt(2 * freedom)


@pytest.mark.parametrize(("p", "kept"), [(0.5, {0}), (0.500001, {0, 1}), (0.25, {0})])
def test_top_p_keeps_the_fewest_that_reach_it(p: float, kept: set[int]):
    draws = np.linspace(0, 0.999, 200)
    logits = np.tile(np.array([0.0, 0.0, -1000.0]), (200, 1))
    assert set(choose(logits, Choice(top_p=p), draws).tolist()) == kept


def test_temperature_0_takes_the_likeliest_and_of_equals_the_first():
    rng = np.random.default_rng(8)
    logits = rng.normal(size=(50, 9)).astype(np.float32)
    ids = choose(logits, Choice(0.0), rng.random(50))
    np.testing.assert_array_equal(ids, logits.argmax(axis=1))
    assert choose(LOGITS[np.newaxis], Choice(0.0), np.array([0.99])) == [1]


@pytest.mark.parametrize("temperature", [1e-6, 1e-300])
def test_a_temperature_close_to_0_takes_one_of_the_likeliest(temperature: float):
    with np.errstate(over="ignore"):
        ids = choose(np.tile(LOGITS, (100, 1)), Choice(temperature), np.linspace(0, 0.999, 100))
    assert set(ids.tolist()) == {1, 3}


@pytest.mark.parametrize("draw", [0.0, np.nextafter(1.0, 0.0)])
@pytest.mark.parametrize("choice", [Choice(), Choice(top_k=2), Choice(top_p=0.5)], ids=str)
def test_the_ends_of_the_draws_choose_nothing_impossible(draw: float, choice: Choice):
    (chosen,) = choose(LOGITS[np.newaxis], choice, np.array([draw]))
    assert expected(choice)[chosen] > 0


@pytest.fixture(scope="module")
def model() -> CharLM:
    model = CharLM(Shape(7, layers=2, hidden_size=6, dtype="float64"), seed=2)
    model.values[...] = np.random.default_rng(3).normal(size=model.values.size)
    return model


def texts(model: CharLM, start: list[int], count: int, length: int, seed: int = 5) -> np.ndarray:
    choice = Choice(0.9, top_p=0.98)
    ids = generate(
        model, np.array(start, np.uint8), count=count, length=length, choice=choice, seed=seed
    )
    return np.array(list(ids)).T


def test_a_text_does_not_depend_on_how_many_there_are(model: CharLM):
    ten = texts(model, [3, 1], count=10, length=60)
    for count in (1, 2, 7):
        np.testing.assert_array_equal(texts(model, [3, 1], count=count, length=60), ten[:count])
    assert len({row.tobytes() for row in ten}) == 10


def test_a_shorter_text_is_the_beginning_of_a_longer_one(model: CharLM):
    long = texts(model, [2], count=2, length=DRAWS_AT_ONCE + 50)
    np.testing.assert_array_equal(texts(model, [2], count=2, length=30), long[:, :30])


def test_seeds(model: CharLM):
    first, again = (texts(model, [2], count=1, length=80, seed=11) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (texts(model, [2], count=1, length=80, seed=12) != first).any()
    assert (texts(model, [2], count=1, length=80, seed=2**63 - 1) != first).any()
    assert all(0 <= Draws.fresh_seed() < 2**31 for _ in range(100))
    assert len({Draws.fresh_seed() for _ in range(100)}) > 90


def test_draws_are_uniform_and_those_of_numpys_generator():
    draws = Draws(4, 3)
    rows = np.array([draws.next().copy() for _ in range(DRAWS_AT_ONCE + 3)]).T
    for number, row in enumerate(rows):
        np.testing.assert_array_equal(row, np.random.default_rng([4, number]).random(len(row)))


@pytest.mark.parametrize("length", [1, PROMPT_CHUNK, PROMPT_CHUNK + 1, 3 * PROMPT_CHUNK + 5])
def test_a_prompt_is_read_to_its_end_however_long(model: CharLM, length: int):
    prompt = np.random.default_rng(6).integers(0, 7, length)
    states, tape = model.zero_states(1), model.tape(1, 1)
    for character in prompt:
        logits, states = model.forward(np.array([[character]], np.intp), states, tape)
    chosen = []
    for _ in range(20):
        chosen.append(int(logits.argmax()))
        logits, states = model.forward(np.array([[chosen[-1]]], np.intp), states, tape)
    ids = generate(model, prompt.astype(np.uint8), count=2, length=20, choice=Choice(0.0), seed=0)
    np.testing.assert_array_equal(np.array(list(ids)), np.array([chosen, chosen]).T)


def test_generated_text_follows_the_models_probabilities(model: CharLM):
    """3,000 first characters after one prompt, against the exact distribution."""
    ids = texts_of_first(model, count=3000)
    logits, _ = model.forward(np.array([[3], [1]], np.intp), model.zero_states(1), model.tape(2, 1))
    p = softmax(logits[-1])
    counts = np.bincount(ids, minlength=7)
    assert ((counts - 3000 * p) ** 2 / (3000 * p)).sum() < 6 + 5 * np.sqrt(12)


def texts_of_first(model: CharLM, count: int) -> np.ndarray:
    start = np.array([3, 1], np.uint8)
    return next(generate(model, start, count=count, length=1, choice=Choice(), seed=9))


def test_nothing_is_computed_before_it_is_asked_for(model: CharLM):
    endless = generate(
        model, np.array([0], np.uint8), count=1, length=10**12, choice=Choice(), seed=1
    )
    assert len(list(itertools.islice(endless, 5))) == 5


def pieces_of(text: str, rng: random.Random) -> Iterator[str]:
    while text:
        size = rng.randint(0, 3)
        yield text[:size]
        text = text[size:]


def test_until_stops_before_the_stop_text_and_holds_back_no_more_than_it_must():
    rng = random.Random(1)
    stopped = 0
    for _ in range(5_000):
        text = "".join(rng.choices("ab\n", k=rng.randint(0, 12)))
        stop = "".join(rng.choices("ab\n", k=rng.randint(1, 4)))
        assert read_until(stop, list(pieces_of(text, rng))) == text.partition(stop)[0]
        stopped += stop in text
    assert 1_000 < stopped < 4_000


def read_until(stop: str, pieces: list[str]) -> str:
    """What comes out; after each piece, only what may begin ``stop`` may still be held back."""
    seen: list[str] = []
    given: list[str] = []

    def watched() -> Iterator[str]:
        for piece in pieces:
            seen.append(piece)
            yield piece
            held = "".join(seen)[len("".join(given)) :]
            assert stop.startswith(held), (stop, seen, given)

    for piece in until(stop, watched()):
        given.append(piece)
    return "".join(given)


@pytest.mark.parametrize("stop", [None, ""])
def test_until_nothing_is_everything(stop: str | None):
    assert list(until(stop, ["a", "", "b"])) == ["a", "", "b"]


def test_default_start():
    assert Vocabulary.of_characters(map(ord, "b\na")).default_start().tolist() == [0]
    assert Vocabulary.of_characters(map(ord, "\t\nab")).default_start().tolist() == [1]
    assert Vocabulary.of_characters(map(ord, "ba")).default_start().tolist() == [0]
    assert Vocabulary.of_bytes().default_start().tolist() == [10]


@pytest.mark.parametrize(("dtype", "huge"), [("float32", 3e38), ("float64", 1.7e308)])
@pytest.mark.parametrize("temperature", [0.0, 1.0, 1e-300])
def test_scores_that_are_not_finite_end_it(dtype: str, huge: float, temperature: float):
    model = CharLM(Shape(6, hidden_size=5, dtype=dtype), seed=2)
    model.linear.W_y.value[...] = huge * np.sign(model.linear.W_y.value)
    model.linear.b_y.value[...] = huge
    choice = Choice(temperature)
    with pytest.raises(OverflowedError, match="the model: its weights are so large"):
        list(generate(model, np.array([1]), count=2, length=400, choice=choice, seed=3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_far_apart_are_no_matter(dtype: str):
    model = CharLM(Shape(6, hidden_size=5, dtype=dtype), seed=2)
    model.linear.b_y.value[...] = [1e30, -1e30, 0, 1, 2, 3]
    for temperature in (0.0, 1e-320, 1.0):
        texts = generate(
            model, np.array([1]), count=2, length=9, choice=Choice(temperature), seed=3
        )
        assert np.array(list(texts)).tolist() == [[0, 0]] * 9
