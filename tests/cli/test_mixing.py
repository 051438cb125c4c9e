"""eval and sample with several models of one vocabulary."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

import charlstm
from charlstm.cli.main import main
from charlstm.errors import FileError
from charlstm.look.score import exact_losses
from charlstm.nn import adaptation
from charlstm.nn.pace import Pace
from charlstm.saved.checkpoint import load_model


@pytest.fixture
def other(folder: Path, run: Path) -> Path:
    """A second run of the text, from other weights and of another size."""
    words = ("train", "c.yaml", "seed=5", "model.hidden_size=5", "-q", "--out", "runs/d")
    assert main(list(words)) == 0
    return Path("runs/d")


def mean_bits(*models: Path) -> float:
    loaded = [load_model(model) for model in models]
    ids = loaded[0].vocabulary.encode(Path("text.txt").read_text())
    each = np.stack([np.concatenate(list(exact_losses(it.model, ids))) for it in loaded])
    return float(-np.log(np.exp(-each).mean(axis=0)).mean() / math.log(2))


def test_bits_of_the_mean_probability(run: Path, other: Path, call):
    found = json.loads(call("eval", run, other, "text.txt", "--json").out)
    assert found["bits_per_char"] == pytest.approx(mean_bits(run, other), rel=1e-5)
    assert found["checkpoint"] == "runs/c/best.safetensors"
    assert found["mixed_with"] == ["runs/d/best.safetensors"]
    file = run / "best.safetensors"
    again = json.loads(call("eval", file, other / "best.safetensors", "text.txt", "--json").out)
    assert again["bits_per_char"] == found["bits_per_char"]
    rows = json.loads(call("eval", run, other, "text.txt", "--by", "line", "--json").out)
    assert rows["bits_per_char"] == found["bits_per_char"]
    lanes = json.loads(call("eval", run, other, "text.txt", "--lanes", "3", "--json").out)
    assert lanes["bits_per_char"] == pytest.approx(found["bits_per_char"], abs=0.01)
    one = json.loads(call("eval", run, "text.txt", "--json").out)
    assert "mixed_with" not in one


def test_texts_written_together(run: Path, other: Path, call):
    options = ("-n", "30", "--seed", "4")
    both = call("sample", run, other, *options)
    assert both.code == 0
    assert "runs/c/best.safetensors: step 20, runs/d/best.safetensors: step 20, seed 4" in both.err
    assert both.out == call("sample", run, other, *options).out
    alone = [call("sample", model, *options).out for model in (run, other)]
    assert both.out not in alone
    assert call("sample", run, run, *options, "-q").out == alone[0]


def test_they_adapt_each_by_itself(run: Path, other: Path, call, monkeypatch):
    monkeypatch.setattr(adaptation, "OWN_SEGMENTS", 3)
    text, words = Path("text.txt").read_text(), ("text.txt", "--adapt", "--json")
    found = json.loads(call("eval", run, other, *words).out)
    static = json.loads(call("eval", run, other, "text.txt", "--json").out)
    assert found["loss"] == static["loss"]
    ids = load_model(run).vocabulary.encode(text)
    each = [np.concatenate(list(load_model(it).adapted_losses(ids, Pace()))) for it in (run, other)]
    mixed = -np.log(np.exp(-np.stack(each)).mean(axis=0))
    assert found["adapted"]["loss"] == pytest.approx(mixed.mean(), rel=1e-9)
    assert charlstm.load(run, other).score(text, adapt=True).nats == pytest.approx(mixed, rel=1e-9)
    rows = json.loads(call("eval", run, other, *words, "--by", "line").out)
    assert rows["adapted"]["loss"] == pytest.approx(mixed.mean(), rel=1e-9)


def test_they_write_in_the_manner_of_a_text(run: Path, other: Path, call, monkeypatch):
    monkeypatch.setattr(adaptation, "OWN_SEGMENTS", 3)
    text = Path("text.txt").read_text()
    both = charlstm.load(run, other)
    learned = both.adapted(text)
    for before, after, alone in zip(both.loaded.all, learned.loaded.all, (run, other), strict=True):
        assert (before.model.values != after.model.values).any()
        by_itself = charlstm.load(alone).adapted(text).loaded.model.values
        np.testing.assert_array_equal(after.model.values, by_itself)
    options = ("--adapt-to", "text.txt", "-n", "30", "--seed", "4", "-q")
    written = call("sample", run, other, *options).out.rstrip("\n")
    assert written == learned.sample(length=30, seed=4)


def test_a_text_ends_the_models(run: Path, other: Path, folder: Path, call):
    """What comes after the first text is a text."""
    shutil.copy(folder / "text.txt", folder / "a.txt")
    found = json.loads(call("eval", run, "a.txt", "text.txt", "--json").out)
    assert found["text"] == "a.txt, text.txt"


def test_what_cannot_be_mixed(run: Path, folder: Path, refuse, call):
    (folder / "z.txt").write_text("zebra " * 100)
    assert call("train", "c.yaml", "z.txt", "-q", "--out", "runs/z").code == 0
    line = refuse(3, "eval", run, "runs/z", "text.txt")
    assert line.startswith("Error: runs/z/best.safetensors: knows other characters than runs/c/")
    assert "knows other characters" in refuse(3, "sample", run, "runs/z")
    assert "Give TEXT" in refuse(2, "eval", run, run)


@pytest.mark.parametrize("order", [1, -1])
def test_a_list_is_mixed_with_no_text(run: Path, folder: Path, refuse, call, order: int):
    (folder / "list.txt").write_text("\n".join((folder / "text.txt").read_text().split()))
    words = ("train", "c.yaml", "list.txt", "data.items=lines", "-q", "--out", "runs/list")
    assert call(*words).code == 0
    names = ["runs/c", "runs/list"][::order]
    said = refuse(3, "sample", *names)
    assert "reads with data.items" in said
    assert "'none'" in said
    assert "'lines'" in said


def test_what_reads_line_ends_otherwise(run: Path, refuse, call):
    words = ("train", "c.yaml", "data.newlines=normalize", "-q", "--out", "runs/n")
    assert call(*words).code == 0
    assert "reads with data.newlines 'normalize'" in refuse(3, "eval", run, "runs/n", "text.txt")


def test_a_part_is_one_of_all(run: Path, other: Path, refuse, call):
    alike = json.loads(call("eval", run, other, "text.txt", "--part", "validation", "--json").out)
    assert alike["characters"] > 2
    words = ("data.validation_fraction=0.3", "seed=8", "-q", "--out", "runs/e")
    assert call("train", "c.yaml", *words).code == 0
    said = refuse(3, "eval", run, "runs/e", "text.txt", "--part", "validation")
    assert said.startswith("Error: runs/e/best.safetensors: keeps other parts")
    with pytest.raises(FileError, match="one model at a time"):
        charlstm.load(run, other).originality(["quiet"])
