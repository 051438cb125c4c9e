import json
from pathlib import Path

import pytest

from charlstm.cli.main import main
from charlstm.nn.lstm import LSTM


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The text need not exist."""
    file = tmp_path / "small.yaml"
    file.write_text(
        "data: {files: absent.txt}\nseed: 7\n"
        "model: {hidden_size: 300, layers: 1, embedding_size: 0}\n"
    )
    return str(file)


def test_a_sound_model(config: str, capsys) -> None:
    assert main(["check", config]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    first, _, head, *rows, _, verdict = out.splitlines()
    assert first == (
        "lstm, input gate free, float64, shrunk: layers 1, hidden_size 5, embedding_size 0,"
        " 6 steps, 3 sequences, 7 characters"
    )
    assert head.split() == ["shape", "largest", "error"]
    names = [row.split()[0] for row in rows]
    parameters = ["lstm.0.W_x", "lstm.0.W_h", "lstm.0.b", "linear.W_y", "linear.b_y"]
    assert names == [*parameters, "state.0.h", "state.0.c"]
    assert verdict.endswith("allowed 1e-06: ok")


def test_the_config_decides_what_is_checked(config: str, capsys) -> None:
    settings = ["model.cell=layer-norm", "model.layers=2", "model.embedding_size=32"]
    settings += ["model.skips=true"]
    dropout = ["model.dropout=0.2", "model.recurrent_dropout=0.1"]
    assert main(["check", config, *settings, *dropout, "--json", "--by-gate"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["cell"], report["layers"], report["skips"]) == ("layer-norm", 2, True)
    assert report["ok"]
    assert report["sizes"]["embedding_size"] == 4
    names = {row["name"] for row in report["rows"]}
    assert {"embedding.E", "x", "lstm.1.W_gh", "lstm.0.gain_f", "lstm.1.shift_c"} <= names
    assert 0 < report["worst"] == max(row["error"] for row in report["rows"]) < report["limit"]


def test_a_wrong_gradient_is_exit_code_1(config: str, capsys, monkeypatch) -> None:
    backward = LSTM.backward

    def wrong(self, *arguments):
        result = backward(self, *arguments)
        self.W_h.grad *= 1.001
        return result

    monkeypatch.setattr(LSTM, "backward", wrong)
    assert main(["check", config]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("  WRONG")] == ["lstm.0.W_h"]
    assert lines[-1].endswith(": WRONG")
    assert main(["check", config, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_a_wrong_config_is_exit_code_2(config: str, capsys) -> None:
    assert main(["check", config, "model.cell=gru"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert len(err.splitlines()) == 1


def test_the_help_names_exit_code_1(capsys) -> None:
    assert main(["check", "--help"]) == 0
    assert "Exit code 1 when an error is above 1e-6" in capsys.readouterr().out
