"""eval, sample and classify with several models of lists."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_config, train

import charlstm
from charlstm.look.classifying import shares_of_labels
from charlstm.writing.sieve import known_items

NAMES = [a + b for a in ("an", "bo", "cara", "di") for b in ("", "a", "na", "lina", "bert", "x")]
OTHER = {"seed": 5, "model.hidden_size": 5}


def trained(folder: Path, name: str, text: str, **settings: object) -> Path:
    train(tiny_config(folder, text, **settings), folder / "runs" / name)
    return Path("runs", name)


@pytest.fixture
def runs(folder: Path) -> list[Path]:
    """Of one list, of other weights and sizes; another seed holds out other names."""
    text = "\n".join(NAMES)
    (folder / "list.txt").write_text("ana\nxxxx\nboa\n")
    lines = {"data.items": "lines"}
    return [trained(folder, "a", text, **lines), trained(folder, "b", text, **lines | OTHER)]


def losses(model: Path, text: str) -> np.ndarray:
    """Nats of each character of an item, by this model alone, and of its end."""
    loaded = charlstm.load(model).loaded
    read = loaded.vocabulary.encode(f"\n{text}\n")
    states, tape = loaded.model.zero_states(1), loaded.model.tape(len(read) - 1, 1)
    logits, _ = loaded.model.forward(read[:-1, None].astype(np.intp), states, tape)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(read) - 1), read[1:]]


def test_bits_of_the_mean_probability(runs: list[Path], call):
    rows = json.loads(call("eval", *runs, "list.txt", "--by", "item", "--json").out)
    assert rows["mixed_with"] == ["runs/b/best.safetensors"]
    for row in rows["rows"]:
        each = np.stack([losses(run, row["text"]) for run in runs])
        mixed = -np.log(np.exp(-each).mean(axis=0)).sum() / np.log(2)
        assert row["bits"] == pytest.approx(mixed, rel=1e-5)
    scores = charlstm.load(*runs).score_items(["ana", "xxxx", "boa"])
    assert [score.bits for score in scores] == [row["bits"] for row in rows["rows"]]


def test_items_written_together(runs: list[Path], call):
    written = call("sample", *runs, "--count", "9", "--seed", "4", "--json")
    items = [json.loads(line) for line in written.out.splitlines()]
    for item in items[:3]:
        [score] = charlstm.load(*runs).score_items([item["text"]])
        if item["ended"]:
            assert item["bits"] == pytest.approx(score.bits, rel=1e-4)
    alone = call("sample", runs[0], "--count", "9", "--seed", "4", "-q").out
    assert call("sample", runs[0], runs[0], "--count", "9", "--seed", "4", "-q").out == alone
    assert [item["text"] for item in items] != alone.splitlines()


def test_new_to_all_of_them(runs: list[Path], call):
    """Each seed holds out others, so that together they have learned more names than one."""
    known = [set(known_items(charlstm.load(run).loaded, True, []).tolist()) for run in runs]
    assert known[0] - known[1]
    assert known[1] - known[0]
    together = known_items(charlstm.load(*runs).loaded, True, [])
    assert set(together.tolist()) == known[0] | known[1]
    assert call("sample", *runs, "--count", "5", "--new", "-q").out.count("\n") == 5


def test_a_part_is_one_of_all(runs: list[Path], folder: Path, call, refuse):
    said = refuse(3, "eval", *runs, "--part", "validation")
    assert said.startswith("Error: runs/b/best.safetensors: keeps other parts")
    assert "keeps other parts" in refuse(
        3, "eval", *runs, "list.txt", "--by", "item", "--percentile"
    )
    settings = {"data.items": "lines", "model.hidden_size": 7}
    alike = trained(folder, "alike", "\n".join(NAMES), **settings)
    found = json.loads(call("eval", runs[0], alike, "--part", "validation", "--json").out)
    assert found["items"] == int(0.4 * len(NAMES))


def test_labels_by_all_of_them(folder: Path, call, refuse):
    text = "".join(f"{label}\t{name}\n" for name in NAMES for label in "xy")
    settings = {"data.items": "lines", "data.labels": True}
    runs = [trained(folder, n, text, **settings | own) for n, own in (("a", {}), ("b", OTHER))]
    found = json.loads(call("classify", *runs, "text.txt", "--json").out)
    assert found["items"] == 2 * len(NAMES)
    both = charlstm.load(*runs).classify(["ana"])[0]
    assert sum(both.values()) == pytest.approx(1)
    joint = shares_of_labels(charlstm.load(*runs).loaded)
    shares = [shares_of_labels(charlstm.load(run).loaded) for run in runs]
    np.testing.assert_allclose(joint, np.mean(shares, axis=0))
    for number, label in enumerate("xy"):
        each = [labelled(run, label, "ana") for run in runs]
        joint[number] *= np.exp(-np.stack(each)).mean(axis=0).prod()
    assert both["x"] == pytest.approx(joint[0] / joint.sum(), rel=1e-5)
    assert "Give FILE" in refuse(2, "classify", *runs)


def labelled(run: Path, label: str, text: str) -> np.ndarray:
    loaded = charlstm.load(run).loaded
    vocabulary = loaded.vocabulary
    start = vocabulary.size - len(vocabulary.labels) + vocabulary.labels.index(label)
    read = np.concatenate([[start], vocabulary.encode(f"{text}\n")]).astype(np.intp)
    states, tape = loaded.model.zero_states(1), loaded.model.tape(len(read) - 1, 1)
    logits, _ = loaded.model.forward(read[:-1, None], states, tape)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(read) - 1), read[1:]]


def test_lists_that_end_otherwise(runs: list[Path], folder: Path, refuse):
    other = trained(folder, "p", "\n\n".join(NAMES), **{"data.items": "paragraphs"})
    said = refuse(3, "sample", runs[0], other)
    assert "reads with data.items 'paragraphs'" in said
