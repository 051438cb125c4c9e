"""Models away from their start, as loaded from a run, for the page that writes."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from layers import kind_of, settings_of, shape_of
from places import ROOT
from tiny import tiny_config, train

from charlstm.config.reading import config_from_dict
from charlstm.nn.model import CharLM
from charlstm.saved.checkpoint import LoadedModel, TextIdentity, load_model
from charlstm.saved.progress import Progress
from charlstm.text.vocabulary import Vocabulary

PROSE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
"""Real text: some 6,000 characters of English and Markdown."""

CELLS = [
    *(("lstm", 0), ("simple", 5), ("layer-norm", 0), ("layer-norm", 5)),
    *(("lstm capped", 5), ("simple capped", 0), ("layer-norm capped", 0)),
    *(("lstm skips", 5), ("layer-norm skips", 5)),
]


def a_model(
    cell: str = "lstm",
    embedding_size: int = 0,
    text: str = PROSE,
    *,
    unit: str = "characters",
    path: str = "runs/sea/best.safetensors",
    hidden_size: int = 11,
    layers: int = 2,
    **data: Any,
) -> LoadedModel:
    """Of one seed, whose layers differ from their start; ``data``: settings of that group."""
    codes = text.encode("utf-8") if unit == "bytes" else map(ord, text)
    make = Vocabulary.of_bytes if unit == "bytes" else Vocabulary.of_characters
    vocabulary = make(codes)
    model = CharLM(shape_of(vocabulary.size, cell, layers, hidden_size, embedding_size), seed=4)
    rng = np.random.default_rng(8)
    model.values += 0.1 * rng.standard_normal(model.values.shape).astype(np.float32)
    settings = {
        "data": {"files": "sea.txt", "unit": unit} | data,
        "model": kind_of(cell)
        | {
            "layers": layers,
            "hidden_size": hidden_size,
            "embedding_size": embedding_size,
        },
    }
    if unit == "bytes":
        settings["data"]["byte_values"] = "observed"
    return LoadedModel(
        path=Path(path),
        model=model,
        vocabulary=vocabulary,
        config=config_from_dict(settings, "a test"),
        progress=Progress(step=1234),
        corpus=TextIdentity("", 0),
    )


@cache
def trained_model(cell: str, embedding_size: int) -> LoadedModel:
    """One that has learned something of `PROSE`."""
    few = {
        "data.validation_fraction": 0.1,
        "model.embedding_size": embedding_size,
        "model.hidden_size": 23,
        "training.steps": 60,
        "training.learning_rate": 0.01,
        "training.batch_size": 8,
        "training.sequence_length": 20,
        "evaluation.every": 0,
    }
    with TemporaryDirectory() as folder:
        train(tiny_config(Path(folder), PROSE, **few | settings_of(cell)), Path(folder) / "run")
        return load_model(Path(folder) / "run")


def logits_of(loaded: LoadedModel, ids: np.ndarray) -> np.ndarray:
    """``(T, V)`` of a text, from the beginning."""
    column = np.asarray(ids, np.intp)[:, np.newaxis]
    model = loaded.model
    return model.forward(column, model.zero_states(1), model.tape(len(ids), 1))[0]
