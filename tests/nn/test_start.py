"""How parameters and loss start, as docs/derivation.md and the README tell it."""

import json
import re
from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest
from places import DOCS, ROOT
from tiny import tiny_config, train

from charlstm.nn.cells import CELLS
from charlstm.nn.model import CharLM, Shape

PAGE = (DOCS / "derivation.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## How the parameters start\n")[2].partition("\n## ")[0]
STARTS = {
    columns[0].removeprefix("| "): columns[1]
    for columns in (line.split(" | ") for line in SECTION.splitlines() if line.startswith("| "))
}
"""The first two columns of the table."""

FIRST = {
    False: "W_ix ... W_gx of the first layer, one-hot input",
    True: "the same, with an embedding",
}
OTHERS = "W_ix ... W_gx of the layers above; W_ih ... W_gh of all"
V, H, E, LAYERS = 311, 67, 23, 3
HARBOUR = (ROOT / "data" / "harbour.txt").read_text(encoding="utf-8")


def reach_of(row: str) -> float:
    """What the page says: uniform within this."""
    found = re.match(r"uniform within ±(√?)(\d)(?:/√([HE]))?(?=,|:|$)", STARTS[row])
    assert found, STARTS[row]
    root, number, width = found.groups()
    return (sqrt(int(number)) if root else int(number)) / sqrt({"H": H, "E": E, None: 1}[width])


def assert_uniform(array: np.ndarray, reach: float) -> None:
    assert 0.99 * reach < np.abs(array).max() <= reach * (1 + 1e-6)
    assert array.var() == pytest.approx(reach**2 / 3, rel=0.1)
    assert abs(array.mean()) < 0.1 * reach


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("embedding_size", [0, E])
def test_parameters_start_as_the_page_says(cell: str, embedding_size: int):
    model = CharLM(Shape(V, cell, LAYERS, H, embedding_size, forget_bias=1.25))
    for name, parameter in model.parameters().items():
        value, kind = parameter.value, name.rpartition(".")[2]
        if name == "lstm.0.W_x":
            assert_uniform(value, reach_of(FIRST[bool(embedding_size)]))
        elif kind in ("W_x", "W_h"):
            assert_uniform(value, reach_of(OTHERS))
        elif kind in ("W_y", "E"):
            assert_uniform(value, reach_of(kind))
        elif kind == "b":
            o, i, f, g = value
            assert STARTS["b_i, b_o, b_g"] == "0"
            assert not np.any([o, i, g])
            assert np.all(f == 1.25)
        elif kind == "b_y":
            assert STARTS["b_y"].startswith("0; a training begins at log p")
            assert not value.any()
        else:
            assert STARTS["gain, gain_c; shift, shift_c"] == "1; 0"
            assert kind in ("gain", "gain_c", "shift", "shift_c")
            assert np.all(value == kind.startswith("gain"))


def test_the_embedding_has_the_variance_that_the_page_says():
    assert STARTS["E"].endswith(": variance 1")
    assert reach_of("E") ** 2 / 3 == pytest.approx(1)


def test_the_first_loss_is_where_the_texts_say(tmp_path: Path):
    """At the entropy of the characters' frequencies, and not at ln V."""
    counts = np.unique(np.frombuffer(HARBOUR.encode("utf-32-le"), np.uint32), return_counts=True)[1]
    p = counts / counts.sum()
    entropy, blind = -(p * np.log(p)).sum(), log(len(p))
    for text in (PAGE, " ".join(README.split())):
        told = re.search(r"entropy[,:] (\d\.\d\d) nats for the harbour text.*?= (\d\.\d\d)", text)
        assert told
        assert [float(number) for number in told.groups()] == [round(entropy, 2), round(blind, 2)]

    sizes = {"training.batch_size": 200, "training.sequence_length": 50, "model.hidden_size": 32}
    once = {"training.steps": 1, "output.report_every": 1, "data.validation_fraction": 0}
    train(tiny_config(tmp_path, HARBOUR, **sizes | once), tmp_path / "run")
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["train_loss"] == pytest.approx(entropy, abs=0.05)
