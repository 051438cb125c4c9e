"""Every number that is told, against the arithmetic that is written to be read.

``charlstm.look.gradients.reference`` is neither fast nor in float32, and has no batches, pieces,
tiles or tables: what it says of random models is what train, eval, look, sample and the Python
interface must say.
"""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import forge

import charlstm
from charlstm.look.gradients.trace import trace
from charlstm.nn.cells import CELLS
from charlstm.nn.sampling import Draws
from charlstm.saved.checkpoint import load_model

EXACTNESS = {"float32": 3e-5, "float64": 1e-10}
TEXT = "A gale.\n\nBy noon we saw the Maggie Ann,\nall sails gone; she made no signal.\n" * 4
T, LENGTH = 13, 25
MODELS = [
    (cell, layers, embedding, dtype)
    for (cell, dtype), (layers, embedding) in zip(
        itertools.product(CELLS, EXACTNESS), itertools.cycle([(1, 3), (2, 0), (3, 5)]), strict=False
    )
]
CONFIG = f"""
data: {{files: text.txt, validation_fraction: 0.3}}
training: {{steps: 1, batch_size: 1, sequence_length: {T}, learning_rate: 1.0e-15}}
output: {{report_every: 1}}
"""


class Known:
    """A model drawn at random, and the nats of every character by the reference."""

    def __init__(self, folder: Path, call: Any, seed: int, model: tuple[Any, ...]) -> None:
        cell, layers, embedding, self.dtype = model
        (folder / "text.txt").write_text(TEXT)
        (folder / "c.yaml").write_text(CONFIG)
        self.settings = [f"model.cell={cell}", f"model.layers={layers}", "model.hidden_size=7"]
        self.settings += [f"model.embedding_size={embedding}", f"model.dtype={self.dtype}"]
        assert call("train", "c.yaml", *self.settings, "--out", "first", "-q").code == 0
        self.file = folder / "first" / "best.safetensors"
        rng = np.random.default_rng(seed)

        def draw(arrays: dict[str, Any], state: dict[str, Any]) -> None:
            for name, array in arrays.items():
                if name.startswith("param/"):
                    array[...] = 0.6 * rng.standard_normal(array.shape)

        forge(self.file, draw)
        self.loaded = load_model(self.file)
        self.ids = self.loaded.vocabulary.encode(TEXT)
        self.nats = self.reference(self.ids)

    def reference(self, ids: Any) -> np.ndarray:
        return np.array([q.loss for q in trace(self.loaded.model, ids).output])

    def is_right(self, found: Any, expected: Any) -> None:
        np.testing.assert_allclose(found, expected, rtol=EXACTNESS[self.dtype], atol=1e-6)


@pytest.fixture(params=MODELS, ids=lambda model: "-".join(map(str, model)))
def known(folder: Path, call: Any, request: pytest.FixtureRequest) -> Known:
    return Known(folder, call, 11, request.param)


def test_all_that_is_told(known: Known, call: Any):
    told = json.loads(call("eval", known.file, "text.txt", "--json").out)
    known.is_right(told["loss"], known.nats.mean())
    known.is_right(told["bits_per_char"], known.nats.mean() / math.log(2))
    look_and_api_say_the_same(known, call)
    by_line_and_character(known, call)
    sampling(known)
    training(known, call)


def by_line_and_character(known: Known, call: Any) -> None:
    bits = known.nats / math.log(2)
    rows = json.loads(call("eval", known.file, "text.txt", "--by", "character", "--json").out)
    known.is_right([row["bits"] for row in rows["rows"]], bits)
    ends = np.cumsum([len(line) for line in TEXT.splitlines(keepends=True)]) - 1
    rows = json.loads(call("eval", known.file, "text.txt", "--by", "line", "--json").out)
    lines = [part.sum() for part in np.split(bits, ends[:-1])]
    known.is_right([row["bits"] for row in rows["rows"]], lines)
    known.is_right(rows["loss"], known.nats.mean())


def look_and_api_say_the_same(known: Known, call: Any) -> None:
    told = json.loads(call("look", known.file, "text.txt", "--json").out)
    known.is_right(told["bits_per_char"], known.nats.mean() / math.log(2))
    score = charlstm.load(known.file).score(TEXT)
    known.is_right(score.nats, known.nats)
    known.is_right(score.nats_per_character, known.nats.mean())
    last = known.nats[-len(TEXT.splitlines(keepends=True)[-1]) :]
    known.is_right(score.lines()[-1].bits, last.sum() / math.log(2))


def sampling(known: Known) -> None:
    model, draws = charlstm.load(known.file), Draws(5, 1)
    ids = list(known.loaded.vocabulary.encode("we saw"))
    for _ in range(LENGTH):
        last = trace(known.loaded.model, np.array([*ids, 0])).output[-1].probabilities
        heap = last.cumsum()
        ids.append(int((heap > draws.next()[0] * heap[-1]).argmax()))
    expected = known.loaded.vocabulary.decode(np.array(ids))
    assert "we saw" + model.sample("we saw", length=LENGTH, seed=5) == expected


def training(known: Known, call: Any) -> None:
    """One lane: the first step reads the first characters, the evaluation all it is given."""
    more = [*known.settings, f"init_from={known.file}", "--out", "second", "-q"]
    assert call("train", "c.yaml", *more).code == 0
    rows = [json.loads(line) for line in Path("second/metrics.jsonl").read_text().splitlines()]
    cut = len(TEXT) * 7 // 10
    known.is_right(rows[0]["train_loss"], known.reference(known.ids[: T + 1]).mean())
    known.is_right(rows[1]["val_loss"], known.reference(known.ids[cut:]).mean())
