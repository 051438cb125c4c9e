import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from charlstm.cli.main import main
from charlstm.look.gradients.trace import trace
from charlstm.saved.checkpoint import load_model


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "small.yaml"
    file.write_text(
        "data: {files: absent.txt}\nmodel: {hidden_size: 3, layers: 2, cell: simple}\nseed: 7\n"
    )
    return str(file)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    tiny.train(tiny.tiny_config(tmp_path), tmp_path / "run")
    return tmp_path / "run"


def test_a_config_is_traced_at_its_start(config: str, capsys) -> None:
    assert main(["trace", config, "héhé!", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == "An untrained model, from seed 7; vocabulary: the characters of TEXT.\n"
    report = json.loads(out)
    assert report["text"] == "héhé!"
    logits = [row for row in report["rows"] if row["name"] == "logits"]
    assert [row["shape"] for row in logits] == [[3]] * 4
    assert 4 * 0.5 < report["loss"] < 4 * 2.0  # about log 3 a step
    assert np.shape(report["fall_off"]["dh"]) == (2, 4)


def test_the_printed_form(config: str, capsys) -> None:
    assert main(["trace", config, "abc", "model.layers=1", "--only", "dh,loss", "--full"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Forward, step by step"
    assert lines[1].startswith("step 0: 'a' -> 'b', probability 0.")
    assert "Backward, from the last step to the first" in lines
    assert lines[-1].startswith("loss ")
    assert lines[-1].endswith(" nats over 2 steps")
    losses = [float(line.split()[-1]) for line in lines if line.startswith("    loss")]
    assert sum(losses) == pytest.approx(float(lines[-1].split()[1]), abs=1e-5)


def test_bytes(config: str, capsys) -> None:
    assert main(["trace", config, "é", "data.unit=bytes", "--only", "logits", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "all bytes" in err
    (row,) = json.loads(out)["rows"]
    assert row["shape"] == [256]  # two bytes: one step


def test_a_checkpoint_is_traced_as_trained(run: Path, capsys) -> None:
    assert main(["trace", str(run), "the sea", "--json", "--full"]) == 0
    out, err = capsys.readouterr()
    loaded = load_model(run)
    assert err == f"{loaded.path}: step {loaded.progress.step}\n"
    passes = trace(loaded.model, loaded.vocabulary.encode("the sea"))
    report = json.loads(out)
    assert report["loss"] == passes.loss
    values = {row["name"]: row["values"] for row in report["rows"] if row["layer"] == 1}
    np.testing.assert_array_equal(values["dW_gh"], passes.gradients["lstm.1.W_gh"])


def test_a_checkpoint_keeps_its_settings(run: Path, capsys) -> None:
    assert main(["trace", str(run), "the", "sea"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Error: 'sea': a checkpoint keeps its settings; ")


def test_characters_that_a_checkpoint_does_not_know(run: Path, capsys) -> None:
    assert main(["trace", str(run), "the Ω"]) == 3
    assert "not in the vocabulary: 'Ω' (U+03A9)" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "a"])
def test_a_text_too_short(config: str, text: str, capsys) -> None:
    assert main(["trace", config, text]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "TEXT: write two characters or more" in err


@pytest.mark.parametrize(
    ("path", "code"), [("absent.yaml", 2), ("absent", 3), ("absent.safetensors", 3)]
)
def test_what_does_not_exist(tmp_path: Path, path: str, code: int, capsys) -> None:
    assert main(["trace", str(tmp_path / path), "text"]) == code
    err = capsys.readouterr().err
    assert path in err
    assert len(err.splitlines()) == 1


def test_the_picture(config: str, tmp_path: Path, capsys) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "decay.png"
    assert main(["trace", config, "a text", "--only", "loss", "--plot", str(file)]) == 0
    assert file.read_bytes().startswith(b"\x89PNG")
    assert f"Drawn: {file}" in capsys.readouterr().err


def test_the_picture_without_matplotlib(config: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["trace", config, "a text", "--plot", str(tmp_path / "decay.png")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "pip install 'charlstm[plot]'" in err
