"""Whatever is wrong with the input: one line that says where, what and what to do; a known code."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest
from program import completed, program

from charlstm.errors import FileError

OFFSET_OF_DIGEST = 8 + len(b'{"__metadata__":{"sha256":"')


def sealed_again(data: bytes) -> bytes:
    """``data`` with the SHA-256 that belongs to it."""
    start, end = OFFSET_OF_DIGEST, OFFSET_OF_DIGEST + 64
    digest = hashlib.sha256(data[:start] + b"0" * 64 + data[end:]).hexdigest()
    return data[:start] + digest.encode() + data[end:]


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


# The configuration and its overrides


def test_a_missing_config(refuse):
    assert "nowhere.yaml: cannot read the configuration: No such file" in refuse(
        2, "train", "nowhere.yaml"
    )


def test_a_config_that_is_no_yaml(folder: Path, refuse):
    (folder / "c.yaml").write_text("data: {files: [text.txt\nseed: 3\n")
    assert re.search(r"c\.yaml:2:\d+: not YAML: ", refuse(2, "train", "c.yaml"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("model: {hiden_size: 3}", "unknown setting 'hiden_size'; did you mean 'hidden_size'?"),
        ("sed: 3", "unknown setting 'sed'; did you mean 'seed'?"),
        ("model: {layers: two}", "model.layers: expected a whole number or auto, found 'two'"),
        ("model: {layers: 0}", "model.layers: must be at least 1 and at most 1000, found 0"),
        ("model: {cell: lstn}", "expected one of lstm, simple, layer-norm, found 'lstn'"),
        ("training: {learning_rate: .inf}", "training.learning_rate: expected a finite number"),
        ("data: {files: text.txt, validation_fraction: 1}", "must be at least 0 and below 1"),
    ],
)
def test_a_wrong_setting_is_named_with_its_line(folder: Path, refuse, line: str, problem: str):
    start = "" if line.startswith("data") else "data: {files: text.txt}\n"
    (folder / "c.yaml").write_text(start + line + "\n")
    message = refuse(2, "train", "c.yaml")
    assert f"c.yaml:{1 + bool(start)}: " in message
    assert problem in message


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("model.layers", "expected KEY=VALUE"),
        ("model.layers=", "expected a whole number or auto, found"),
        ("model.layers=[", "model.layers=["),
        ("model.layers=1.5", "expected a whole number or auto, found 1.5"),
        ("model.hiden_size=3", "did you mean 'hidden_size'?"),
        ("model=3", "a group of settings"),
        ("training.learning_rate=-1e-3", "must be above 0, found -0.001"),
    ],
)
def test_an_override_is_quoted(refuse, override: str, problem: str):
    message = refuse(2, "train", "c.yaml", override)
    assert f"override '{override}'" in message
    assert problem in message


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (
            "train c.yaml --lr 1e-3",
            "No such option '--lr'. Did you mean training.learning_rate=...?",
        ),
        ("train c.yaml --hidden-size 9", "Did you mean model.hidden_size=...?"),
        ("train c.yaml --epochs=9", "Did you mean training.epochs=...?"),
        ("sample runs/c --temp 0.5", "Did you mean --temperature?"),
        ("sample runs/c --max-lenght 9", "Did you mean --max-length?"),
        ("sample runs/c --lr 9", "No such option"),
    ],
)
def test_the_names_that_others_use(refuse, arguments: str, advice: str):
    message = refuse(2, *arguments.split())
    assert advice in message
    assert "--help?" not in message


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("sample", "runs/c", "-n", "1e3"), "'1e3' is not a valid whole number"),
        (("sample", "runs/c", "-t", "hot"), "'hot' is not a valid number"),
        (("report", "c.yaml"), "'c.yaml' is a file; name a folder"),
        (("compare", "c.yaml"), "'c.yaml' is a file; name a folder"),
        (("plot", "runs", "-o", "."), "'.' is a folder; name a file"),
        (("train", "c.yaml", "--out", ""), "the name is empty"),
        (("sample", ""), "the name is empty"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(refuse, folder: Path, arguments, problem: str):
    before = tree(folder)
    assert problem in refuse(2, *arguments)
    assert tree(folder) == before


def test_a_name_beyond_ascii_in_a_locale_of_ascii(folder: Path):
    (folder / "b\u00f6ot").mkdir()
    (folder / "b\u00f6ot" / "c.yaml").write_text("data: {files: ../text.txt}\n")
    (folder / "c.yaml").rename(folder / "b\u00f6ot" / "c.yaml")
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = completed("train", "b\u00f6ot/c.yaml", cwd=folder, env=plain)
    assert done.returncode == 2
    assert b"LC_ALL=C.UTF-8, or PYTHONUTF8=1" in done.stderr


def test_a_config_without_a_text(folder: Path, refuse):
    (folder / "c.yaml").write_text("seed: 3\n")
    assert "data.files: is required" in refuse(2, "train", "c.yaml")


def test_a_model_larger_than_the_machine(folder: Path, refuse):
    message = refuse(2, "train", "c.yaml", "model.hidden_size=1000000")
    assert re.search(r"needs about [\d,]+\.\d GB and this machine has", message)
    assert "lower model.hidden_size" in message
    assert not (folder / "runs").exists()


# The text


def test_a_missing_text(folder: Path, refuse):
    (folder / "text.txt").unlink()
    assert "text.txt: cannot be read: No such file" in refuse(3, "train", "c.yaml")


def test_a_glob_that_matches_nothing(folder: Path, refuse):
    (folder / "c.yaml").write_text("data: {files: '*.text'}\n")
    assert "*.text: no file matches" in refuse(3, "train", "c.yaml")


def test_an_empty_text(folder: Path, refuse):
    (folder / "text.txt").write_text("")
    assert "text.txt: the text is empty" in refuse(3, "train", "c.yaml")


def test_a_text_shorter_than_a_batch(folder: Path, refuse):
    (folder / "text.txt").write_text("too short " * 3)
    message = refuse(3, "train", "c.yaml")
    assert "27" in message  # characters to learn from
    assert "41" in message  # 4 streams of 10, and the character after them
    assert "batch_size" in message
    assert "sequence_length" in message


def test_invalid_utf8(folder: Path, refuse):
    (folder / "text.txt").write_bytes(b"good " * 30 + b"\xff" + b" text" * 30)
    message = refuse(3, "train", "c.yaml")
    assert "text.txt: invalid UTF-8 at byte 150 (0xff)" in message
    assert "data.unit=bytes" in message


def test_a_folder_as_text(folder: Path, refuse):
    (folder / "text.txt").unlink()
    (folder / "text.txt").mkdir()
    assert "is a folder; name its files" in refuse(3, "train", "c.yaml")


# Checkpoints


@pytest.mark.parametrize("command", [("sample",), ("info",), ("eval", "text.txt")])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"hello, world, this is no checkpoint at all", "is not a charlstm checkpoint"),
        (b"\x80\x04\x95 pickled", "is a pickle; charlstm never loads pickles"),
        (b"PK\x03\x04 and so on", "is a zip archive"),
    ],
)
def test_a_file_that_is_no_checkpoint(folder: Path, refuse, command, content, problem):
    (folder / "model.bin").write_bytes(content)
    name, *rest = command
    assert f"model.bin {problem}" in refuse(3, name, "model.bin", *rest)


@pytest.mark.parametrize("command", ["sample", "info"])
def test_a_missing_checkpoint(refuse, command: str):
    assert "nowhere.safetensors" in refuse(3, command, "nowhere.safetensors")


def test_a_folder_that_is_no_run(folder: Path, refuse):
    assert "holds no checkpoint" in refuse(3, "sample", folder)


@pytest.mark.parametrize("command", ["sample", "info"])
def test_a_checkpoint_of_a_newer_format(run: Path, refuse, command: str):
    best = run / "best.safetensors"
    newer = best.read_bytes().replace(b'"charlstm-1"', b'"charlstm-2"')
    best.write_bytes(sealed_again(newer))
    message = refuse(3, command, run)
    assert "written by a newer charlstm (format 2; this one reads up to 1)" in message
    assert "Upgrade" in message


def test_a_damaged_checkpoint(run: Path, refuse):
    best = run / "best.safetensors"
    content = bytearray(best.read_bytes())
    content[-20] ^= 1
    best.write_bytes(content)
    assert "is damaged (checksum differs" in refuse(3, "sample", run)


def test_unknown_characters_of_a_prompt_are_named(run: Path, refuse, call):
    message = refuse(3, "sample", run, "--prompt", "the Ω!")
    assert "'Ω' (U+03A9), '!' (U+0021)" in message
    result = call("sample", run, "--prompt", "the Ω!", "--skip-unknown", "-q", "--length", 3)
    assert result.code == 0


def test_a_text_to_evaluate_with_unknown_characters(folder: Path, run: Path, refuse):
    (folder / "other.txt").write_text("the harbour was LOUD")
    message = refuse(3, "eval", run, "other.txt")
    assert "other.txt" in message
    assert "'L' (U+004C)" in message


# The run folder


def test_a_run_folder_that_is_taken(run: Path, folder: Path, refuse):
    before = tree(run)
    message = refuse(6, "train", "c.yaml")
    assert "runs/c already holds a run" in message
    assert all(way in message for way in ("--resume", "--overwrite", "--out"))
    now = tree(run)
    del before["runs/c/run.lock"], now["runs/c/run.lock"]
    assert now == before


@pytest.mark.parametrize("out", ["text.txt/run", "/proc/charlstm/run"])
def test_a_run_folder_that_cannot_be_made(refuse, out: str):
    message = refuse(5, "train", "c.yaml", "--out", out)
    assert out in message


def test_a_read_only_run_folder(folder: Path, obedient: list[str]):
    (folder / "locked").mkdir(mode=0o500)
    command = [*obedient, *program("train", "c.yaml", "--out", "locked/run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == (
        "Error: cannot create locked/run/checkpoints: Permission denied."
        " Change the permissions or choose another folder.\n"
    )


def test_resume_with_another_model(run: Path, refuse):
    message = refuse(2, "train", "c.yaml", "model.hidden_size=9", "--resume")
    assert "model.hidden_size is 9 (checkpoint: 8)" in message


def test_resume_on_another_text(folder: Path, run: Path, refuse):
    (folder / "text.txt").write_text((folder / "text.txt").read_text() + " ships")
    message = refuse(3, "train", "c.yaml", "--resume")
    assert "not the text this run was trained on" in message
    assert re.search(r"sha256 [0-9a-f]{8}", message)


# The command line


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("trian", "c.yaml"), "No such command 'trian'. Did you mean 'train'?"),
        (("train",), "Missing argument 'TEXT|CONFIG|RUN'"),
        (("train", "c.yaml", "--rezume"), "No such option '--rezume'. Did you mean --resume? (See"),
        (("train", "c.yaml", "--zzz"), "No such option '--zzz'. (See"),
        (("train", "c.yaml", "--resume", "--overwrite"), "exclude each other"),
        (("sample", "r", "--length", "-1"), "-1 is not in the range"),
        (("sample", "r", "--temperature", "hot"), "'hot' is not a valid number"),
        (("completion", "tcsh"), "'tcsh' is not one of"),
        (("config", "model.layers=3"), "name a configuration file before KEY=VALUE"),
    ],
)
def test_the_command_line_itself(refuse, arguments: tuple[str, ...], problem: str):
    assert problem in refuse(2, *arguments)


def test_control_characters_do_not_reach_the_terminal(refuse, monkeypatch: pytest.MonkeyPatch):
    import charlstm.look.inspection

    def hostile(path: Path) -> None:
        raise FileError("evil\x1b[31m\nname\u202e")

    assert "\\x1b[31mred" in refuse(2, "train", "\x1b[31mred")
    monkeypatch.setattr(charlstm.look.inspection, "inspect", hostile)
    assert refuse(3, "info", "r") == "Error: evil\\x1b[31m\\nname\\u202e"


def test_an_unexpected_error_is_a_bug_and_says_so(call, monkeypatch: pytest.MonkeyPatch):
    import charlstm.look.inspection

    def broken(path: Path) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(charlstm.look.inspection, "inspect", broken)
    result = call("info", "r")
    assert result.code == 1
    assert "ZeroDivisionError: planted" in result.err
    assert result.err.splitlines()[-1].startswith("Error: this is a bug in charlstm")


def test_out_of_memory_is_one_line(refuse, monkeypatch: pytest.MonkeyPatch):
    import charlstm.look.inspection

    def greedy(path: Path) -> None:
        raise MemoryError

    monkeypatch.setattr(charlstm.look.inspection, "inspect", greedy)
    assert "out of memory" in refuse(5, "info", "r")
