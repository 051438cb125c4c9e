"""charlstm eval on a list."""

import json
import sys
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny import forge, tiny_config, train

NAMES = [a + b for a in ("an", "bo", "cara", "di") for b in ("", "a", "na", "lina", "bert", "x")]


@pytest.fixture
def names(folder: Path) -> Path:
    config = tiny_config(folder, "\n".join(NAMES), **{"data.items": "lines"})
    train(config, folder / "runs" / "names")
    (folder / "list.txt").write_text("ana\nxxxx\nboa\n")
    return Path("runs/names")


@pytest.mark.parametrize("held_out", [None, {"zz": {}}])
def test_a_checkpoint_that_does_not_say_what_was_held_out(names: Path, refuse, held_out):
    """A forgery: the settings name files, and nothing tells what these were."""

    def change(arrays, state) -> None:
        state["config"]["data"]["validation_files"] = ["list.txt"]
        if held_out is not None:
            state["corpus"]["held_out"] = {"test": {"sha256": "0" * 64, "characters": 3}}

    forge(names / "best.safetensors", change)
    forged = names / "best.safetensors"
    assert "no usable checkpoint" in refuse(3, "eval", forged, "--part", "validation")


def test_figures_of_a_list(names: Path, call):
    result = call("eval", names, "list.txt")
    rows = dict(line.rsplit(None, 1) for line in result.out.splitlines() if "nats" not in line)
    assert (rows["items"], rows["characters"]) == ("3", "13")
    figures = json.loads(call("eval", names, "list.txt", "--json").out)
    assert figures["bits_per_item"] == pytest.approx(figures["bits_per_char"] * 13 / 3)
    assert float(rows["bits per item"]) == pytest.approx(figures["bits_per_item"], abs=1e-6)


def test_rows_of_a_list(names: Path, call, monkeypatch: pytest.MonkeyPatch):
    rows = json.loads(call("eval", names, "list.txt", "--by", "item", "--json").out)["rows"]
    assert [row["text"] for row in rows] == ["ana", "xxxx", "boa"]
    assert {row["rank"] for row in rows} == {1, 2, 3}
    assert "percentile" not in rows[0]
    given = SimpleNamespace(buffer=BytesIO(b"ana\nxxxx\nboa"), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", given)
    lines = call("eval", names, "-", "--by", "item", "--tsv", "--sort", "--percentile").out
    heads, *sorted_rows = [line.split("\t") for line in lines.splitlines()]
    assert heads == ["item", "characters", "bits", "bits_per_char", "rank", "percentile", "text"]
    assert [row[4] for row in sorted_rows] == ["1", "2", "3"]
    by_rank = sorted(rows, key=lambda row: row["rank"])
    assert [row[6] for row in sorted_rows] == [row["text"] for row in by_rank]
    assert [float(row[2]) for row in sorted_rows] == [row["bits"] for row in by_rank]


def test_a_part_of_the_list(names: Path, call):
    figures = json.loads(call("eval", names, "--part", "validation", "--json").out)
    assert figures["items"] == int(0.4 * len(NAMES))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--by", "line"], "The model reads items: --by item, not --by line."),
        (["--sort"], "--sort and --percentile go with --by item."),
    ],
)
def test_what_a_list_has_not(names: Path, refuse, words: list[str], message: str):
    assert message in refuse(2, "eval", names, "list.txt", *words)


def test_what_a_text_has_not(folder: Path, refuse, run: Path):
    assert "not a list (data.items)" in refuse(2, "eval", run, "text.txt", "--by", "item")


def test_what_parts_items_of_bytes_and_names_them_is_text(folder: Path, call):
    settings = {"data.items": "§", "data.labels": True, "data.unit": "bytes"}
    train(tiny_config(folder, "é\tano§ü\tbo§" * 20, **settings), folder / "runs" / "b")
    found = json.loads(call("classify", "runs/b", "text.txt", "--json").out)
    assert (found["items"], found["labels"]) == (40, ["é", "ü"])
    assert [row["text"] for row in found["rows"][:2]] == ["ano", "bo"]
    assert found["rows"][1]["true"] == "ü"
    assert call("sample", "runs/b", "--label", "é", "--seed", "1", "-n", "4").code == 0
    found = json.loads(call("originality", "runs/b", "text.txt", "--json").out)
    assert found["in_training"] + found["in_validation"] >= 1.0
