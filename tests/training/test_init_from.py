"""Fine-tuning: a new run that starts from the weights of another."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import (
    TEXT,
    all_that_counts,
    differing,
    forge,
    newest,
    tiny_config,
    train,
    weights,
    write_checkpoint,
)

from charlstm.errors import ConfigError, FileError
from charlstm.saved.checkpoint import load_model
from charlstm.saved.interchange.exporting import export
from charlstm.saved.interchange.importing import import_checkpoint
from charlstm.saved.run_folder import RunFolder
from charlstm.system.comm import Alone
from charlstm.text.vocabulary import UnknownCharacterError
from charlstm.training import run
from charlstm.training.dataset import read_dataset
from charlstm.training.evaluation import LaneEvaluation
from charlstm.training.resuming import Options
from charlstm.training.setup import evaluation_of, prepare

OTHER = "noon was calm and the sail was at sea\n" * 5
CELLS = ["lstm", "simple", "layer-norm"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A trained run."""
    (tmp_path / "a").mkdir()
    train(tiny_config(tmp_path / "a", seed=3), tmp_path / "source")
    return tmp_path / "source"


def tuned(folder: Path, source: Path, text: str = OTHER, **settings: Any) -> run.Config:
    return tiny_config(folder, text, init_from=str(source), **settings)


def loss_at_the_start(config: run.Config) -> float:
    """The validation loss, before anything is learned."""
    dataset = read_dataset(config)
    trainer, progress = prepare(dataset, Alone(), None)
    assert progress.step == 0
    evaluation = evaluation_of(dataset, trainer)
    assert evaluation is not None
    return evaluation.mean_loss()


@pytest.mark.parametrize("of", ["folder", "best", "last", "exported"])
def test_starts_with_the_loss_of_the_source(source: Path, tmp_path: Path, of: str):
    path = {
        "folder": source,
        "best": source / "best.safetensors",
        "last": RunFolder(source).checkpoint_path(20),
        "exported": tmp_path / "imported.ckpt",
    }[of]
    if of == "exported":
        export(load_model(source), tmp_path / "x.safetensors")
        write_checkpoint(path, import_checkpoint(tmp_path / "x.safetensors"))
    config = tuned(tmp_path, path)
    dataset = read_dataset(config)
    model = load_model(source if of == "exported" else path).model
    trainer = prepare(dataset, Alone(), None)[0]
    of_source = LaneEvaluation(model, dataset.validation, 3, 4, Alone()).mean_loss()
    assert loss_at_the_start(config) == of_source
    assert loss_at_the_start(tiny_config(tmp_path, OTHER)) != of_source
    assert trainer.optimizer.steps == 0
    assert not any(array.any() for array in trainer.optimizer.state.values())


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_goes_on_where_it_was(tmp_path: Path, cell: str):
    """On its own text, the first loss of the new run is the last one of the old."""
    settings = {"model.cell": cell, "evaluation.every": 20}
    train(tiny_config(tmp_path, **settings), tmp_path / "source")
    config = tiny_config(tmp_path, init_from=str(tmp_path / "source"), **settings)
    assert loss_at_the_start(config) == newest(tmp_path / "source").progress.val_loss


def test_the_vocabulary_is_that_of_the_source(source: Path, tmp_path: Path):
    train(tuned(tmp_path, source, "sea\n" * 30), tmp_path / "run")
    assert newest(tmp_path / "run").vocabulary == newest(source).vocabulary
    assert newest(tmp_path / "run").vocabulary.size > len(set("sea\n"))


def test_unknown_characters_are_named(source: Path, tmp_path: Path):
    with pytest.raises(
        UnknownCharacterError, match=r"text\.txt: .*'Z' \(U\+005A\), 'é' \(U\+00E9\)"
    ):
        train(tuned(tmp_path, source, OTHER + "Zé"), tmp_path / "run")
    assert not RunFolder(tmp_path / "run").holds_a_run()


def test_unknown_characters_may_be_replaced(source: Path, tmp_path: Path):
    settings = {"data.min_count": 2, "data.replacement": "o"}
    config = tuned(tmp_path, source, OTHER + "Z" * 9, **settings)
    ids = read_dataset(config).corpus.ids
    assert load_model(source).vocabulary.decode(np.asarray(ids)) == OTHER + "o" * 9


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("model.hidden_size", 6, "model.hidden_size is 6 (there: 5)"),
        ("model.layers", 1, "model.layers is 1 (there: 2)"),
        ("model.embedding_size", 4, "model.embedding_size is 4 (there: 0)"),
        ("model.cell", "simple", "model.cell is simple (there: lstm)"),
        ("model.input_gate", "capped", "model.input_gate is capped (there: free)"),
        ("model.dtype", "float64", "model.dtype is float64 (there: float32)"),
        ("data.unit", "bytes", "data.unit is bytes (there: characters)"),
    ],
)
def test_a_different_model_is_refused_by_name(
    source: Path, tmp_path: Path, setting: str, value: object, named: str
):
    with pytest.raises(ConfigError) as caught:
        train(tuned(tmp_path, source, **{setting: value}), tmp_path / "run")
    assert str(caught.value).startswith("init_from: ")
    assert named in str(caught.value)
    assert str(caught.value).count("(there:") == 1
    assert not RunFolder(tmp_path / "run").holds_a_run()


def test_a_model_with_skips_is_of_another_kind(tmp_path: Path):
    embedded = {"model.embedding_size": 3}
    train(tiny_config(tmp_path, **embedded), tmp_path / "source")
    with pytest.raises(ConfigError, match=r"model\.skips is true \(there: false\)"):
        train(
            tuned(tmp_path, tmp_path / "source", **embedded, **{"model.skips": True}),
            tmp_path / "run",
        )


def test_all_that_differs_is_named(source: Path, tmp_path: Path):
    settings = {"model.hidden_size": 6, "model.layers": 1}
    with pytest.raises(ConfigError, match=r"model.layers is 1 .*; model.hidden_size is 6"):
        train(tuned(tmp_path, source, **settings), tmp_path / "run")


def test_what_concerns_training_may_differ(source: Path, tmp_path: Path):
    settings = {
        "seed": 77,
        "model.dropout": 0.2,
        "model.forget_bias": 0.0,
        "model.norm_epsilon": 1e-3,
        "training.optimizer": "sgd",
        "training.batch_size": 2,
        "training.sequence_length": 7,
    }
    dataset = read_dataset(tuned(tmp_path, source, **settings))
    trainer = prepare(dataset, Alone(), None)[0]
    np.testing.assert_array_equal(trainer.model.values, load_model(source).model.values)


@pytest.mark.parametrize("setting", ["model.forget_bias", "model.norm_epsilon"])
def test_what_a_layer_norm_cell_computes_with_may_not(tmp_path: Path, setting: str):
    """They are no arrays, but the same arrays would be another model."""
    settings = {"model.cell": "layer-norm"}
    train(tiny_config(tmp_path, **settings), tmp_path / "source")
    config = tiny_config(tmp_path, init_from=str(tmp_path / "source"), **settings | {setting: 0.5})
    with pytest.raises(ConfigError, match=f"{setting} is 0.5"):
        train(config, tmp_path / "run")


def test_resumes_bit_for_bit(source: Path, tmp_path: Path):
    config = tuned(tmp_path, source)
    train(config, tmp_path / "straight")
    for stop in (7, 13):
        train(config, tmp_path / "parts", stop_after=stop, resume=True)
    train(config, tmp_path / "parts", resume=True)
    straight, parts = (all_that_counts(tmp_path / name) for name in ("straight", "parts"))
    assert differing(straight, parts) == []
    assert weights(tmp_path / "parts") != weights(source)


def test_the_source_is_left_alone(source: Path, tmp_path: Path):
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    train(tuned(tmp_path, source), tmp_path / "run")
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["source", "source/best.safetensors"])
def test_a_run_is_not_overwritten_by_what_starts_from_it(source: Path, tmp_path: Path, name: str):
    before = weights(source)
    options = Options(overwrite=True, quiet=True)
    with pytest.raises(ConfigError, match="would remove"):
        run.run_training(tuned(tmp_path, tmp_path / name), source, options, lambda line: None)
    assert weights(source) == before


def test_a_run_is_not_overwritten_when_its_successor_cannot_start(source: Path, tmp_path: Path):
    (tmp_path / "b").mkdir()
    train(tiny_config(tmp_path / "b"), tmp_path / "run")
    before = weights(tmp_path / "run")
    options = Options(overwrite=True, quiet=True)
    config = tuned(tmp_path, source, **{"model.layers": 3})
    with pytest.raises(ConfigError, match=r"model\.layers"):
        run.run_training(config, tmp_path / "run", options, lambda line: None)
    assert weights(tmp_path / "run") == before


@pytest.mark.parametrize("what", ["nothing", "an empty folder", "a text"])
def test_a_source_that_is_none(tmp_path: Path, what: str):
    source = tmp_path / "source"
    if what == "an empty folder":
        source.mkdir()
    if what == "a text":
        source.write_text(TEXT)
    with pytest.raises(FileError, match="source"):
        train(tuned(tmp_path, source), tmp_path / "run")
    assert not RunFolder(tmp_path / "run").holds_a_run()


def test_workers_start_from_what_rank_0_has_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A source that is still training would give every rank another state."""
    settings = {"training.workers": 2, "training.steps": 3, "training.batch_size": 4}
    config = tuned(tmp_path, source, **settings)
    train(config, tmp_path / "straight")
    start = run.ranks_for

    def change(arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
        arrays["param/linear.W_y"][...] = 0

    def start_while_the_source_goes_on(*arguments: Any) -> Any:
        forge(source / "best.safetensors", change)
        return start(*arguments)

    monkeypatch.setattr(run, "ranks_for", start_while_the_source_goes_on)
    train(config, tmp_path / "disturbed")
    assert weights(tmp_path / "disturbed") == weights(tmp_path / "straight")
