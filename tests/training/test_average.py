"""Runs that keep a mean of their weights."""

from pathlib import Path

import numpy as np
import pytest
from tiny import (
    TEXT,
    all_that_counts,
    differing,
    metrics,
    newest,
    tiny_config,
    train,
    weights,
    write_checkpoint,
)

from charlstm.config.reading import ConfigError
from charlstm.look.score import part_to_score
from charlstm.nn.averaging import AVERAGES, Average
from charlstm.nn.pace import Pace
from charlstm.saved.checkpoint import (
    adapted_checkpoint,
    load_checkpoint,
    load_model,
    read_checkpoint,
)
from charlstm.saved.interchange.exporting import export
from charlstm.saved.interchange.importing import import_checkpoint
from charlstm.system.comm import Alone
from charlstm.training.evaluation import LaneEvaluation

NOISY = {"training.learning_rate": 0.05}


def average_of(folder: Path) -> np.ndarray:
    return np.concatenate([it.ravel() for it in newest(folder).averages.values()])


@pytest.mark.parametrize("kind", AVERAGES)
def test_the_average_stands_beside_the_same_weights(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    seen: list[np.ndarray] = []
    take = Average.take
    monkeypatch.setattr(
        Average, "take", lambda it, x, n: (seen.append(x.values.copy()), take(it, x, n))[1]
    )
    averaged = {"training.average": kind, "training.average_fraction": 0.5}
    train(tiny_config(tmp_path, **NOISY, **averaged), tmp_path / "a")
    train(tiny_config(tmp_path, **NOISY), tmp_path / "plain")
    assert weights(tmp_path / "a") == weights(tmp_path / "plain")
    assert newest(tmp_path / "plain").averages == {}
    assert len(seen) == 20
    expected = np.zeros_like(seen[0])
    for step, x in enumerate(seen, 1):
        expected += AVERAGES[kind](step, 20, 10) * (x - expected)
    np.testing.assert_allclose(average_of(tmp_path / "a"), expected, rtol=1e-4, atol=1e-6)
    if kind == "last-fraction":
        mean = np.mean(seen[10:], axis=0)
        np.testing.assert_allclose(average_of(tmp_path / "a"), mean, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", AVERAGES)
@pytest.mark.parametrize("stop", [7, 13])
def test_resumed_bit_for_bit(tmp_path: Path, kind: str, stop: int):
    config = tiny_config(tmp_path, **NOISY, **{"training.average": kind, "output.sample_every": 6})
    train(config, tmp_path / "straight")
    train(config, tmp_path / "halves", stop_after=stop)
    train(config, tmp_path / "halves", resume=True)
    straight, halves = all_that_counts(tmp_path / "straight"), all_that_counts(tmp_path / "halves")
    assert differing(straight, halves) == []
    assert any(name.startswith("average/") for name in straight)


def test_workers_have_the_same_average(tmp_path: Path):
    averaged = {**NOISY, "training.average": "ema"}
    train(tiny_config(tmp_path, **averaged), tmp_path / "one")
    train(tiny_config(tmp_path, **averaged, **{"training.workers": 2}), tmp_path / "two")
    np.testing.assert_allclose(
        average_of(tmp_path / "two"), average_of(tmp_path / "one"), rtol=1e-3, atol=1e-4
    )
    train(tiny_config(tmp_path, **averaged, **{"training.workers": 2}), tmp_path / "again")
    assert differing(all_that_counts(tmp_path / "two"), all_that_counts(tmp_path / "again")) == []


def test_what_is_used_is_the_average(tmp_path: Path):
    train(tiny_config(tmp_path, **NOISY, **{"training.average": "ema"}), tmp_path / "run")
    best = read_checkpoint(tmp_path / "run" / "best.safetensors")
    loaded = load_model(tmp_path / "run")
    np.testing.assert_array_equal(loaded.model.linear.W_y.value, best.averages["linear.W_y"])
    assert (best.averages["linear.W_y"] != best.parameters["linear.W_y"]).any()
    validation = part_to_score("validation", loaded).ids
    evaluation = LaneEvaluation(loaded.model, validation, 3, 4, Alone())
    told = min(row["val_loss"] for row in metrics(tmp_path / "run") if "val_loss" in row)
    assert told == pytest.approx(evaluation.mean_loss(), rel=1e-6)


def test_another_average_is_another_run(tmp_path: Path):
    train(tiny_config(tmp_path, **{"training.average": "ema"}), tmp_path / "run", stop_after=5)
    for other in ({}, {"training.average": "last-fraction"}):
        with pytest.raises(ConfigError, match=r"training\.average is"):
            train(tiny_config(tmp_path, **other), tmp_path / "run", resume=True)


def test_adapted_and_exported_it_is_the_average_that_goes_on(tmp_path: Path):
    train(tiny_config(tmp_path, **NOISY, **{"training.average": "ema"}), tmp_path / "run")
    loaded, checkpoint = load_checkpoint(tmp_path / "run")
    (adapting,) = loaded.adapting(Pace())
    for _ in adapting.losses(loaded.vocabulary.encode(TEXT)):
        pass
    made = adapted_checkpoint(checkpoint, loaded, adapting, "text", loaded.vocabulary.encode(TEXT))
    write_checkpoint(tmp_path / "adapted.ckpt", made)
    kept = load_model(tmp_path / "adapted.ckpt").model
    np.testing.assert_array_equal(kept.values, adapting.model.values)
    export(loaded, tmp_path / "m.safetensors", None)
    imported = import_checkpoint(tmp_path / "m.safetensors")
    write_checkpoint(tmp_path / "imported.ckpt", imported)
    back = load_model(tmp_path / "imported.ckpt").model
    np.testing.assert_allclose(back.values, loaded.model.values, rtol=1e-6, atol=1e-7)
