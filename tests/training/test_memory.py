"""The estimate that ``--dry-run`` shows against what NumPy really takes (it tells tracemalloc)."""

import tracemalloc
from pathlib import Path

import pytest
from tiny import tiny_config

from charlstm.nn.cells import CELLS
from charlstm.system.comm import Alone
from charlstm.training.dataset import read_dataset
from charlstm.training.estimate import memory_bytes
from charlstm.training.setup import prepare
from charlstm.training.trainer import Requests

LARGE = {"model.hidden_size": 96, "training.batch_size": 24, "training.sequence_length": 40}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model.layers": 3},
        {"model.dropout": 0.2},
        {"model.embedding_size": 24},
        {"model.embedding_size": 24, "model.skips": True, "model.layers": 3},
        {"training.optimizer": "sgd"},
        {"model.dtype": "float64"},
        {"training.batch_size": 2, "training.sequence_length": 10, "model.hidden_size": 256},
    ],
)
@pytest.mark.parametrize("cell", CELLS)
def test_the_estimate_is_near_what_training_takes(
    tmp_path: Path, cell: str, settings: dict[str, object]
) -> None:
    text = "the quick brown fox jumps over the lazy dog. " * 100
    config = tiny_config(tmp_path, text, **(LARGE | settings), **{"model.cell": cell})
    dataset = read_dataset(config)
    tracemalloc.start()
    try:
        trainer, _ = prepare(dataset, Alone(), None)
        for _ in range(2):
            trainer.step(Requests())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    estimate = memory_bytes(config, dataset.corpus.vocabulary.size)
    assert 0.75 < peak / estimate < 1.25, (peak, estimate)
