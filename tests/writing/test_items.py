"""Items of a list: they end by themselves, are new, differ, are the best; in Python and typed."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import charlstm
from charlstm import api
from charlstm.cli.main import main
from charlstm.errors import ConfigError, FileError
from charlstm.writing import items as module
from charlstm.writing.items import Selection
from charlstm.writing.options import Options

ENDINGS = ("", "a", "us")
NAMES = [a + b + c for a in ("an", "ma", "lo", "e") for b in ("na", "li", "ri") for c in ENDINGS]
SETTINGS = {
    "model": {"layers": 1, "hidden_size": 16, "embedding_size": 0, "dropout": 0},
    "training": {"steps": 40, "batch_size": 4, "sequence_length": 12, "learning_rate": 0.03},
    "schedule": {"kind": "constant", "warmup_steps": 0},
    "evaluation": {"every": 1000, "characters": 0},
}


def trained(folder: Path, text: str, **data) -> api.Model:
    (folder / "list.txt").write_text(text)
    settings = {"data": {"files": str(folder / "list.txt"), **data}, **SETTINGS}
    return charlstm.train(settings, out=folder / "run").model()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("items")
    trained(folder, "\n".join(NAMES) + "\n", items="lines", validation_fraction=0.2)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> api.Model:
    return charlstm.load(folder / "run")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> api.Model:
    folder = tmp_path_factory.mktemp("labelled")
    text = "".join(f"girl\t{name}a|boy\t{name}us|" for name in NAMES)
    return trained(folder, text, items="|", labels=True)


def test_items_end_by_themselves(model: api.Model):
    found = list(model.items(200, seed=1))
    assert [item.number for item in found] == list(range(200))
    assert sum(item.ended for item in found) > 150
    assert not any("\n" in item.text or item.text == "" for item in found)
    assert all(item.predictions == len(item.text) + item.ended for item in found)
    for item, other in zip(model.items(9, seed=1), found[:9], strict=True):
        assert item._replace(bits=0) == other._replace(bits=0)
        assert item.bits == pytest.approx(other.bits, rel=1e-5)  # fewer lanes round otherwise
    assert list(model.iter_samples(9, seed=1)) == [item.text for item in found[:9]]
    assert model.sample(seed=1) == "".join(model.stream(seed=1)) == found[0].text


def test_lengths(model: api.Model):
    assert {len(item.text) for item in model.items(60, length=3, min_length=3, seed=1)} == {3}
    assert any(item.text == "" for item in model.items(60, "an", seed=1, temperature=5))
    with pytest.raises(ConfigError, match="a length of at least 1"):
        model.items(1, length=0)
    with pytest.raises(ConfigError, match="no stop"):
        model.items(1, stop="a")


def test_bits_are_those_of_the_items_evaluation(model: api.Model):
    """The mean over the training items, by drawing, is near what training saw; here by one item."""
    (item,) = model.items(1, "an", seed=4, match="na", length=5)
    ids = [0, *model.vocabulary.encode("anna").tolist(), 0]

    read = np.array(ids[:-1], np.intp)[:, np.newaxis]
    inner = model.loaded.model
    losses, _ = inner.losses(
        read, np.array(ids[1:])[:, np.newaxis], inner.zero_states(1), inner.tape(len(read), 1)
    )
    assert item.text == "na"
    assert item.bits == pytest.approx(losses[2:].sum() / np.log(2), rel=1e-5)


def test_constraints_hold_for_items(model: api.Model):
    found = list(model.items(40, match="[a-m]+(us)?", ban="i", seed=2, length=12))
    assert [i.text for i in found if not re.fullmatch("[a-hj-m]+(us)?", i.text)] == []
    assert any(item.ended for item in found)


def test_new_and_unique(model: api.Model, folder: Path):
    kept = list(model.items(40, seed=3, selection=Selection(new=True, unique=True)))
    texts = [item.text for item in kept]
    assert len(set(texts)) == 40
    every = [item.text for item in model.items(kept[-1].number + 1, seed=3)]
    known = set(every) - set(texts)
    assert known  # the model does write items of its list
    assert known <= set(NAMES)
    seen: list[str] = []
    for text in every:
        if text not in known and text not in seen:
            seen.append(text)
    assert seen == texts


def test_items_after_a_prompt_are_new_as_a_whole(model: api.Model, folder: Path):
    for item in model.items(30, "an", seed=3, selection=Selection(new=True)):
        assert "an" + item.text not in NAMES or model_knows_not(model, "an" + item.text)


def model_knows_not(model: api.Model, name: str) -> bool:
    """Held-out items may be written: they are new."""
    from charlstm.writing.sieve import training_items

    own = training_items(model.loaded)
    return name not in [model.vocabulary.decode(own.item(n)[1:]) for n in range(own.count)]


def test_not_in_another_list(model: api.Model, tmp_path: Path):
    first = [item.text for item in model.items(20, seed=5)]
    (tmp_path / "other.txt").write_text("\n".join(first[:10]))
    selection = Selection(not_in=[tmp_path / "other.txt"])
    again = [item.text for item in model.items(20, seed=5, selection=selection)]
    assert not set(again) & set(first[:10])


def test_a_list_that_has_changed_is_told(folder: Path, tmp_path: Path):
    model = trained(tmp_path, "\n".join(NAMES), items="lines")
    (tmp_path / "list.txt").write_text("\n".join(NAMES[1:]))
    with pytest.raises(FileError, match="not the text that this model was trained on"):
        model.items(1, selection=Selection(new=True))


def test_of_a_list_that_has_grown_no_more_is_read(tmp_path: Path):
    model = trained(tmp_path, "\n".join(NAMES), items="lines")
    (tmp_path / "list.txt").write_text("\n".join(NAMES * 2))
    with pytest.raises(FileError, match=r"longer than \d+ characters.*MODEL --not-in LIST"):
        model.items(1, selection=Selection(new=True))


def test_when_nothing_new_comes(model: api.Model, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PATIENCE", 300)
    wanted = model.items(9, match="an|ma", selection=Selection(unique=True), seed=1)
    assert {next(wanted).text, next(wanted).text} == {"an", "ma"}
    with pytest.raises(ConfigError, match="2 were kept, and none of the last 300"):
        next(wanted)


def test_the_best(model: api.Model):
    writer = module.ItemWriter(model.loaded, "", Options(seed=6))
    best = writer.best(5, 60)
    rates = sorted(item.bits_per_character for item in writer.items(60))
    assert [item.bits_per_character for item in best] == rates[:5]


def test_labels(labelled: api.Model):
    found = {
        label: [item.text for item in labelled.items(60, label=label, seed=1)]
        for label in ("boy", "girl")
    }
    ends = {label: sum(text.endswith("us") for text in texts) for label, texts in found.items()}
    assert ends["boy"] > ends["girl"]
    assert not any("|" in text or "\t" in text for texts in found.values() for text in texts)
    with pytest.raises(ConfigError, match="choose among 'boy', 'girl'"):
        labelled.items(1)
    with pytest.raises(ConfigError, match="'gril' is none of the model's; did you mean 'girl'"):
        labelled.items(1, label="gril")


def test_labels_and_lists_where_there_are_none(model: api.Model, tmp_path: Path):
    with pytest.raises(ConfigError, match="the items of this model have no labels"):
        model.items(1, label="boy")
    plain = trained(tmp_path, "abc" * 200)
    with pytest.raises(ConfigError, match="a model of one text, not of a list"):
        plain.items(1)


# The command

Capture = pytest.CaptureFixture[str]


def sampled(folder: Path, capsys: Capture, *options: str) -> tuple[list[str], str]:
    assert main(["sample", str(folder / "run"), "--seed", "1", *options]) == 0
    out, err = capsys.readouterr()
    return out.splitlines(), err


def test_one_item_a_line(folder: Path, model: api.Model, capsys: Capture):
    expected = [item.text for item in model.items(30, seed=1)]
    lines, err = sampled(folder, capsys, "--count", "30")
    assert lines == expected
    assert err.splitlines() == [err.strip()]
    assert sampled(folder, capsys)[0] == expected[:1]


def test_prompts(folder: Path, model: api.Model, capsys: Capture):
    expected = [item.text for item in model.items(5, "ma", seed=1)]
    shown, _ = sampled(folder, capsys, "--count", "5", "-p", "ma")
    assert shown == ["ma" + text for text in expected]
    hidden, _ = sampled(folder, capsys, "--count", "5", "-p", "ma", "--hide-prompt")
    assert hidden == expected


def test_json(folder: Path, model: api.Model, capsys: Capture):
    lines, _ = sampled(folder, capsys, "--count", "4", "--json", "--max-length", "5")
    for line, item in zip(lines, model.items(4, seed=1, length=5), strict=True):
        assert json.loads(line) == {
            "text": item.text,
            "bits": item.bits,
            "bits_per_char": item.bits_per_character,
            "ended": item.ended,
            "seed": 1,
            "number": item.number,
        }


def test_what_was_refused_is_told(folder: Path, capsys: Capture):
    lines, err = sampled(folder, capsys, "--count", "30", "--new", "--unique")
    assert len(set(lines)) == 30
    found = re.search(r"(\d+) drawn: 30 kept, (\d+) known, (\d+) repeated", err)
    assert found
    assert int(found[1]) == 30 + int(found[2]) + int(found[3])
    assert int(found[2]) > 0
    best, _ = sampled(folder, capsys, "--count", "30", "--best", "3")
    assert len(best) == 3
    assert main(["sample", str(folder / "run"), "--count", "2", "--best", "3"]) == 2
    assert "as many or more" in capsys.readouterr().err


def test_a_list_elsewhere_is_not_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
):
    """A checkpoint may come from a stranger, and name any file as its list."""
    copied = tmp_path / "copied" / "best.safetensors"
    copied.parent.mkdir()
    copied.write_bytes((folder / "run" / "best.safetensors").read_bytes())
    monkeypatch.chdir(copied.parent)
    assert main(["sample", str(copied), "--new"]) == 3
    told = capsys.readouterr().err
    assert "neither here nor beside the run" in told
    assert "charlstm sample MODEL --not-in LIST ..." in told


def test_lists_alone_have_these(tmp_path: Path, capsys: Capture):
    trained(tmp_path, "abc" * 200)
    for option in ("--new", "--unique", "--json", "--best=3", f"--not-in={tmp_path}"):
        assert main(["sample", str(tmp_path / "run"), option]) == 2
        assert "of a list only" in capsys.readouterr().err


def test_every_command_that_writes_takes_a_label(labelled: api.Model, capsys: Capture):
    path = str(labelled.path)
    assert main(["next", path, "an", "--label", "boy", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["characters"]
    expected = labelled.next("an", label="boy").characters
    assert [row["text"] for row in told] == [character.text for character in expected]
    assert expected != labelled.next("an", label="girl").characters
    assert main(["originality", path, "--count", "30", "--label", "boy", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["distinct"] == len(set(labelled.samples(30, label="boy", seed=1))) / 30
    for command in ("next", "originality", "sample"):
        assert main([command, path]) == 2
        assert "choose among 'boy', 'girl'" in capsys.readouterr().err
