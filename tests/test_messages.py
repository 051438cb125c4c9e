"""Values, paths and counts as a user reads them."""

import json
import math
from pathlib import Path

import pytest

from charlstm.messages import did_you_mean, duration, json_text, nearest, printable, shorten, show


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ä, 中", "plain, ä, 中"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202egnp", "\\u202egnp"),
        ("\u2028", "\\u2028"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_cannot_be_seen_is_escaped(text: str, shown: str):
    assert printable(text) == shown
    assert printable(text).isprintable()


def test_some_of_it_may_stay():
    assert printable("a\n\tb\r", keep="\n\t") == "a\n\tb\\r"


def test_a_path_is_one_line_of_bounded_length():
    assert show(Path("a\nb/c")) == "a\\nb/c"
    long = show("x/" * 200 + "end.txt")
    assert long.startswith("...")
    assert long.endswith("x/end.txt")
    assert len(long) < 210


def test_a_bomb_is_shortened():
    value: list = []
    for _ in range(30):
        value = [value, value]
    assert len(shorten(value)) <= 60


def test_near_misses():
    known = ["train_loss", "val_loss", "grad_norm"]
    assert nearest("train_los", known) == "train_loss"
    assert nearest("xyzzy", known) is None
    assert did_you_mean("vall_loss", known) == "did you mean 'val_loss'?"
    assert did_you_mean("xyzzy", known, otherwise="there are three") == "there are three"
    assert nearest("train_loss" * 10_000, known) is None


@pytest.mark.parametrize(("seconds", "text"), [(42, "42 s"), (540, "9 min"), (12_600, "3.5 h")])
def test_durations(seconds: float, text: str):
    assert duration(seconds) == text


def test_json_has_no_nan_and_no_infinity():
    value = {"a": [1.5, math.inf, (math.nan, "NaN")], "b": {"c": -math.inf, "d": None}, "e": True}
    expected = {"a": [1.5, None, [None, "NaN"]], "b": {"c": None, "d": None}, "e": True}
    assert json.loads(json_text(value), parse_constant=pytest.fail) == expected
    assert json_text({"a": [0.1, "é"]}) == json.dumps({"a": [0.1, "é"]})
