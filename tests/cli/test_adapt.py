"""eval --adapt: two readings side by side."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from charlstm.nn import adaptation
from charlstm.nn.pace import Pace
from charlstm.saved.checkpoint import load_model

HABIT = "ships was quiet " * 25
FAST = ("--adapt-rate", "2", "--adapt-segment", "16")


@pytest.fixture(autouse=True)
def less_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptation, "OWN_SEGMENTS", 3)


@pytest.fixture
def habit(folder: Path) -> str:
    """A text that repeats itself, as a model can learn while it reads."""
    (folder / "h.txt").write_text(HABIT)
    return "h.txt"


def adapted_bits(run: Path, pace: Pace) -> np.ndarray:
    """Of every character but the first, without the command."""
    loaded = load_model(run)
    ids = loaded.vocabulary.encode(HABIT)
    return np.concatenate(list(loaded.adapting(pace).losses(ids))) / math.log(2)


def test_both_figures_and_neither_mixed(run: Path, habit: str, call):
    static = json.loads(call("eval", run, habit, "--json").out)
    both = json.loads(call("eval", run, habit, "--adapt", *FAST, "--json").out)
    adapted = both.pop("adapted")
    assert both == static
    bits = adapted_bits(run, Pace(rate=2, segment=16))
    assert adapted["bits_per_char"] == pytest.approx(bits.mean(), rel=1e-12)
    assert adapted["bits_per_char"] < static["bits_per_char"] - 0.1
    assert adapted["loss"] == pytest.approx(bits.mean() * math.log(2), rel=1e-12)
    assert {n: adapted[n] for n in ("rate", "pull", "segment")} == vars(Pace(2, segment=16))
    words = call("eval", run, habit, "--adapt", *FAST).out.splitlines()
    assert words[0].split() == ["static", "adapted"]
    assert (
        words[2] == f"loss           {static['loss']:.6f}  {adapted['loss']:.6f} nats per character"
    )
    assert words[3].split()[-2:] == [
        f"{static['bits_per_char']:.6f}",
        f"{adapted['bits_per_char']:.6f}",
    ]


@pytest.mark.parametrize("by", ["line", "character"])
def test_rows_have_both(run: Path, habit: str, call, by: str):
    plain = json.loads(call("eval", run, habit, "--by", by, "--json").out)["rows"]
    words = ("eval", run, habit, "--adapt", *FAST, "--by", by)
    rows = json.loads(call(*words, "--json").out)["rows"]
    bits = adapted_bits(run, Pace(rate=2, segment=16))
    if by == "character":
        np.testing.assert_allclose([row["adapted_bits"] for row in rows], bits, rtol=1e-12)
    assert math.fsum(row["adapted_bits"] for row in rows) == pytest.approx(bits.sum(), rel=1e-12)
    assert [{n: v for n, v in row.items() if n != "adapted_bits"} for row in rows] == plain
    table = call(*words, "--tsv").out.splitlines()
    column = table[0].split("\t").index("adapted_bits")
    assert [float(line.split("\t")[column]) for line in table[1:]] == [
        row["adapted_bits"] for row in rows
    ]
    assert f"{bits.mean():.6f} adapted" in call(*words).err


def test_a_part_of_the_text_trained_on(run: Path, call):
    words = ("eval", run, "text.txt", "--part", "validation", "--json")
    both = json.loads(call(*words, "--adapt").out)
    assert both.pop("adapted")["loss"] != both["loss"]
    assert both == json.loads(call(*words).out)


def test_a_pace_without_adapt_would_do_nothing(run: Path, refuse):
    assert "go with --adapt" in refuse(2, "eval", run, "text.txt", "--adapt-rate", "1")


def test_a_rate_that_diverges(run: Path, habit: str, refuse):
    message = refuse(4, "eval", run, habit, "--adapt", "--adapt-rate", "1e30")
    assert "it lost its way after" in message
    assert "best.safetensors" in message
