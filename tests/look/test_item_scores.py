"""What each item costs, alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_config, train

from charlstm.errors import ConfigError, FileError
from charlstm.look.item_scores import ItemsToScore, item_nats, list_to_score, score_strings
from charlstm.nn.cells import CELLS
from charlstm.nn.model import CharLM, Shape
from charlstm.saved.checkpoint import LoadedModel, load_model
from charlstm.text.items import Items
from charlstm.text.vocabulary import UnknownCharacterError

NAMES = [a + b for a in ("an", "bo", "cara", "di") for b in ("", "a", "na", "lina", "bert", "x")]


def random_items(rng: np.random.Generator, lengths: list[int]) -> Items:
    """Of symbols 1 to 6; 0 begins, and ends, every item."""
    each = np.array(lengths)
    starts = each.cumsum() - each
    ids = rng.integers(1, 7, each.sum()).astype(np.uint8)
    ids[starts] = 0
    return Items(ids, starts.astype(np.uint16), each.astype(np.uint16), end=0)


def nats_of(model: CharLM, items: Items) -> np.ndarray:
    found = np.full(items.count, np.nan)
    for group in item_nats(model, items):
        found[group.numbers] = group.nats
    return found


@pytest.mark.parametrize("cell", CELLS)
def test_every_item_is_read_alone(rng, cell: str):
    model = CharLM(Shape(7, cell, 2, 4, 3, dtype="float64"))
    model.values += 0.3 * rng.standard_normal(model.values.size)
    items = random_items(rng, [*rng.integers(1, 12, 90).tolist(), 32, 33, 64, 97])
    expected = []
    for number in range(items.count):
        x = items.item(number).astype(np.intp)[:, np.newaxis]
        y = np.append(x[1:, 0], 0)[:, np.newaxis]
        losses, _ = model.losses(x, y, model.zero_states(1), model.tape(len(x), 1))
        expected.append(losses.sum())
    np.testing.assert_allclose(nats_of(model, items), expected, rtol=1e-12)


def test_an_item_costs_the_same_whatever_stands_beside_it(rng):
    model = CharLM(Shape(7, "lstm", 2, 24, 3))
    model.values += (0.3 * rng.standard_normal(model.values.size)).astype(np.float32)
    items = random_items(rng, [9] * 80)
    before = nats_of(model, items)
    items.ids[items.starts[5] + 3] = items.ids[items.starts[5] + 3] % 6 + 1
    changed = np.flatnonzero(nats_of(model, items) != before)
    assert changed.tolist() == [5]
    alone = [nats_of(model, items.chosen(np.array([n])))[0] for n in range(80)]
    np.testing.assert_allclose(alone, nats_of(model, items), rtol=1e-6)


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedModel:
    return trained(tmp_path)


def trained(folder: Path, **settings: Any) -> LoadedModel:
    lines = {"data.items": "lines", "training.steps": 30, "model.hidden_size": 9}
    config = tiny_config(folder, "\n".join(NAMES), **(lines | settings))
    train(config, folder / "run")
    return load_model(folder / "run")


def test_rows_are_numbered_ranked_and_compared(loaded: LoadedModel, tmp_path: Path):
    (tmp_path / "list.txt").write_text("ana\nxxxx\n\nboa\n")
    text = list_to_score([tmp_path / "list.txt"], loaded)
    text.calibration = np.array([1.0, 2.0, 3.0, 9.0])
    rows = list(text.rows(loaded))
    assert [(row.number, row.text, row.characters) for row in rows] == [
        (1, "ana", 4),
        (2, "xxxx", 5),
        (3, "boa", 4),
    ]
    each = [row.bits_per_character for row in rows]
    assert rows[1].rank == 1 + np.argmax(np.argsort(each)[::-1] == 1)
    assert sorted(row.rank for row in rows) == [1, 2, 3]
    for row in rows:
        below = sum(value < row.bits_per_character for value in (1, 2, 3, 9))
        assert row.percentile == 25 * below
    assert text.figures(loaded)["items"] == 3
    bits = sum(row.bits for row in rows)
    assert text.figures(loaded)["bits_per_char"] == pytest.approx(bits / 13)
    assert text.figures(loaded)["bits_per_item"] == pytest.approx(bits / 3)
    text.most_surprising_first = True
    assert [row.rank for row in text.rows(loaded)] == [1, 2, 3]


def test_strings_are_items(loaded: LoadedModel):
    scores = score_strings(loaded, ["ana", "", "dibert"])
    assert [score.characters for score in scores] == [4, 1, 7]
    assert score_strings(loaded, ["dibert"])[0].bits == pytest.approx(scores[2].bits, rel=1e-6)
    assert score_strings(loaded, []) == []
    with pytest.raises(FileError, match="text 2: holds what ends an item"):
        score_strings(loaded, ["a", "a\nb"])
    with pytest.raises(UnknownCharacterError, match="'z'"):
        score_strings(loaded, ["z"])


def test_one_text_is_no_list(loaded: LoadedModel):
    with pytest.raises(ConfigError, match="a list of them is needed, found one"):
        score_strings(loaded, "ana")


def test_what_would_be_two_items_in_a_file_is_not_one(tmp_path: Path):
    content = "\n\n".join(["ab", "a \nb", "ba", "b\na", "aa"] * 3)
    train(tiny_config(tmp_path, content, **{"data.items": "paragraphs"}), tmp_path / "run")
    loaded = load_model(tmp_path / "run")
    assert [score.characters for score in score_strings(loaded, ["a\nb", "a\n"])] == [4, 3]
    with pytest.raises(FileError, match="text 2: holds what ends an item"):
        score_strings(loaded, ["a", "a\n \nb"])


def test_a_line_feed_may_stand_in_other_items(tmp_path: Path):
    text = "".join(f"{name}\n{name}\n\n" for name in NAMES)
    config = tiny_config(tmp_path, text, **{"data.items": "paragraphs"})
    train(config, tmp_path / "run", stop_after=1)
    (score,) = score_strings(load_model(tmp_path / "run"), ["ana\nbo"])
    assert (score.characters, score.text) == (7, "ana\nbo")


def test_a_model_of_one_text_has_no_items(tmp_path: Path):
    train(tiny_config(tmp_path), tmp_path / "run", stop_after=1)
    with pytest.raises(FileError, match=r"a model of one text, and no list: see data\.items"):
        score_strings(load_model(tmp_path / "run"), ["the"])


def test_a_list_with_nothing_in_it(loaded: LoadedModel, tmp_path: Path):
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(FileError, match=r"list\.txt: the text is empty"):
        list_to_score([tmp_path / "list.txt"], loaded)


def test_the_loss_is_that_of_training(loaded: LoadedModel):
    from charlstm.look.item_scores import part_of_list

    text = part_of_list("validation", loaded)
    assert isinstance(text, ItemsToScore)
    assert text.items.count == int(0.4 * len(NAMES))
    list(text.rows(loaded))
    assert text.loss == pytest.approx(loaded.progress.val_loss, rel=1e-6)
