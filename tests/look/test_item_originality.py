"""How many of the items that a model writes stand in its list."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_config, train

import charlstm
from charlstm.api import Model
from charlstm.from_config import corpus_of, division_of
from charlstm.look.item_originality import ItemOriginality, items_in

NAMES = [a + b for a in ("an", "bo", "cara", "di") for b in ("", "a", "na", "lina", "bert", "x")]


def model_of(folder: Path, text: str, **settings: Any) -> Model:
    given = {"data.items": "lines", "training.steps": 1}
    train(tiny_config(folder, text, **given | settings), folder / "run")
    return charlstm.load(folder / "run")


def parts_of(model: Model, names: list[str]) -> dict[str, list[str]]:
    """By where the items start, found without the code that is tested."""
    corpus = corpus_of(model.config, model.vocabulary)
    parts = division_of(model.config).parts(corpus, {})
    whole = division_of(model.config).whole(corpus)
    return {
        name: [names[int(np.flatnonzero(whole.starts == start)[0])] for start in part.starts]
        for name, part in parts.items()
    }


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return model_of(tmp_path, "\n".join(["", *NAMES[:5], "", *NAMES[5:]]))


def originality(model: Model, texts: list[str], **options: Any) -> ItemOriginality:
    found = model.originality(texts, **options)
    assert isinstance(found, ItemOriginality)
    return found


def test_shares_of_what_was_written(model: Model):
    parts = parts_of(model, NAMES)
    train_names, validation = parts["train"], parts["validation"]
    assert (len(train_names), len(validation)) == (15, 9)
    texts = [*train_names[:3], train_names[0], validation[4], "new", "newer", "Ж", "new", ""]
    found = originality(model, texts)
    assert found.items == 10
    assert found.distinct == 0.8
    assert found.in_training == 0.4
    assert found.in_validation == 0.1
    assert found.new == 0.5
    assert found.held_out == 0.0
    assert {example.text for example in found.examples} == set(train_names[:3])
    for example in found.examples:
        assert texts[example.number - 1] == example.text
        assert NAMES[example.place - 1] == example.text


def test_a_part_of_an_item_is_no_copy(model: Model):
    longest = max(NAMES, key=len)
    assert originality(model, [longest[:-1] + "?", longest + "a", longest[1:]]).new == 1.0


def test_held_out_items_that_are_in_training_too(tmp_path: Path):
    model = model_of(tmp_path, "ana\n" * 12 + "bo\n")
    found = originality(model, ["ana"])
    assert found.in_training == found.in_validation == 1.0
    assert found.new == 0.0
    validation = parts_of(model, ["ana"] * 12 + ["bo"])["validation"]
    assert found.held_out == validation.count("ana") / len(validation)


def test_nothing_written(model: Model):
    found = originality(model, [])
    assert (found.items, found.distinct, found.new, found.examples) == (0, None, None, ())


def test_without_a_validation_part_nothing_is_said_of_it(tmp_path: Path):
    model = model_of(tmp_path, "\n".join(NAMES), **{"data.validation_fraction": 0})
    found = originality(model, [NAMES[3], "new"])
    assert (found.in_training, found.in_validation, found.new) == (0.5, None, 0.5)
    assert found.held_out is None


@pytest.mark.parametrize("separator", ["paragraphs", "%%"])
def test_other_lists(tmp_path: Path, separator: str):
    between = "\n\n" if separator == "paragraphs" else separator
    poems = [f"{name} of\nthe sea" for name in NAMES]
    model = model_of(tmp_path, between.join(poems), **{"data.items": separator})
    parts = parts_of(model, poems)
    found = originality(model, [parts["train"][2], parts["validation"][1], "x"])
    assert found.in_training == found.in_validation == found.new == 1 / 3
    assert found.examples[0].place == poems.index(parts["train"][2]) + 1
    assert items_in(between.join(["a\nb", "", "c"]), model.loaded) == ["a\nb", "c"]


def test_labels_are_no_part_of_what_an_item_says(tmp_path: Path):
    lines = [f"{'xy'[n % 2]}\t{name}" for n, name in enumerate(NAMES)]
    model = model_of(tmp_path, "\n".join(lines), **{"data.labels": True})
    train_names = parts_of(model, NAMES)["train"]
    assert originality(model, [train_names[4], "new"]).in_training == 0.5
    assert items_in("x\tana\ny\tboa\n", model.loaded) == ["ana", "boa"]


def test_bytes(tmp_path: Path):
    names = [f"{name}é" for name in NAMES]
    model = model_of(tmp_path, "\n".join(names), **{"data.unit": "bytes"})
    train_names = parts_of(model, names)["train"]
    assert originality(model, [train_names[1], "newé"]).in_training == 0.5
    assert items_in("anaé\nbo\udcff\n", model.loaded) == ["anaé", "bo\udcff"]
