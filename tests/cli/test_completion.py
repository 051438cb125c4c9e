"""What a shell offers when Tab is pressed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from program import completed

from charlstm.config.schema import all_settings


def offered(shell: str, *words: str) -> list[str]:
    """The values offered for the last word."""
    asked = {
        **os.environ,
        "_CHARLSTM_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": " ".join(["charlstm", *words]),
        "COMP_CWORD": str(len(words)) if shell != "fish" else words[-1],
    }
    done = completed(env=asked)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    if shell == "zsh":
        return lines[1::3]
    return [line.split(",", 1)[1].split("\t")[0] for line in lines if line]


def test_commands_and_options():
    assert offered("bash", "tra") == ["train", "trace"]
    assert offered("bash", "train", "c.yaml", "--res") == ["--resume"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("command", ["train", "config", "check"])
def test_settings_after_the_config(shell: str, command: str):
    expected = [f"{s.path}=" for s in all_settings() if s.path.startswith("model.")]
    assert offered(shell, command, "c.yaml", "model.") == expected
    assert "schedule.kind=" in offered(shell, command, "c.yaml", "model.layers=3", "sche")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_words_after_the_equals_sign(shell: str):
    assert offered(shell, "train", "c.yaml", "model.cell=l") == [
        "model.cell=lstm",
        "model.cell=layer-norm",
    ]
    assert offered(shell, "train", "c.yaml", "model.layers=") == ["model.layers=auto"]
    assert offered(shell, "train", "c.yaml", "seed=") == []


def test_bash_makes_three_words_of_a_setting():
    words = ("train", "c.yaml", "seed", "=", "3", "model.cell", "=")
    assert offered("bash", *words, "l") == ["lstm", "layer-norm"]
    assert offered("bash", *words) == ["lstm", "simple", "layer-norm"]
    assert "seed=" in offered("bash", *words, "lstm", "see")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_itself(tmp_path: Path, call):
    """The script, loaded by bash and asked as if Tab had been pressed after model.hid."""
    (tmp_path / "script").write_text(call("completion", "bash").out)
    (tmp_path / "charlstm").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m charlstm "$@"\n')
    (tmp_path / "charlstm").chmod(0o755)
    asking = """
        compopt() { echo compopt "$@"; }
        source ./script
        COMP_WORDS=(charlstm train c.yaml model.hid) COMP_CWORD=3
        _charlstm_completion ./charlstm
        echo "${COMPREPLY[@]}"
        complete -p charlstm
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", asking], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "compopt -o nospace",
        "model.hidden_size=",
        "complete -o nosort -F _charlstm_completion charlstm",
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_script_names_the_variable(call, shell: str):
    assert f"_CHARLSTM_COMPLETE={shell}_complete" in call("completion", shell).out
