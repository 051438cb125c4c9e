"""What ``charlstm train`` takes for a text, for a configuration, and for a run to go on with."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from program import program

from charlstm.config.reading import load_config

SHORT = (
    *("model.layers=1", "model.hidden_size=4", "training.batch_size=3"),
    *("training.sequence_length=5", "training.steps=4", "-q"),
)


def files_of(run: str) -> tuple[str, ...]:
    return load_config(Path(run) / "config.yaml").data.files


def test_a_text_names_its_run(folder: Path, call):
    assert call("train", "text.txt", *SHORT) == (0, "runs/text\n", "")
    assert files_of("runs/text") == (str(folder / "text.txt"),)
    assert load_config(Path("runs/text/config.yaml")).model.hidden_size == 4


@pytest.mark.parametrize("name", ["b.txt", "letter", "a=b.txt", "settings.txt"])
def test_what_is_a_text(folder: Path, call, name: str):
    (folder / name).write_text("model: a small boat\nthe harbour was quiet\n" * 40)
    assert call("train", name, *SHORT).code == 0
    assert files_of(f"runs/{Path(name).stem}") == (str(folder / name),)


def test_a_config_is_known_by_what_it_holds(folder: Path, call):
    (folder / "c.yaml").rename("c.conf")
    assert call("train", "c.conf", "-q").out == "runs/c\n"
    assert load_config(Path("runs/c/config.yaml")).model.hidden_size == 8


def test_several_texts_are_one_in_their_order(folder: Path, call):
    (folder / "z.txt").write_text("zebra " * 50)
    assert call("train", "z.txt", "text.txt", *SHORT).out == "runs/z-and-1-more\n"
    assert [Path(file).name for file in files_of("runs/z-and-1-more")] == ["z.txt", "text.txt"]


def test_a_glob_is_called_after_its_folder(folder: Path, call):
    (folder / "books").mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / "books" / name).write_text((folder / "text.txt").read_text())
    assert call("train", "books/*.txt", *SHORT).out == "runs/books\n"


def test_texts_after_a_config_replace_its_text(folder: Path, call):
    (folder / "other.txt").write_text("quiet ships " * 100)
    assert call("train", "c.yaml", "other.txt", "-q").out == "runs/c\n"
    assert files_of("runs/c") == (str(folder / "other.txt"),)


def test_standard_input_is_kept_and_gone_on_with(folder: Path):
    text = (folder / "text.txt").read_bytes()
    command = program("train", "-", *SHORT[:-1])
    done = subprocess.run(command, input=text, capture_output=True, check=True, timeout=60)
    assert done.stdout == b"runs/text\n"
    assert b"kept in runs/text" in done.stderr
    assert (folder / "runs/text/text.txt").read_bytes() == text
    resume = [*command, "--resume"]
    again = subprocess.run(resume, input=text, capture_output=True, check=True, timeout=60)
    assert b"Already finished at step 4" in again.stderr
    other = subprocess.run(resume, input=text + b".", capture_output=True, check=False, timeout=60)
    assert other.returncode == 6
    assert b"holds another text" in other.stderr
    assert (folder / "runs/text/text.txt").read_bytes() == text


def test_a_pipe_is_read_once(folder: Path, call):
    os.mkfifo("pipe")
    text = (folder / "text.txt").read_bytes()
    writer = threading.Timer(0.3, Path("pipe").write_bytes, args=(text,))  # comes after its reader
    writer.daemon = True
    writer.start()
    result = call("train", "pipe", *SHORT[:-1], "--out", "runs/p")
    assert result.code == 0
    assert (folder / "runs/p/text.txt").read_bytes() == text


@pytest.mark.parametrize(
    ("content", "code", "problem"),
    [(b"", 3, "the text is empty"), (b"data:\n  files: text.txt\n", 2, "settings, not a text")],
)
def test_what_standard_input_cannot_be(folder: Path, content: bytes, code: int, problem: str):
    command = program("train", "-", *SHORT)
    done = subprocess.run(command, input=content, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (code, b"")
    assert problem in done.stderr.decode()
    assert not (folder / "runs").exists()


def test_a_dry_run_of_a_pipe_writes_nothing(folder: Path):
    before = sorted(folder.rglob("*"))
    command = program("train", "-", *SHORT[:-1], "--dry-run")
    text = (folder / "text.txt").read_bytes()
    done = subprocess.run(command, input=text, capture_output=True, check=True, timeout=60)
    assert b"nothing was written" in done.stderr
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("named", ["runs/c", "runs/c/config.yaml", "./runs/c/"])
def test_a_run_is_gone_on_with_where_it_lies(run: Path, folder: Path, call, named: str):
    result = call("train", named, "training.steps=30", "--resume")
    assert (result.code, result.out.rstrip("/\n")) == (0, "runs/c")
    assert "Resuming at step 20" in result.err
    assert [path.name for path in (folder / "runs").iterdir() if path.is_dir()] == ["c"]


def test_a_run_s_config_with_its_folder_named(run: Path, call):
    result = call("train", run / "config.yaml", "--out", run, "--resume")
    assert "Already finished at step 20" in result.err


def test_another_run_is_never_begun_unseen(run: Path, folder: Path, call, refuse):
    assert "goes on in runs/c" in refuse(2, "train", run, "--out", "runs/d", "--resume")
    result = call("train", run / "config.yaml", "--out", "runs/d", "--resume")
    assert "The run is that of runs/d, with the settings of runs/c." in result.err
    assert (folder / "runs/d/best.safetensors").exists()


@pytest.mark.parametrize("named", ["runs/c", "runs/c/config.yaml"])
def test_a_run_without_its_checkpoints_is_a_run_still(run: Path, refuse, named: str):
    shutil.rmtree(run / "checkpoints")
    (run / "best.safetensors").unlink()
    assert "runs/c has lost its checkpoints" in refuse(6, "train", named, "--resume")
    assert "runs/c already holds a run" in refuse(6, "train", named)
    assert not Path("runs/config").exists()


def test_a_run_of_which_only_the_best_is_left_goes_on_from_it(run: Path, call):
    shutil.rmtree(run / "checkpoints")
    (run / "metrics.jsonl").unlink()
    assert "Already finished at step 20" in call("train", run / "config.yaml", "--resume").err


def test_a_run_is_not_trained_anew_unasked(run: Path, refuse):
    for named in (run, run / "config.yaml"):
        assert "runs/c already holds a run" in refuse(6, "train", named)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("nots.txt",), "nots.txt: no such file; name a text, a configuration"),
        (("text.txt", "nots.txt"), "nots.txt: no such file"),
        (("text.txt", "c.yaml"), "c.yaml: a configuration comes first, and alone"),
        (("text.txt", "c.conf"), "c.conf: a configuration comes first, and alone"),
        (("diary.yaml",), "train on it with: charlstm train - < diary.yaml"),
        (("*.text",), "*.text: no such file"),
        (("runs",), "runs is a folder without a run in it; name its texts, as in runs/*.txt"),
        (("model.layers=3",), "name a text or a configuration before KEY=VALUE"),
    ],
)
def test_what_is_none_of_these(run: Path, refuse, arguments: tuple[str, ...], problem: str):
    shutil.copy("c.yaml", "c.conf")
    Path("diary.yaml").write_text("Monday: rain.\n", "utf-8")
    assert problem in refuse(2, "train", *arguments)


@pytest.mark.parametrize("content", ["", "\n", "model:\n  layers: [3\n"])
def test_a_faulty_configuration_is_not_taken_for_a_text(folder: Path, refuse, content: str):
    Path("faulty.yaml").write_text(content, "utf-8")
    assert "if it is a text" not in refuse(2, "train", "faulty.yaml")


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
def test_process_substitution(folder: Path):
    train = " ".join([sys.executable, "-m", "charlstm", "train", "<(cat text.txt)", *SHORT])
    done = subprocess.run(
        ["bash", "-c", train], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "runs/text\n"), done.stderr
    assert Path("runs/text/text.txt").read_bytes() == Path("text.txt").read_bytes()


def test_what_workers_measure_keeps_no_text(folder: Path, call):
    """One that is worth keeping, as those of 16 MB are for a run that is begun."""
    text = (folder / "text.txt").read_text()
    (folder / "large.txt").write_text(text * (20_000_000 // len(text)))
    before = sorted(folder.rglob("*"))
    options = ("training.workers=2", "--minutes", "0.02", "--dry-run")
    assert "Measured: " in call("train", "large.txt", *options).err
    assert sorted(folder.rglob("*")) == before


def test_a_budget_on_the_command_line_comes_before_the_steps_of_a_file(folder: Path, call):
    result = call("train", "c.yaml", "--minutes", "0.02", "--dry-run")
    assert "  minutes: 0.02 " in result.out
    assert "  steps: null " in result.out
    assert "Measured: " in result.err
    short = call("train", "c.yaml", "--minutes", "0.02", "training.steps=4", "--dry-run")
    assert "  steps: 4 " in short.out
    assert "Measured: " not in short.err
