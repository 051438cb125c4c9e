"""charlstm originality."""

import json
from pathlib import Path

import pytest
from tiny import forge, tiny_config, train


@pytest.fixture
def run(folder: Path, run: Path) -> Path:
    """That of all commands, trained on the text.txt that lies here."""

    def name(arrays, state):
        state["config"]["data"].update(files=[str(folder / "text.txt")])

    forge(run / "best.safetensors", name)
    return run


def test_a_copy_is_told_with_its_place(call, folder: Path, run: Path):
    text = (folder / "text.txt").read_text()
    (folder / "copy.txt").write_text(text[:300])
    code, out, err = call("originality", run, "copy.txt")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["written", "held", "out"]
    assert rows[1][0:2] == ["characters", "300"]
    assert rows[4][:5] == ["windows", "of", "80", "copied", "100.00%"]
    assert rows[5][:3] == ["longest", "copy", "300"]
    assert f"    300  text 1, {folder / 'text.txt'} line 1: {text[:60]}..." in out


def test_json_has_the_same(call, folder: Path, run: Path):
    arguments = ["originality", run, "--count", 3, "--length", 90, "--temperature", 0.2]
    found = json.loads(call(*arguments, "--json").out)
    table = call(*arguments).out
    assert found["samples"]["texts"] == 3
    assert found["samples"]["characters"] == 270
    assert f"{found['samples']['share_20']:.2%}" in table
    assert f"{found['held_out']['share_20']:.2%}" in table
    for example in found["examples"]:
        assert example["text"] in (folder / "text.txt").read_text()
        assert f"line {example['line']:,}: {example['text'][:30]}" in table


def test_a_text_elsewhere_is_not_read_unasked(refuse, folder: Path, run: Path, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "text.txt"
    elsewhere.write_text((folder / "text.txt").read_text())
    forge(
        run / "best.safetensors",
        lambda arrays, state: state["config"]["data"].update(files=[str(elsewhere)]),
    )
    line = refuse(3, "originality", run)
    assert line.endswith("name it yourself: charlstm originality MODEL --text TEXT")


def test_a_text_that_is_named_is_read(call, refuse, folder: Path, run: Path):
    (folder / "text.txt").rename(folder / "moved.txt")
    assert "charlstm originality MODEL --text TEXT" in refuse(3, "originality", run)
    assert call("originality", run, "--text", "moved.txt", "--count", 2).code == 0
    (folder / "other.txt").write_text("the harbour was quiet " * 9)
    assert "not the text" in refuse(3, "originality", run, "--text", "other.txt")


@pytest.mark.parametrize("name", ["missing.txt", "."])
def test_what_cannot_be_read_is_one_line(refuse, run: Path, name: str):
    assert name in refuse(3, "originality", run, name)


def test_a_list(call, folder: Path):
    names = [a + b for a in ("an", "bo", "cara", "di") for b in ("", "a", "na", "lina", "bert")]
    config = tiny_config(folder, "\n".join(names), **{"data.items": "lines", "training.steps": 1})
    train(config, folder / "names")
    (folder / "list.txt").write_text("\n".join([*names, "new", "new"]) + "\n")
    out = call("originality", "names", "list.txt").out
    rows = [line.rsplit(None, 1) for line in out.splitlines()]
    assert rows[:6] == [
        ["items", "22"],
        ["different from each other", "95.45%"],
        ["in the training part", "54.55%"],
        ["in the validation part", "36.36%"],
        ["new", "9.09%"],
        ["validation items in training", "0.00%"],
    ]
    found = json.loads(call("originality", "names", "list.txt", "--json").out)
    assert (found["items"], found["in_training"]) == (22, 12 / 22)
    for example in found["examples"]:
        assert f"{example['place']:9,}  {example['text']}" in out.splitlines()
        assert names[example["place"] - 1] == example["text"]


def test_items_are_written_by_the_model(call, folder: Path):
    names = [a + b for a in "abc" for b in "abc"]
    config = tiny_config(folder, "\n".join(names), **{"data.items": "lines", "training.steps": 1})
    train(config, folder / "names")
    arguments = ["originality", "names", "--count", 30, "--seed", 2, "--json"]
    found = json.loads(call(*arguments).out)
    assert found["items"] == 30
    assert found["new"] < 1  # of the 9 items with two letters some are met
    assert found == json.loads(call(*arguments).out)


def test_options_of_samples_go_with_samples(refuse, folder: Path, run: Path):
    assert "--count is for samples" in refuse(2, "originality", run, "text.txt", "--count", "5")
    assert "--match is for samples" in refuse(2, "originality", run, "text.txt", "--match", "(")
