"""Training on a list: the same batches again, whoever reads them, and the losses of its items."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import all_that_counts, differing, metrics, newest, tiny_config, train

from charlstm.config.settings import Config
from charlstm.errors import ConfigError, FileError
from charlstm.saved.checkpoint import load_model
from charlstm.system.comm import Alone
from charlstm.text import cache
from charlstm.text.items import Items
from charlstm.text.mapped_ids import MappedIds
from charlstm.training.dataset import cache_beside, read_dataset
from charlstm.training.growth import on_new_characters
from charlstm.training.item_evaluation import ItemEvaluation
from charlstm.training.setup import evaluation_of, prepare

NAMES = [a + b for a in ("an", "bo", "cara", "di") for b in ("", "a", "na", "lina", "bert", "x")]


def config_of(folder: Path, text: str = "\n".join(NAMES) + "\n", **settings: Any) -> Config:
    return tiny_config(folder, text, **{"data.items": "lines", **settings})


def exact(model, items: Items) -> float:
    """Nats a symbol, item by item."""
    total = 0.0
    for number in range(items.count):
        x = items.item(number).astype(np.intp)[:, np.newaxis]
        y = np.append(x[1:, 0], items.end)[:, np.newaxis]
        total += float(model.losses(x, y, model.zero_states(1), model.tape(len(x), 1))[0].sum())
    return total / items.predictions


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"data.items": "a\n"},
        {"model.cell": "layer-norm", "model.dropout": 0.2, "model.recurrent_dropout": 0.2},
        {"model.cell": "simple", "model.input_gate": "capped"},
        {"model.cell": "simple", "training.batch_size": 5, "training.sequence_length": 2},
    ],
)
@pytest.mark.parametrize("stop_after", [1, 7, 13])
def test_a_run_goes_on_bit_for_bit(tmp_path: Path, settings: dict[str, Any], stop_after: int):
    config = config_of(tmp_path, **settings)
    train(config, tmp_path / "straight")
    train(config, tmp_path / "stopped", stop_after=stop_after)
    assert newest(tmp_path / "stopped").progress.step == stop_after
    train(config, tmp_path / "stopped", resume=True)
    runs = all_that_counts(tmp_path / "straight"), all_that_counts(tmp_path / "stopped")
    assert differing(*runs) == []


def test_workers_share_the_lanes(tmp_path: Path):
    settings = {"model.dtype": "float64", "training.batch_size": 4, "training.steps": 9}
    for workers in (1, 2):
        config = config_of(tmp_path, **settings, **{"training.workers": workers})
        train(config, tmp_path / str(workers))
    one, two = (newest(tmp_path / name) for name in "12")
    assert one.progress.val_loss == pytest.approx(two.progress.val_loss, rel=1e-12)
    for name, array in one.parameters.items():
        np.testing.assert_allclose(array, two.parameters[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_validation_loss_is_that_of_the_items(tmp_path: Path, batch_size: int):
    settings = {"model.dtype": "float64", "training.batch_size": batch_size}
    dataset = read_dataset(config_of(tmp_path, **settings))
    trainer, _ = prepare(dataset, Alone(), None)
    assert isinstance(dataset.validation, Items)
    assert dataset.validation.count == int(0.4 * len(NAMES))
    assert dataset.text.characters + dataset.text.validation == len("\n".join(NAMES)) + 1
    evaluation = evaluation_of(dataset, trainer)
    assert evaluation is not None
    expected = exact(trainer.model, dataset.validation)
    assert evaluation.mean_loss() == pytest.approx(expected, rel=1e-12)


def test_a_part_of_the_validation_part_is_its_beginnings(tmp_path: Path):
    dataset = read_dataset(config_of(tmp_path, **{"model.dtype": "float64"}))
    trainer, _ = prepare(dataset, Alone(), None)
    items = dataset.validation
    assert isinstance(items, Items)
    part = ItemEvaluation(trainer.model, items, 1, 4, Alone(), characters=11)
    whole_ones = np.flatnonzero(np.cumsum(items.lengths) <= 11)
    assert part._predictions == 11
    ended = items.chosen(whole_ones)
    assert ended.predictions <= 11
    assert part.mean_loss() != pytest.approx(exact(trainer.model, items), rel=1e-6)


def test_a_run_starts_from_what_is_predicted(tmp_path: Path):
    config = config_of(tmp_path, "ab\nab\n\nab\nab\n", **{"data.items": "\n", "training.steps": 1})
    dataset = read_dataset(config)
    assert dataset.corpus.vocabulary.specials == ("end",)
    trainer, _ = prepare(dataset, Alone(), None)
    b_y = trainer.model.linear.b_y.value
    counts = {"a": 3, "b": 3, "end": 3}
    np.testing.assert_allclose(np.exp(b_y), [(n + 1) / 12 for n in counts.values()], rtol=1e-6)


# Texts of their own for validation and test ------------------------------------------------------


@pytest.mark.parametrize("items", ["none", "lines"])
def test_validation_may_have_files_of_its_own(tmp_path: Path, items: str):
    (tmp_path / "held.txt").write_text("\n".join(NAMES[::5]))
    settings = {"data.items": items, "data.validation_files": [str(tmp_path / "held.txt")]}
    config = config_of(tmp_path, **settings)
    dataset = read_dataset(config)
    assert dataset.text.characters == len("\n".join(NAMES)) + 1
    assert dataset.text.validation == len("\n".join(NAMES[::5])) + (items == "lines")
    train(config, tmp_path / "run", stop_after=5)
    held_out = load_model(tmp_path / "run").corpus.held_out
    assert held_out.keys() == {"validation"}
    assert held_out["validation"].characters == dataset.text.validation
    train(config, tmp_path / "run", resume=True, stop_after=6)
    (tmp_path / "held.txt").write_text("\n".join(NAMES[1::5]))
    with pytest.raises(FileError, match=r"data\.validation_files.*not the texts"):
        train(config, tmp_path / "run", resume=True)


def test_validation_with_other_characters_is_refused(tmp_path: Path):
    (tmp_path / "held.txt").write_text("zz")
    config = config_of(tmp_path, **{"data.validation_files": [str(tmp_path / "held.txt")]})
    with pytest.raises(FileError, match=r"held\.txt: not in the vocabulary: 'z'"):
        read_dataset(config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data.items": "line"}, "would part the items at the word 'line'; did you mean lines?"),
        ({"data.items": "none", "data.labels": True}, r"data\.labels: needs data\.items"),
    ],
)
def test_settings_that_cannot_be_meant(tmp_path: Path, settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        config_of(tmp_path, **settings)


def test_another_list_of_the_same_vocabulary_is_no_text(tmp_path: Path):
    """A run on lines does not go on as one on a whole text."""
    train(config_of(tmp_path), tmp_path / "run", stop_after=3)
    with pytest.raises(ConfigError, match=r"data\.items is none \(checkpoint: lines\)"):
        train(config_of(tmp_path, **{"data.items": "none"}), tmp_path / "run", resume=True)


# What is told -------------------------------------------------------------------------------------


def test_bits_of_an_item_are_reported(tmp_path: Path):
    config = config_of(tmp_path)
    dataset = read_dataset(config)
    train(config, tmp_path / "run")
    row = next(row for row in metrics(tmp_path / "run") if "val_loss" in row)
    assert isinstance(dataset.validation, Items)
    per_item = dataset.validation.predictions / dataset.validation.count
    assert row["val_bits_per_item"] == pytest.approx(row["val_bits_per_char"] * per_item)


@pytest.mark.parametrize(
    ("settings", "text"),
    [({}, "\n".join(NAMES)), ({"data.items": ";", "data.labels": True}, "x\tab;y\tba;" * 30)],
)
def test_a_sample_is_items_one_below_the_other(tmp_path: Path, settings: dict[str, Any], text: str):
    config = config_of(tmp_path, text, **settings, **{"output.sample_every": 20})
    train(config, tmp_path / "run")
    head, *lines = (tmp_path / "run" / "samples.txt").read_text().splitlines()
    assert head == "--- step 20"
    assert sum(len(line) + 1 for line in lines) >= 200
    if settings:
        assert [line[:2] for line in lines[:4]] == ["x\t", "y\t", "x\t", "y\t"]


def test_a_list_is_told_by_its_items(tmp_path: Path):
    told: list[str] = []
    train(config_of(tmp_path, "\n".join(NAMES) + "\n\n"), tmp_path / "run", say=told.append)
    train_items = len(NAMES) - int(0.4 * len(NAMES))
    assert any(f" {train_items} items to learn from;" in line for line in told)
    assert f"Warning: {tmp_path / 'text.txt'}: 1 empty items were left out" in told


@pytest.mark.parametrize("labels", [False, True])
def test_a_long_list_stays_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: bool
):
    text = "\n".join(f"{'xy'[n % 2]}\t{name}" if labels else name for n, name in enumerate(NAMES))
    config = config_of(tmp_path, text, **{"data.labels": labels})
    train(config, tmp_path / "in-memory")
    monkeypatch.setattr(cache, "WORTH_KEEPING", 0)
    for name in ("first", "second"):  # encoded, and found again
        train(config, tmp_path / name)
        assert isinstance(
            read_dataset(config, cache_beside(tmp_path / name, print)).train.ids, MappedIds
        )
        runs = all_that_counts(tmp_path / "in-memory"), all_that_counts(tmp_path / name)
        assert differing(*runs) == []


def test_a_model_of_a_text_goes_on_with_a_list(tmp_path: Path):
    """What ends its items is new to it, and so are their labels."""
    train(tiny_config(tmp_path), tmp_path / "text", stop_after=3)
    text = "x\tthe sea;y\tnoon;" * 30
    settings = {
        "data.items": ";",
        "data.labels": True,
        "init_from": str(tmp_path / "text"),
        "training.steps": 3,
    }
    with pytest.raises(FileError, match="does not know how such items begin and end"):
        read_dataset(config_of(tmp_path, text, **settings))
    config = config_of(tmp_path, text, **settings, **{"data.new_characters": "grow"})
    (told,) = on_new_characters(read_dataset(config))
    assert "end, label:x, label:y" in told
    train(config, tmp_path / "list")
    before, after = (
        load_model(tmp_path / "text").vocabulary,
        load_model(tmp_path / "list").vocabulary,
    )
    assert set(before.code_points.tolist()) <= set(after.code_points.tolist())
    assert after.specials == ("end", "label:x", "label:y")
