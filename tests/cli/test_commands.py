"""What every command prints, and where: stdout is data, stderr is talk."""

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from charlstm.cli.main import explain
from charlstm.config.reading import config_from_dict, load_config
from charlstm.config.schema import all_settings
from charlstm.look import inspection
from charlstm.saved.checkpoint import read_checkpoint


def tree(folder: Path) -> set[tuple[str, int, bytes]]:
    return {
        (str(path), path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


# train


def test_train_prints_only_the_run_folder(call):
    result = call("train", "c.yaml")
    assert result.code == 0
    assert result.out == "runs/c\n"
    assert "step     20/20" in result.err
    assert "Try: charlstm sample runs/c" in result.err.splitlines()[-1]


def test_quiet_is_quiet(call):
    assert call("train", "c.yaml", "-q", "--out", "elsewhere") == (0, "elsewhere\n", "")


def test_the_folder_may_be_a_setting(call):
    assert call("train", "c.yaml", "-q", "output.directory=results/a").out == "results/a\n"


def test_resume_of_a_finished_run_is_no_error(run: Path, call):
    result = call("train", "c.yaml", "--resume")
    assert (result.code, result.out) == (0, "runs/c\n")
    assert "Already finished at step 20" in result.err


def test_resume_of_nothing_starts(call):
    assert call("train", "c.yaml", "--resume", "-q").out == "runs/c\n"


def test_resume_goes_on(run: Path, call):
    result = call("train", "c.yaml", "training.steps=30", "--resume")
    assert result.code == 0
    assert "Resuming at step 20" in result.err
    assert "step     30/30" in result.err


def test_overwrite_starts_anew(run: Path, call):
    assert call("train", "c.yaml", "training.steps=10", "--overwrite", "-q").code == 0
    assert [path.name for path in sorted((run / "checkpoints").iterdir())] == [
        "step-00000010.safetensors"
    ]


@pytest.mark.parametrize("options", [(), ("--resume",), ("--overwrite",)])
def test_a_dry_run_writes_nothing(folder: Path, run: Path, call, options: tuple[str, ...]):
    before = tree(folder)
    result = call("train", "c.yaml", "--dry-run", "output.keep=7", *options)
    assert tree(folder) == before
    assert result.code == 0
    assert "keep: 7" in result.out
    assert "20 steps" in result.err
    assert "memory: about" in result.err
    assert ("holds a run" in result.err) == (not options)


def test_a_dry_run_tells_what_resuming_would(folder: Path, run: Path, refuse):
    said = refuse(2, "train", "c.yaml", "--dry-run", "model.hidden_size=16", "--resume")
    assert "cannot resume with other settings: model.hidden_size is 16" in said


def test_what_a_dry_run_prints_is_a_config(folder: Path, call):
    (folder / "again.yaml").write_text(call("train", "c.yaml", "--dry-run", "seed=5").out)
    assert load_config(folder / "again.yaml") == load_config(folder / "c.yaml", ["seed=5"])


def test_an_option_may_come_from_the_environment(call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHARLSTM_TRAIN_QUIET", "1")
    monkeypatch.setenv("CHARLSTM_TRAIN_OUT", "there")
    assert call("train", "c.yaml") == (0, "there\n", "")


def test_no_setting_comes_from_the_environment(call, monkeypatch: pytest.MonkeyPatch):
    plain = call("train", "c.yaml", "--dry-run").out
    for name in ("SEED", "TRAIN_SEED", "TRAIN_OVERRIDES", "TRAIN_MODEL_LAYERS", "VERSION"):
        monkeypatch.setenv(f"CHARLSTM_{name}", "3")
    assert call("train", "c.yaml", "--dry-run").out == plain


# sample


def test_sample_prints_only_text(run: Path, call):
    result = call("sample", run, "--length", 40, "--seed", 3, "--prompt", "the ")
    assert result.code == 0
    assert result.out.startswith("the ")
    assert len(result.out) == 4 + 40 + 1
    assert set(result.out) <= set("the harbour was quiet ships\n")
    assert "seed 3" in result.err


def test_the_same_seed_gives_the_same_text(run: Path, call):
    texts = [call("sample", run, "--length", 60, "-q", "--seed", seed).out for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_drawn_seed_is_told_and_repeats_the_text(run: Path, call):
    first = call("sample", run, "--length", 60)
    seed = first.err.split("--seed ")[1].rstrip(")\n")
    again = call("sample", run, "--length", 60, "--seed", seed, "-q")
    assert again == (0, first.out, "")


def test_several_samples(run: Path, call):
    result = call("sample", run, "--count", 3, "--length", 20, "--seed", 1, "-q")
    texts = result.out.split("-" * 40 + "\n")
    assert [len(text) for text in texts] == [21, 21, 21]
    assert len(set(texts)) == 3


def test_temperature_zero_needs_no_luck(run: Path, call):
    texts = {call("sample", run, "-t", 0, "-n", 30, "--seed", seed, "-q").out for seed in range(3)}
    assert len(texts) == 1


def test_no_characters_are_asked_for(run: Path, call):
    assert call("sample", run, "-n", 0, "-q", "--prompt", "the") == (0, "the\n", "")


# eval


def test_eval_in_words_and_in_json(run: Path, call):
    words = call("eval", run, "text.txt")
    figures = json.loads(call("eval", run, "text.txt", "--json").out)
    assert figures["characters"] == len(Path("text.txt").read_text())
    assert figures["bits_per_char"] == pytest.approx(figures["loss"] / math.log(2))
    assert figures["perplexity"] == pytest.approx(math.exp(figures["loss"]))
    assert f"{figures['loss']:.6f} nats" in words.out
    assert words.err == ""


# info


def test_info_shows_what_the_official_reader_sees(run: Path, call):
    found = json.loads(call("info", run, "--json").out)
    arrays = load_file(run / "best.safetensors")
    assert found["path"] == "runs/c/best.safetensors"
    assert found["size"] == (run / "best.safetensors").stat().st_size
    assert found["format"] == 1
    assert found["vocabulary"]["characters"] == " abehiopqrstuw"
    assert found["parameter_count"] == sum(
        array.size for name, array in arrays.items() if name.startswith("param/")
    )
    rows = {row["name"]: row for row in found["parameters"]}
    assert rows["linear.W_y"]["shape"] == [8, 14]
    squares = (arrays["param/linear.W_y"].astype("float64") ** 2).sum()
    assert rows["linear.W_y"]["norm"] == pytest.approx(math.sqrt(squares))
    forget = arrays["param/lstm.0.W_h"][2 - 1]  # gates lie in the order o, i, f, g
    assert rows["lstm.0.W_ih"]["largest"] == pytest.approx(abs(forget).max())
    assert rows["lstm.0.W_ih"]["shape"] == [8, 8]


def test_info_finds_the_settings_that_differ(run: Path, call):
    found = json.loads(call("info", run, "--json").out)
    assert found["changed_settings"] == {
        "model.layers": 1,
        "model.hidden_size": 8,
        "model.embedding_size": 0,
        "model.dropout": 0,
        "training.epochs": 50,
        "training.steps": 20,
        "training.batch_size": 4,
        "training.sequence_length": 10,
        "training.learning_rate": 2e-3,
        "training.early_stopping": 0,
        "training.products": "whole",
        "schedule.kind": "constant",
        "schedule.warmup_steps": 0,
        "schedule.minimum": 0,
        "schedule.patience": 2,
        "evaluation.every": 10,
        "evaluation.characters": 0,
        "output.report_every": 5,
        "output.checkpoint_every": 10,
    }
    config = config_from_dict(found["config"], "info")
    assert config.model.hidden_size == 8


def test_info_in_words(run: Path, call):
    result = call("info", run)
    assert result.err == ""
    assert "model.hidden_size         8  (default auto)" in result.out
    assert "training.steps            20  (default null)" in result.out
    assert "vocabulary of 14 characters\n   abehiopqrstuw\n" in result.out
    assert "lstm.0.W_ix" in result.out
    assert "SHA-256 verified" in result.out


def test_the_vocabulary_is_shown_safely(folder: Path, call):
    (folder / "text.txt").write_text("red \x1b[31m alert\r\n\u202e" * 100)
    assert call("train", "c.yaml", "-q").code == 0
    shown = call("info", "runs/c").out
    assert "\\n\\r\\x1b 13[adelmrt\\u202e" in shown
    assert all(char.isprintable() or char == "\n" for char in shown)


def test_info_of_one_checkpoint(run: Path, call):
    found = json.loads(call("info", run / "checkpoints/step-00000010.safetensors", "--json").out)
    assert found["progress"]["step"] == 10


def test_verify_an_intact_run(run: Path, call):
    result = call("info", run, "--verify")
    assert (result.code, result.err) == (0, "")
    assert [line.split()[0] for line in result.out.splitlines()] == ["intact"] * 3


def test_verify_finds_the_damaged_one(run: Path, call):
    file = run / "checkpoints/step-00000010.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    result = call("info", run, "--verify")
    assert result.code == 3
    assert [line.split()[0] for line in result.out.splitlines()] == ["intact", "DAMAGED", "intact"]
    assert "step-00000010.safetensors is damaged" in result.out
    assert result.err == "Error: runs/c: 1 of 3 checkpoints cannot be used\n"
    report = json.loads(call("info", run, "--verify", "--json").out)
    assert report["intact"] is False
    assert [row["step"] for row in report["checkpoints"]] == [20, None, 20]
    assert call("info", file, "--verify").code == 3


def test_verify_of_what_may_not_be_read_is_no_damage(
    run: Path, call, monkeypatch: pytest.MonkeyPatch
):
    file = run / "checkpoints/step-00000010.safetensors"
    opened = os.open

    def forbidden(path: Any, *arguments: Any) -> int:
        if Path(path) == file:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, *arguments)

    monkeypatch.setattr(os, "open", forbidden)
    result = call("info", run, "--verify")
    assert result.code == 3
    assert [line.split()[0] for line in result.out.splitlines()] == ["intact", "unknown", "intact"]
    assert "step-00000010.safetensors: Permission denied" in result.out
    rows = json.loads(call("info", run, "--verify", "--json").out)["checkpoints"]
    assert [row["damaged"] for row in rows] == [False, None, False]


def test_verify_leaves_out_what_is_pruned_meanwhile(
    run: Path, call, monkeypatch: pytest.MonkeyPatch
):
    older, newer = (run / f"checkpoints/step-000000{step}.safetensors" for step in (10, 20))

    def read(path: Path) -> Any:
        if path == newer and older.exists():
            newer.rename(run / "checkpoints/step-00000030.safetensors")
            older.unlink()
            (run / "best.safetensors").unlink()
        return read_checkpoint(path)

    monkeypatch.setattr(inspection, "read_checkpoint", read)
    result = call("info", run, "--verify")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"intact   {run}/checkpoints/step-00000030.safetensors: step 20\n"


def test_info_of_what_is_pruned_meanwhile(run: Path, call, monkeypatch: pytest.MonkeyPatch):
    """Removed when its size is known and its content is not: the next best is shown instead."""
    best = run / "best.safetensors"

    def read(path: Path) -> Any:
        if path == best:
            best.unlink()
        return read_checkpoint(path)

    monkeypatch.setattr(inspection, "read_checkpoint", read)
    result = call("info", run)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{run}/checkpoints/step-00000020.safetensors\n")


def test_verify_of_no_run(folder: Path, refuse):
    assert "holds no checkpoint" in refuse(3, "info", folder, "--verify")


# config


def test_config_prints_every_setting(folder: Path, call):
    text = call("config").out
    assert all(f"{setting.path.split('.')[-1]}:" in text for setting in all_settings())
    (folder / "my.yaml").write_text(text.replace(" files: null", " files: text.txt"))
    plain = folder / "plain.yaml"
    plain.write_text("data: {files: text.txt}")
    assert load_config(folder / "my.yaml") == load_config(plain)


def test_config_prints_the_resolved_one(folder: Path, call):
    (folder / "resolved.yaml").write_text(call("config", "c.yaml", "model.layers=3").out)
    assert load_config(folder / "resolved.yaml") == load_config(
        folder / "c.yaml", ["model.layers=3"]
    )


def test_config_into_a_file_that_is_not_replaced(folder: Path, call, refuse):
    assert call("config", "-o", "new.yaml") == (0, "", "")
    assert (folder / "new.yaml").read_text() == call("config").out
    (folder / "new.yaml").write_text("edited by hand")
    assert "new.yaml exists and is not replaced" in refuse(2, "config", "-o", "new.yaml")
    assert (folder / "new.yaml").read_text() == "edited by hand"


# check and trace: their numbers have tests of their own


def test_check_in_json(call):
    report = json.loads(call("check", "c.yaml", "--json").out)
    assert report["ok"] is True
    assert report["worst"] < report["limit"]


def test_trace_in_json(run: Path, call):
    assert isinstance(json.loads(call("trace", run, "the", "--json").out), dict)


def test_a_library_that_cannot_be_loaded_is_no_bug_of_ours(capsys: pytest.CaptureFixture[str]):
    error = ImportError("\n\nIMPORTANT: READ THIS\n\nOriginal error was: failed to map\n")
    assert explain(error) == 5
    line = "Error: a library cannot be loaded (out of memory, or damaged?):"
    assert capsys.readouterr().err == f"{line} Original error was: failed to map\n"
    assert explain(ImportError("no such name", name="charlstm.nn")) == 1


def test_what_is_for_the_terminal_alone(run: Path, refuse):
    for option in (("--layer", "44"), ("--unit", "0"), ("--gate", "f")):
        assert "go with --terminal" in refuse(2, "look", run, "text.txt", "--json", *option)
