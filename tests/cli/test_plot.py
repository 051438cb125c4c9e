"""``charlstm plot``: in the terminal, as JSON, as a picture, for TensorBoard."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from program import program


def test_a_chart_in_a_pipe(run: Path, call):
    code, out, err = call("plot", run)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "loss, nats per character"
    assert lines[1] == "a: training loss  b: validation loss"
    assert "\x1b" not in out
    assert max(map(len, lines)) == 80


def test_several_runs_and_metrics(run: Path, call):
    assert call("train", "c.yaml", "-q", "--out", "runs/d").code == 0
    out = call("plot", run, "runs/d", "--metric", "val_loss,grad_norm", "--x", "epoch", "--log").out
    titles = [line for line in out.splitlines() if line[:4] in ("vali", "grad")]
    assert titles == ["validation loss, nats per character", "gradient norm before clipping"]
    assert out.count("a: c  b: d") == 2
    assert out.count("epoch") == 2


def test_json(run: Path, call):
    found = json.loads(call("plot", run, "--json", "--metric", "train_loss,bits_above_source").out)
    assert found["x"] == "step"
    curves = found["runs"]["c"]
    assert curves["train_loss"]["x"] == [5, 10, 15, 20]
    assert len(curves["train_loss"]["y"]) == 4
    assert curves["bits_above_source"] == {"x": [], "y": []}


def test_a_gap_is_null(run: Path, call):
    (run / "metrics.jsonl").write_text(
        '{"step": 1, "grad_norm": null}\n{"step": 2, "grad_norm": 3}\n'
    )
    assert '"y": [null, 3.0]' in call("plot", run, "--json", "--metric", "grad_norm").out


def test_what_is_missing_is_told(run: Path, call):
    code, out, err = call("plot", run, "--metric", "train_loss,bits_above_source")
    assert (code, err) == (0, "Warning: c has no bits_above_source\n")
    assert out.startswith("training loss, nats per character\n")


def test_a_run_that_cannot_be_read_hides_no_other(run: Path, call):
    for name in ("broken", "broken-too"):
        (run.parent / name / "metrics.jsonl").mkdir(parents=True)
        (run.parent / name / "run.lock").touch()
    done = call("plot", run, "runs/broken", "--json", "--metric", "train_loss")
    assert done.code == 0
    assert list(json.loads(done.out)["runs"]) == ["c"]
    assert done.err.startswith("Warning: broken: left out: runs/broken/metrics.jsonl")
    assert call("plot", "runs/broken").code == 3
    done = call("plot", "runs/broken", "runs/broken-too")
    assert (done.code, done.err.splitlines()[-1]) == (3, "Error: none of these runs can be read")


def test_damaged_lines_are_told(run: Path, call):
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write("nonsense\n")
    assert "1 damaged lines in metrics.jsonl left out, the first is line 7" in call("plot", run).err


def test_a_terminal_without_unicode(run: Path):
    other = Path(shutil.copytree(run, "runs/é"))
    done = subprocess.run(
        program("plot", run, other),
        env=os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "50", "NO_COLOR": "1"},
        capture_output=True,
        check=True,
    )
    lines = done.stdout.decode("ascii").splitlines()
    assert max(map(len, lines)) == 50
    assert lines[1] == r"a: c  b: \xe9"


def test_a_picture(run: Path, call):
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    assert call("plot", run, "-o", "a.png") == (0, "", "Written: a.png\n")
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")


def test_events(run: Path, call):
    pytest.importorskip("tensorboardX", reason="needs the extra tensorboard")
    expected = "Written: events (tensorboard --logdir events)\n"
    assert call("plot", run, "--tensorboard", "events") == (0, "", expected)
    (file,) = Path("events/c").iterdir()
    assert file.stat().st_size > 500


def test_without_the_libraries(run: Path, refuse, monkeypatch: pytest.MonkeyPatch):
    for name in ("matplotlib", "tensorboardX", "tensorboardX.event_file_writer"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "pip install 'charlstm[plot]'" in refuse(2, "plot", run, "-o", "a.svg")
    assert "pip install 'charlstm[tensorboard]'" in refuse(2, "plot", run, "--tensorboard", "x")


def test_runs_of_one_name_have_folders_of_their_own(run: Path, folder: Path, call):
    pytest.importorskip("tensorboardX", reason="needs the extra tensorboard")
    for name in ("a/b/x", "a_b/x"):
        shutil.copytree(run, folder / name)
    assert call("plot", "a/b/x", "a_b/x", "--tensorboard", "events").code == 0
    assert len(list((folder / "events").iterdir())) == 2


@pytest.mark.parametrize("words", [("--x", "epoch"), ("--log",), ("--metric", "val_loss")])
def test_events_are_no_picture(run: Path, refuse, words: tuple[str, ...]):
    said = refuse(2, "plot", run, "--tensorboard", "x", *words)
    assert f"{words[0]} is for a picture" in said
    assert not Path("x").exists()


def test_what_is_refused(run: Path, refuse):
    assert "did you mean 'val_loss'?" in refuse(2, "plot", run, "--metric", "vall_loss")
    assert "must end in .png or .svg" in refuse(2, "plot", run, "-o", "a.pdf")
    assert "exclude each other" in refuse(2, "plot", run, "-o", "a.png", "--json")
    assert "not the folder of a run" in refuse(3, "plot", ".")


def test_nothing_to_draw(run: Path, call):
    (run / "metrics.jsonl").write_text("")
    code, out, err = call("plot", run)
    assert (code, out) == (3, "")
    assert (
        err.splitlines()[-1] == "Error: c: nothing to draw; no report has train_loss,val_loss yet"
    )
