"""What ``auto`` comes to goes with what was given: no run ends in unreadable checkpoints."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import newest, tiny_config, train

from charlstm.config.auto import AUTO
from charlstm.errors import ConfigError
from charlstm.saved.checkpoint import load_model
from charlstm.saved.run_folder import RunFolder
from charlstm.training.dataset import read_dataset

LONG = "".join(f"the calm sea at noon {n % 17}\n" for n in range(300))


def test_a_minimum_above_the_rate_of_the_rule(tmp_path: Path):
    settings = {"training.learning_rate": AUTO, "schedule.kind": "cosine", "schedule.minimum": 0.02}
    with pytest.raises(ConfigError, match=r"schedule\.minimum: must not exceed learning_rate"):
        train(tiny_config(tmp_path, **settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_steps_without_end(tmp_path: Path):
    """Until somebody presses Ctrl-C."""
    settings = {"training.steps": 10**15, "training.epochs": AUTO}
    train(tiny_config(tmp_path, **settings), tmp_path / "run", stop_after=3)
    assert newest(tmp_path / "run").config.training.epochs <= 1e9


@pytest.mark.parametrize(
    ("first", "then", "path", "expected"),
    [
        (
            {"training.early_stopping": AUTO, "training.steps": 20_000},
            {"evaluation.every": 0, "training.steps": 9},
            "early_stopping",
            0,
        ),
        (
            {"schedule.warmup_steps": AUTO, "training.steps": None, "training.epochs": 100.0},
            {"training.steps": 7},
            "warmup_steps",
            6,
        ),
    ],
)
def test_what_a_run_goes_on_with_fits_what_is_asked_now(
    tmp_path: Path, first: dict[str, Any], then: dict[str, Any], path: str, expected: int
):
    train(tiny_config(tmp_path, LONG, **first), tmp_path / "run", stop_after=5)
    before = newest(tmp_path / "run").config
    assert getattr(before.training, path, getattr(before.schedule, path, 0)) > expected
    train(tiny_config(tmp_path, LONG, **first | then), tmp_path / "run", resume=True)
    after = newest(tmp_path / "run").config
    assert getattr(after.training, path, getattr(after.schedule, path, None)) == expected


def test_a_tuned_run_goes_on_without_its_source(tmp_path: Path):
    """Its checkpoint holds all that is needed, also characters that were new then."""
    (tmp_path / "a").mkdir()
    train(tiny_config(tmp_path / "a"), tmp_path / "source")
    others = {"init_from": str(tmp_path / "source"), "data.new_characters": "grow"}
    text = "zebras are at sea\n" * 20
    train(tiny_config(tmp_path, text, **others), tmp_path / "straight")
    short = tiny_config(tmp_path, text, **others | {"training.steps": 7})
    train(short, tmp_path / "run")
    shutil.rmtree(tmp_path / "source")
    train(tiny_config(tmp_path, text, **others), tmp_path / "run", resume=True)
    straight, resumed = (load_model(tmp_path / name) for name in ("straight", "run"))
    assert (straight.model.values == resumed.model.values).all()
    assert straight.vocabulary == resumed.vocabulary


def test_milestones_need_no_other_checkpoints(tmp_path: Path):
    settings = {"output.milestone_every": 6, "output.keep": 1, "evaluation.every": 0}
    train(tiny_config(tmp_path, **settings), tmp_path / "run")
    assert RunFolder(tmp_path / "run").steps() == [20, 18, 12, 6]


def test_a_warm_up_longer_than_the_run_is_told(tmp_path: Path):
    said: list[str] = []
    settings = {"training.steps": None, "training.epochs": 1.0, "schedule.warmup_steps": 5000}
    train(tiny_config(tmp_path, **settings), tmp_path / "run", say=said.append)
    (warning,) = (line for line in said if "schedule.warmup_steps" in line)
    steps = read_dataset(tiny_config(tmp_path, **settings)).total_steps
    assert warning.startswith(f"Warning: in {steps} steps the learning rate never gets")


def test_the_home_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    config = tiny_config(tmp_path, **{"output.directory": "~/runs/x"})
    assert config.output.folder == tmp_path / "home" / "runs" / "x"
