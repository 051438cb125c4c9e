"""``charlstm compare``: what it prints, and that it changes nothing."""

import csv
import io
import json
import os
import shutil
from pathlib import Path

import pytest
from tiny import forge

from charlstm.cli.compare import HEADINGS
from charlstm.saved.run_folder import RunFolder


@pytest.fixture
def runs(run: Path, call) -> Path:
    """runs/c, finished, and runs/d: another size, another learning rate, half as many steps."""
    settings = ("model.hidden_size=5", "training.learning_rate=0.03", "training.steps=10")
    assert call("train", "c.yaml", *settings, "--out", "runs/d", "-q").code == 0
    return run.parent


def strict(text: str) -> object:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_table(runs: Path, call):
    code, out, err = call("compare", "runs/d", "runs/c")
    assert (code, err) == (0, "")
    head, d, c, blank, *settings = out.splitlines()
    assert head.split() == list(HEADINGS.values())
    assert [d.split()[0], d.split()[6], d.split()[-1]] == ["d", "10", "finished"]
    assert [c.split()[0], c.split()[6], c.split()[-1]] == ["c", "20", "finished"]
    assert blank == ""
    table = [line.split("  ") for line in settings]
    assert [[cell.strip() for cell in row if cell] for row in table] == [
        ["settings that differ", "d", "c"],
        ["model.hidden_size", "5", "8"],
        ["training.steps", "10", "20"],
        ["training.learning_rate", "0.03", "0.002"],
    ]


def test_columns_stand_below_their_headings(runs: Path, call):
    head, d, c = call("compare", "runs/d", "runs/c").out.splitlines()[:3]
    for name in ("parameters", "steps", "bits/char", "chars/s"):
        end = head.index(name) + len(name)
        assert all(row[end - 1].isdigit() and row[end : end + 1] in (" ", "") for row in (d, c))


def test_one_run_differs_in_nothing(run: Path, call):
    assert len(call("compare", run).out.splitlines()) == 2


def test_csv(runs: Path, call):
    rows = list(csv.DictReader(io.StringIO(call("compare", "runs/c", "runs/d", "--csv").out)))
    assert [row["name"] for row in rows] == ["c", "d"]
    assert [row["steps"] for row in rows] == ["20", "10"]
    assert [row["hidden_size"] for row in rows] == ["8", "5"]
    assert [row["training.learning_rate"] for row in rows] == ["0.002", "0.03"]
    assert 1 < float(rows[0]["best_bits_per_char"]) < 6


def test_json(runs: Path, call):
    found = strict(call("compare", "runs/d", "runs/c", "--json").out)
    assert [row["name"] for row in found["runs"]] == ["d", "c"]
    assert found["differing_settings"] == [
        "model.hidden_size",
        "training.steps",
        "training.learning_rate",
    ]
    assert found["runs"][0]["differing_settings"]["training.steps"] == 10
    assert set(found["runs"][1]) == {
        *("name", "path", "state", "cell", "layers", "hidden_size", "parameters", "steps"),
        *("best_bits_per_char", "chars_per_second", "problem", "differing_settings"),
    }


def test_sorted(runs: Path, call):
    def order(*options: str) -> str:
        rows = csv.DictReader(
            io.StringIO(call("compare", "runs/c", "runs/d", "--csv", *options).out)
        )
        return "".join(row["name"] for row in rows)

    assert order() == "cd"
    assert order("--sort", "steps") == order("--sort", "model.hidden_size") == "dc"
    assert order("--sort", "name", "--reverse") == "dc"
    assert order("--sort", "training.learning_rate", "-r") == "dc"


def test_a_failed_run_is_told_and_its_settings_are_blank(runs: Path, call):
    Path("runs/e").mkdir()
    Path("runs/e/run.lock").touch()
    code, out, err = call("compare", "runs/c", "runs/d", "runs/e")
    assert (code, err) == (0, "Warning: e: no checkpoint was saved\n")
    assert out.splitlines()[3].split() == ["e", "-", "-", "-", "-", "-", "-", "failed"]
    found = strict(call("compare", "runs/e", "--json").out)["runs"][0]
    assert (found["state"], found["problem"]) == ("failed", "no checkpoint was saved")
    assert found["layers"] is found["best_bits_per_char"] is None
    assert ",failed,,,,,,,\n" in call("compare", "runs/e", "--csv").out


def test_a_running_run(run: Path, call):
    with RunFolder(run).lock():
        assert call("compare", run).out.splitlines()[1].endswith("  running")


def test_nothing_is_written(runs: Path, call):
    def state() -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_mtime_ns) for path in runs.rglob("*"))

    before = state()
    call("compare", "runs/c", "runs/d", "--sort", "bits")
    assert state() == before


def test_a_read_only_run(run: Path, call):
    for path in [*run.rglob("*"), run]:
        path.chmod(path.stat().st_mode & 0o555)
    try:
        assert call("compare", run).code == 0
    finally:
        for path in [run, *run.rglob("*")]:
            path.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="such names need POSIX")
def test_a_hostile_name(run: Path, call):
    shutil.move(run, "runs/a\x1b[2J\nb")
    lines = call("compare", "runs/a\x1b[2J\nb").out.splitlines()
    assert lines[1].startswith(r"a\x1b[2J\nb  lstm")


def test_a_folder_of_runs_stands_for_them(runs: Path, call):
    (runs / "no run").mkdir()
    alone = call("compare", "runs/c", "runs/d")
    assert call("compare", "runs") == call("compare", "runs", "runs/c") == alone
    assert "d" in call("plot", "runs", "--json").out


def test_what_is_refused(run: Path, refuse):
    assert "not the folder of a run" in refuse(3, "compare", ".")
    assert "does not exist" in refuse(3, "compare", run, "runs/nowhere")
    assert "columns are name, cell" in refuse(2, "compare", run, "--sort", "bit")
    assert "exclude each other" in refuse(2, "compare", run, "--json", "--csv")
    assert "goes with --sort" in refuse(2, "compare", run, "--reverse")
    assert "RUN..." in refuse(2, "compare")
    assert "is a file" in refuse(2, "compare", "c.yaml")


def test_a_run_that_cannot_be_read_hides_no_other(runs: Path, call):
    (runs / "broken").mkdir()
    (runs / "broken" / "run.lock").touch()
    (runs / "broken" / "checkpoints").write_text("no folder")
    done = call("compare", "runs", "--json")
    assert done.code == 0
    states = {row["name"]: row["state"] for row in json.loads(done.out)["runs"]}
    assert states.pop("broken") == "failed"
    assert len(states) == 2
    assert "Warning: broken: cannot list runs/broken/checkpoints" in done.err


def test_json_of_a_loss_out_of_all_bounds(runs: Path, call):
    newest = max((runs / "c" / "checkpoints").iterdir())
    forge(newest, lambda arrays, state: state["progress"].update(best_val_loss=1.7e308))
    done = call("compare", "runs", "--json")
    rows = json.loads(done.out, parse_constant=pytest.fail)["runs"]
    assert [row["best_bits_per_char"] is None for row in rows] == [True, False]
