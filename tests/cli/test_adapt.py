"""eval --adapt: two readings side by side; adapt and sample --adapt-to: what was learned."""

import hashlib
import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from tiny import forge

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
    return np.concatenate(list(loaded.adapted_losses(ids, pace))) / math.log(2)


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


# adapt, and sample --adapt-to


@pytest.fixture
def adapted(run: Path, habit: str, call) -> Path:
    words = ("adapt", run, habit, "-o", "adapted.ckpt", *FAST)
    result = call(*words)
    assert (result.code, result.out) == (0, "adapted.ckpt\n")
    assert f"{habit}: {len(HABIT):,} characters, " in result.err
    return Path("adapted.ckpt")


def test_what_was_learned_is_kept(run: Path, adapted: Path, call):
    loaded, kept = load_model(run), load_model(adapted)
    ids = loaded.vocabulary.encode(HABIT)
    expected = loaded.adapted(ids, Pace(rate=2, segment=16)).model.values
    np.testing.assert_array_equal(kept.model.values, expected)
    before = json.loads(call("eval", run, "h.txt", "--json").out)["loss"]
    after = json.loads(call("eval", adapted, "h.txt", "--json").out)["loss"]
    assert after < before - 0.1


def test_its_history(run: Path, adapted: Path, folder: Path, call):
    assert call("adapt", adapted, "text.txt", "-o", "twice.ckpt").code == 0
    loaded = load_model(run)
    first, second = json.loads(call("info", "twice.ckpt", "--json").out)["adaptations"]
    assert first == {
        "checkpoint": "runs/c/best.safetensors",
        "weights": hashlib.sha256(loaded.model.values.tobytes()).hexdigest(),
        "text": "h.txt",
        "text_sha256": hashlib.sha256(HABIT.encode()).hexdigest(),
        "characters": len(HABIT),
        "rate": 2.0,
        "pull": Pace().pull,
        "segment": 16,
    }
    assert second["checkpoint"] == "adapted.ckpt"
    weights = load_model(adapted).model.values.tobytes()
    assert second["weights"] == hashlib.sha256(weights).hexdigest()
    words = call("info", "twice.ckpt").out
    assert re.search(
        r"then adapted to +h\.txt \(400 characters; rate 2, pull .*, segments of 16\)", words
    )
    assert f"runs/c/best.safetensors (weights {first['weights'][:8]}..)" in words
    assert json.loads(call("info", run, "--json").out)["adaptations"] == []


@pytest.mark.parametrize(
    "change",
    [{"rate": "fast"}, {"characters": True}, {"more": 1}, {"weights": None}],
    ids=lambda change: next(iter(change)),
)
def test_a_forged_history_is_refused(adapted: Path, refuse, change: dict[str, object]):
    forge(adapted, lambda arrays, state: state["adaptations"][0].update(change))
    assert "adaptations: " in refuse(3, "sample", adapted)


def test_as_any_other_checkpoint(adapted: Path, call):
    assert call("sample", adapted, "-n", "5", "--seed", "1").code == 0
    assert call("look", adapted, "h.txt", "--json").code == 0
    assert call("export", adapted, "-o", "m.safetensors").code == 0
    words = ("train", "c.yaml", f"init_from={adapted}", "training.steps=1", "-q")
    assert call(*words, "--out", "runs/on").code == 0


def test_sampling_in_the_manner_of_a_text(run: Path, adapted: Path, habit: str, call):
    options = ("-n", "40", "-p", "ships", "--seed", "3", "-q")
    out = call("sample", run, *options, "--adapt-to", habit, *FAST).out
    assert out == call("sample", adapted, *options).out
    assert out != call("sample", run, *options).out


def test_what_cannot_be_adapted_to(run: Path, folder: Path, refuse):
    (folder / "one.txt").write_text("q")
    (folder / "other.txt").write_text("ZZZ")
    assert "nothing to predict" in refuse(3, "adapt", run, "one.txt", "-o", "a.ckpt")
    assert "not in the vocabulary" in refuse(3, "adapt", run, "other.txt", "-o", "a.ckpt")
    assert "go with --adapt-to" in refuse(2, "sample", run, "--adapt-pull", "0.5")
    assert "is a folder" in refuse(2, "adapt", run, "text.txt", "-o", "runs")
    assert "one of the two" in refuse(2, "sample", run, "--adapt-to", "-", "-p", "-")
    assert not (folder / "a.ckpt").exists()


def test_a_text_whose_name_is_no_utf8(run: Path, folder: Path, call):
    name = os.fsdecode(b"caf\xe9.txt")
    (folder / name).write_text(HABIT)
    assert call("adapt", run, name, "-o", "a.ckpt", *FAST).code == 0
    (made,) = json.loads(call("info", "a.ckpt", "--json").out)["adaptations"]
    assert made["text"] == r"caf\udce9.txt"
