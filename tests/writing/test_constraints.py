"""Texts satisfy what they must, with the model's own probabilities among what is allowed."""

import re
from collections import Counter
from itertools import islice

import numpy as np
import pytest

import charlstm
from charlstm import api
from charlstm.errors import ConfigError
from charlstm.nn.automaton import Automaton, Route
from charlstm.nn.model import CharLM, Shape
from charlstm.nn.sampling import ENDED, Choice, generate
from charlstm.writing import texts

TEXT = (
    "Cora and Nell sail at 5 on 1872-08-06; Mr. Budd, Mrs. West, x_1 = foo(bar)\n"
    "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789 .,;'_\u00e9\u0436\n"
) * 6
MODEL = {"layers": 1, "hidden_size": 12, "embedding_size": 0, "dropout": 0}
TRAINING = {"steps": 4, "batch_size": 4, "sequence_length": 8, "early_stopping": 0}

EXPRESSIONS = [
    "Co[a-z]*[aeiou]",
    "18[0-9]{2}-(0[1-9]|1[0-2])-[0-3]\\d",
    "[A-Za-z_]\\w{0,11}",
    "[^\\n]{0,72}\\n",
    "(Mr|Mrs)\\. [A-Z][a-z]+(, (Mr|Mrs)\\. [A-Z][a-z]+)*",
    "(?i)the (cat|dog)s? (sat|ran)",
    ".*\u00e9.*\u0436.?",
    "(ab|ba)+",
    "[^aeiou\\n]{10,20}[aeiou]",
    "\\d+(\\.\\d+)?",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> api.Model:
    folder = tmp_path_factory.mktemp("constraints")
    (folder / "t.txt").write_text(TEXT, encoding="utf-8")
    settings = {"data": {"files": str(folder / "t.txt")}, "model": MODEL, "training": TRAINING}
    return charlstm.train(settings, out=folder / "run").model()


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory: pytest.TempPathFactory) -> api.Model:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "t.txt").write_text(TEXT, encoding="utf-8")
    data = {"files": str(folder / "t.txt"), "unit": "bytes"}
    settings = {"data": data, "model": MODEL, "training": TRAINING}
    return charlstm.train(settings, out=folder / "run").model()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_text_matches_as_a_whole(model: api.Model, expression: str):
    options: api.SampleOptions = {"match": expression, "length": 80, "seed": 3}
    found = model.samples(20, "Nell", **options)
    assert [text for text in found if not re.fullmatch(expression, text)] == []
    assert len(set(found)) > 1
    assert found[0] == model.sample("Nell", **options)


@pytest.mark.parametrize("temperature", [0, 0.5, 5])
def test_together_with_other_options(model: api.Model, temperature: float):
    found = model.samples(
        30,
        match="[a-z]+",
        only="bcdxyz",
        ban="d",
        min_length=4,
        length=9,
        seed=1,
        temperature=temperature,
        top_k=3,
        top_p=0.9,
    )
    assert [text for text in found if not re.fullmatch("[bcxyz]{4,9}", text)] == []


def test_only_and_ban(model: api.Model):
    assert set(model.sample(only="abc\u4e2d", length=200, temperature=3)) == {*"abc"}
    without = model.sample(ban="aeiou\u4e2d", length=600, temperature=3)
    assert not set(without) & {*"aeiou"}
    assert len(without) == 600


def test_the_same_texts_however_many_are_made(model: api.Model, monkeypatch: pytest.MonkeyPatch):
    options: api.SampleOptions = {"match": "[a-z]{0,9}", "seed": 4, "temperature": 2}
    at_once = model.samples(9, **options)
    assert len({len(text) for text in at_once}) >= 3
    monkeypatch.setattr(texts, "LARGEST_GROUP", 2)
    assert model.samples(9, **options) == at_once
    assert "".join(model.stream(**options)) == at_once[0]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"match": "\u4e2d"}, "no text of the model's vocabulary can satisfy this"),
        ({"match": "a{6}", "length": 5}, "the shortest text that satisfies this has 6 characters"),
        ({"match": "a{2}", "ban": "a"}, "no text of the model's vocabulary"),
        ({"match": "a{2}", "min_length": 3}, "no text of the model's vocabulary"),
        ({"match": "a+", "min_length": 3, "length": 2}, "has 3 characters, more than the length"),
        ({"only": "\u4e2d"}, "no character of the model's vocabulary is left"),
        ({"only": "ab", "ban": "abc"}, "no character of the model's vocabulary is left"),
        ({"min_length": 3}, "a minimum length goes with match"),
        ({"match": "("}, "missing \\)"),
    ],
)
def test_what_no_text_can_satisfy(model: api.Model, options: dict, reason: str):
    with pytest.raises(ConfigError, match=reason) as refused:
        model.samples(2, **options)
    assert "\n" not in str(refused.value)


def test_a_model_of_bytes_writes_ascii(of_bytes: api.Model):
    found = of_bytes.samples(20, match=".{3}[^a]\\W", seed=2, errors="strict")
    assert [text for text in found if not re.fullmatch(".{3}[^a]\\W", text)] == []
    assert all(text.isascii() for text in found)
    for options in ({"match": "\u00e9"}, {"only": "\u00e9"}, {"ban": "\u00e9"}):
        with pytest.raises(ConfigError, match="ASCII"):
            of_bytes.sample(**options)


# The probabilities


@pytest.fixture(scope="module")
def small() -> CharLM:
    model = CharLM(Shape(4, layers=1, hidden_size=5, dtype="float64"), seed=2)
    model.values[...] = np.random.default_rng(3).normal(size=model.values.size)
    return model


AUTOMATON = Automaton(np.array([[1, -1, 1, -1], [-1, 0, 1, -2]], np.int32), np.array([False, True]))
"""Ids 0 and 2 first; then 1 back to the start, or 2 again, or 3, which ends the text."""


def probabilities(model: CharLM, text: tuple[int, ...]) -> np.ndarray:
    ids = np.array([3, *text], np.intp)[:, np.newaxis]
    logits, _ = model.forward(ids, model.zero_states(1), model.tape(len(ids), 1))
    weights = np.exp(logits[-1] - logits[-1].max())
    return weights / weights.sum()


def exact(model: CharLM, length: int) -> Counter[tuple[int, ...]]:
    """Every text that the automaton accepts, with its probability by the definition."""
    found: Counter[tuple[int, ...]] = Counter()
    open_texts = [((), 0, 1.0)]
    while open_texts:
        text, state, p = open_texts.pop()
        if len(text) == length:
            found[text] += p
            continue
        row = AUTOMATON.after[state]
        last = len(text) == length - 1
        allowed = [
            i for i in range(4) if row[i] == -2 or (row[i] >= 0 and not (last and row[i] == 0))
        ]
        weights = probabilities(model, text)
        for i in allowed:
            share = p * weights[i] / weights[allowed].sum()
            if row[i] == -2:
                found[text] += share
            else:
                open_texts.append(((*text, i), int(row[i]), share))
    return found


def written(model: CharLM, length: int, count: int) -> np.ndarray:
    """``(count, length)``"""
    ids = generate(
        model,
        np.array([3]),
        count=count,
        length=length,
        choice=Choice(),
        seed=5,
        route=Route(AUTOMATON, length),
    )
    return np.array(list(ids)).T


def test_texts_have_the_models_probabilities_among_what_is_allowed(small: CharLM):
    expected, drawn = exact(small, 4), 4000
    assert sum(expected.values()) == pytest.approx(1)
    made = written(small, 4, 4000)
    counts = Counter(tuple(int(i) for i in row if i != ENDED) for row in made)
    assert counts.keys() <= expected.keys()
    chi_square = sum((counts[text] - drawn * p) ** 2 / (drawn * p) for text, p in expected.items())
    freedom = len(expected) - 1
    assert freedom > 8
    assert chi_square < freedom + 5 * np.sqrt(2 * freedom)


def test_a_text_that_has_ended_stays_so(small: CharLM):
    made = written(small, 30, 50)
    for row in made:
        ends = np.flatnonzero(row == ENDED)
        assert not len(ends) or (row[ends[0] :] == ENDED).all()
    assert (made[:, -1] == ENDED).any()


# Groups


def test_any_number_of_texts_takes_no_more_memory(
    model: api.Model, monkeypatch: pytest.MonkeyPatch
):
    options: api.SampleOptions = {"length": 30, "temperature": 3, "seed": 4}
    at_once = model.samples(7, "ab", **options)
    assert len(set(at_once)) == 7
    largest = 0

    def generate_and_note(*arguments, count: int, **others):
        nonlocal largest
        largest = max(largest, count)
        return generate(*arguments, count=count, **others)

    monkeypatch.setattr(texts, "LARGEST_GROUP", 3)
    monkeypatch.setattr(texts, "generate", generate_and_note)
    assert model.samples(7, "ab", **options) == at_once
    assert largest == 3
    assert list(islice(model.iter_samples(10**12, "ab", **options), 5)) == at_once[:5]


def test_groups_are_small_where_a_text_is_large(model: api.Model):
    sizes = [
        texts.Writer(model.loaded, "", texts.Options(length)).group_size()
        for length in (0, 500, 10**6, 10**9)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == texts.LARGEST_GROUP
    assert sizes[1] * (4 * 500 + 8 * 1024) <= 10**8
    assert sizes[-1] == 1
