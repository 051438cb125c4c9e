"""Runs so small that a whole training takes some 20 milliseconds. Shared by tests."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from charlstm.config.reading import config_from_dict
from charlstm.config.settings import Config
from charlstm.saved.checkpoint import Checkpoint, checkpoint_chunks, read_checkpoint
from charlstm.saved.run_folder import RunFolder
from charlstm.system.sealed import read_sealed, seal
from charlstm.training import run
from charlstm.training.resuming import Options
from charlstm.training.trainer import Requests

WALL_CLOCK = {"seconds", "chars_per_second"}

TEXT = "".join(
    word + " \n"[place % 7 == 6]
    for place, word in enumerate(
        ["the", "sea", "was", "calm", "at", "noon", "and", "we", "saw", "no", "sail"] * 4
    )
)
"""176 characters: 8 steps an epoch with the settings below."""

SETTINGS: dict[str, Any] = {
    "data.validation_fraction": 0.4,
    "model.layers": 2,
    "model.hidden_size": 5,
    "model.embedding_size": 0,
    "model.dropout": 0.0,
    "training.steps": 20,
    "training.batch_size": 3,
    "training.sequence_length": 4,
    "training.learning_rate": 0.02,
    "training.epochs": 50.0,
    "training.products": "whole",
    "training.early_stopping": 0,
    "schedule.kind": "constant",
    "schedule.warmup_steps": 0,
    "schedule.minimum": 0.0,
    "schedule.patience": 2,
    "evaluation.every": 5,
    "evaluation.characters": 0,
    "output.report_every": 3,
    "output.checkpoint_every": 0,
}


def tiny_config(folder: Path, text: str = TEXT, **settings: Any) -> Config:
    """``settings`` by dotted name: ``**{"model.layers": 3}``. Writes the text into ``folder``."""
    file = folder / "text.txt"
    file.write_text(text, encoding="utf-8", newline="")
    nested: dict[str, Any] = {"data": {"files": [str(file)]}}
    for path, value in (SETTINGS | settings).items():
        group, _, name = path.rpartition(".")
        (nested.setdefault(group, {}) if group else nested)[name] = value
    return config_from_dict(nested, "tiny")


def train(
    config: Config,
    folder: Path,
    *,
    resume: bool = False,
    stop_after: int | None = None,
    exact: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> run.Outcome:
    """A whole run in this process; ``stop_after`` this step as a signal would."""
    options = Options(resume=resume, exact=exact, quiet=True)
    no_disk = patch.object(os, "fsync", lambda descriptor: None)  # no power will be lost here
    with no_disk, patch.object(run, "train", _stopping(run.train, stop_after)):
        return run.run_training(config, folder, options, say)


def _stopping(train: Callable[..., str], step: int | None) -> Callable[..., str]:
    def stopping(trainer: Any, *args: Any, requests: Callable[[], Requests], **others: Any) -> str:
        def asked() -> Requests:
            return requests()._replace(stop=trainer.step_number + 1 == step)

        return train(trainer, *args, requests=asked, **others)

    return stopping


def newest(folder: Path) -> Checkpoint:
    run_folder = RunFolder(folder)
    return read_checkpoint(run_folder.checkpoint_path(run_folder.steps()[0]))


def metrics(folder: Path) -> list[dict[str, Any]]:
    """Every line, without what a clock has measured."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line, parse_constant=_no_constant) for line in lines]
    return [{k: v for k, v in row.items() if k not in WALL_CLOCK} for row in rows]


def _no_constant(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")


def all_that_counts(folder: Path) -> dict[str, Any]:
    """What two equal runs have in common, as bytes and numbers: weights, moments, states, best
    model, metrics, samples, progress.
    """
    last = newest(folder)
    found: dict[str, Any] = {"metrics": metrics(folder)}
    found |= {f"param/{name}": array.tobytes() for name, array in last.parameters.items()}
    found |= {f"average/{name}": array.tobytes() for name, array in last.averages.items()}
    found |= {f"optimizer/{name}": array.tobytes() for name, array in last.optimizer.items()}
    found["states"] = last.states.tobytes()
    found["optimizer_steps"] = last.optimizer_steps
    progress = vars(last.progress).items()
    found |= {k: v for k, v in progress if k not in {"seconds", "metrics_length"}}
    if (folder / "best.safetensors").exists():
        best = read_checkpoint(folder / "best.safetensors")
        found |= {f"best/{name}": array.tobytes() for name, array in best.parameters.items()}
    if (folder / "samples.txt").exists():
        found["samples"] = (folder / "samples.txt").read_bytes()
    return found


def weights(folder: Path) -> bytes:
    return b"".join(array.tobytes() for array in newest(folder).parameters.values())


def differing(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """The names of what is not equal; a short thing to print."""
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def forge(path: Path, change: Callable[[dict[str, np.ndarray], dict[str, Any]], None]) -> None:
    """Change what a sealed file holds and seal it again, with a right checksum."""
    arrays, state = read_sealed(path)
    change(arrays, state)
    path.write_bytes(b"".join(seal(arrays, state)))


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    path.write_bytes(b"".join(checkpoint_chunks(checkpoint)))
