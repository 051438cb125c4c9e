"""Samples made beside a training."""

import itertools
import time

import pytest

from charlstm.nn.model import CharLM, Shape
from charlstm.text.marking import ItemRules
from charlstm.text.vocabulary import Vocabulary
from charlstm.training import samples


def test_nobody_waits_for_a_glance(monkeypatch: pytest.MonkeyPatch):
    """Of a model that takes a fifth of a second for a character."""
    clock = itertools.count(0, 0.2)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert samples.at_a_glance(iter("abcdefgh")) == "abc"


def test_a_glance_at_what_is_made_at_once_is_whole():
    assert samples.at_a_glance(iter("abcdefgh")) == "abcdefgh"


def test_nobody_waits_for_the_end_of_an_item():
    """Of a model that ends none: a piece is a character, where another may ask to stop."""
    vocabulary = Vocabulary.of_characters(map(ord, "\nab"))
    model = CharLM(Shape(vocabulary.size, "lstm", 1, 4, 0), seed=1)
    model.parameters()["linear.b_y"].value[:] = -100, 0, 0
    pieces = list(samples.written_items(model, vocabulary, ItemRules("lines"), 300, seed=1))
    assert max(map(len, pieces)) == 1
    assert set("".join(pieces[:-1])) == {"a", "b"}
    assert (len("".join(pieces)), pieces[-1]) == (301, "\n")
