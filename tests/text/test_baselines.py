"""Simple methods: the counting model against one of dictionaries, and what bounds the work."""

import math
import random
from collections import Counter

import numpy as np
import pytest

from charlstm.text import baselines as module
from charlstm.text.baselines import (
    Excerpt,
    at_most,
    baselines,
    baselines_of_items,
    by_counting,
    by_counting_in_items,
    by_frequencies,
    by_xz,
    excerpt,
)
from charlstm.text.items import Items
from charlstm.text.vocabulary import Vocabulary

ABCDE = Vocabulary.of_characters(map(ord, "abcde"))


def some_ids(length: int, seed: int) -> np.ndarray:
    """Ids below 5; each is mostly that of two places before, so that contexts tell something."""
    rng = random.Random(seed)
    ids = [0, 1]
    while len(ids) < length:
        ids.append(ids[-2] if rng.random() < 0.6 else rng.randrange(5))
    return np.array(ids)


def witten_bell(train: list[int], text: list[int], place: int, k: int, symbols: int) -> float:
    """p_k of ``text[place]``, by its definition."""
    if k < 0:
        return 1 / symbols
    lower = witten_bell(train, text, place, k - 1, symbols)
    context = text[place - k : place]
    followers = Counter(train[n] for n in range(k, len(train)) if train[n - k : n] == context)
    total = sum(followers.values()) + len(followers)
    if not total:
        return lower
    return (followers[text[place]] + len(followers) * lower) / total


@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_counting(order: int):
    train, validation = some_ids(83, 1), some_ids(29, 2)
    text = [*train.tolist(), *validation.tolist()]
    places = range(len(train) + 1, len(text))
    expected = [-math.log2(witten_bell(train.tolist(), text, p, order, 5)) for p in places]
    found = by_counting(Excerpt(train, validation), 5, order)
    assert found == pytest.approx(np.mean(expected), rel=1e-12)


def test_a_training_part_shorter_than_the_context():
    parts = Excerpt(np.array([0, 1]), some_ids(40, 3))
    assert by_counting(parts, 5) == pytest.approx(by_counting(parts, 5, 1), rel=1e-12)


def test_contexts_help_where_they_tell_something():
    parts = Excerpt(some_ids(20_000, 4), some_ids(2_000, 5))
    assert by_counting(parts, 5) < 0.9 * by_frequencies(parts, 5)


def test_frequencies():
    parts = Excerpt(np.array([0, 0, 0, 1]), np.array([4, 0, 2]))
    expected = -(math.log2(4 / 9) + math.log2(1 / 9)) / 2
    assert by_frequencies(parts, 5) == pytest.approx(expected, rel=1e-12)


def test_xz_knows_what_it_has_read():
    train = np.random.default_rng(1).integers(0, 5, 4000)
    same, other = train[:1000], np.random.default_rng(2).integers(0, 5, 1000)
    known = by_xz(Excerpt(train, same), ABCDE)
    unknown = by_xz(Excerpt(train, other), ABCDE)
    assert known is not None
    assert unknown is not None
    assert known < 0.4
    assert math.log2(5) < unknown < 1.5 * math.log2(5)


def test_a_python_without_xz(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "lzma", None)
    parts = Excerpt(some_ids(50, 1), some_ids(20, 2))
    assert [name.split()[0] for name, _ in baselines(parts, ABCDE)] == ["frequencies", "5"]


def test_a_long_text_is_cut_where_the_parts_meet(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_TRAINING", 3)
    monkeypatch.setattr(module, "MOST_VALIDATION", 2)
    parts = excerpt(np.arange(10, dtype=np.uint8), np.arange(10, 20, dtype=np.uint8))
    assert (parts.train.tolist(), parts.validation.tolist()) == ([7, 8, 9], [10, 11])


def naive_counting_in_items(train: list[str], validation: list[str], symbols: str) -> float:
    """Witten and Bell, each item after five signs that nothing stands before it."""
    after: dict[str, dict[str, int]] = {}
    for item in train:
        padded = "." * 5 + item
        for place in range(5, len(padded)):
            for k in range(6):
                followers = after.setdefault(padded[place - k : place], {})
                followers[padded[place]] = followers.get(padded[place], 0) + 1
    bits = []
    for item in validation:
        padded = "." * 5 + item
        for place in range(5, len(padded)):
            p = 1 / len(symbols)
            for k in range(6):
                seen = after.get(padded[place - k : place])
                if seen:
                    total, different = sum(seen.values()), len(seen)
                    p = (seen.get(padded[place], 0) + different * p) / (total + different)
            bits.append(-math.log2(p))
    return sum(bits) / len(bits)


def test_what_is_counted_of_items_stays_within_them():
    train = ["anna\n", "ann\n", "hanna\n", "a\n", "nan\n"] * 2
    validation = ["anna\n", "hann\n", "n\n"]

    def items(texts: list[str]) -> Items:
        stream = "".join("\n" + text[:-1] for text in texts)
        ids = np.array(["\nahn".index(c) for c in stream], np.uint8)
        lengths = np.array([len(text) for text in texts])
        return Items(ids, lengths.cumsum() - lengths, lengths, end=0)

    expected = naive_counting_in_items(train, validation, "\nahn")
    assert by_counting_in_items(items(train), items(validation), 4) == pytest.approx(expected)
    names = Vocabulary.of_characters(b"\nahn")
    frequencies, counted = baselines_of_items(items(train), items(validation), names)
    assert counted.bits == pytest.approx(expected)
    letters = "".join(train)
    p = {c: (letters.count(c) + 1) / (len(letters) + 4) for c in "\nahn"}
    each = [-math.log2(p[c]) for c in "".join(validation)]
    assert frequencies.bits == pytest.approx(sum(each) / len(each))
    assert at_most(items(train), 7).count == 2
    assert at_most(items(train), 10_000).count == 10
