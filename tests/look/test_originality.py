"""How much of what a model writes stands in its training text."""

import random
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_config, train

import charlstm
from charlstm.api import Model
from charlstm.errors import FileError
from charlstm.look.originality import EXAMPLES


def lines(seed: int, number: int) -> list[str]:
    """No 20 characters occur twice."""
    rng = random.Random(seed)
    return ["".join(rng.choices("abcdefgh ", k=49)) + "\n" for _ in range(number)]


LINES = lines(1, 40)
TEXT = "".join(LINES)


def model_of(folder: Path, text: str = TEXT, **settings: Any) -> Model:
    config = tiny_config(folder, text, **{"training.steps": 1} | settings)
    train(config, folder / "run")
    return charlstm.load(folder / "run")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return model_of(tmp_path)


def test_what_is_copied_is_found_with_its_place(model: Model, tmp_path: Path):
    """The training part is the first 24 lines."""
    copied = TEXT[310:400]
    new = "".join(lines(2, 2))
    found = model.originality([new, new[:30] + copied + new[30:60]])
    assert found.samples.texts == 2
    assert found.samples.characters == 100 + 150
    windows = {20: 81 + 131, 40: 61 + 111, 80: 21 + 71}
    for length, number in windows.items():
        assert found.samples.shares[length] == (90 - length + 1) / number
    assert found.samples.longest == 90
    first = found.examples[0]
    assert (first.number, first.start, first.length) == (2, 31, 90)
    assert first.text == copied
    assert (first.file, first.line) == (str(tmp_path / "text.txt"), 7)


def test_held_out_text_is_the_yardstick(model: Model):
    """The validation part, which no model has seen, in as many pieces of the same length."""
    found = model.originality([TEXT[:100], TEXT[200:300]])
    assert found.samples.shares == {20: 1.0, 40: 1.0, 80: 1.0}
    held_out = found.held_out
    assert held_out is not None
    assert (held_out.texts, held_out.characters) == (2, 200)
    assert held_out.shares == {20: 0.0, 40: 0.0, 80: 0.0}
    assert held_out.longest is None


def test_a_yardstick_that_shares_phrases(tmp_path: Path):
    repeating = "".join(LINES[:24] + LINES[3:19])
    held_out = model_of(tmp_path, repeating).originality(["x" * 400, "y" * 400]).held_out
    assert held_out is not None
    assert held_out.characters == 800
    assert held_out.shares == {20: 1.0, 40: 1.0, 80: 1.0}
    assert held_out.longest == 400


def test_without_a_validation_part_there_is_none(tmp_path: Path):
    model = model_of(tmp_path, **{"data.validation_fraction": 0})
    assert model.originality([TEXT[:50]]).held_out is None


def test_short_texts_have_no_windows(model: Model):
    found = model.originality(["abc", "", TEXT[:30]])
    assert found.samples.shares == {20: 1.0, 40: None, 80: None}
    assert model.originality(["abc"]).samples.shares == {20: None, 40: None, 80: None}
    assert model.originality([]).examples == ()


def test_examples_are_the_longest_and_do_not_overlap(model: Model):
    lengths = [25, 60, 33, 21, 47, 30]
    pieces = [TEXT[70 * n : 70 * n + length] for n, length in enumerate(lengths)]
    text = "ЖЖ".join(pieces)
    found = model.originality([text]).examples
    assert [example.length for example in found] == sorted(lengths, reverse=True)[:EXAMPLES]
    for example in found:
        assert example.text == text[example.start - 1 : example.start - 1 + example.length]


def test_characters_that_the_model_does_not_know_stand_nowhere(model: Model):
    found = model.originality([TEXT[:40] + "Ж" + TEXT[40:80]])
    assert found.samples.longest == 40
    assert found.samples.shares[20] == 42 / 62


def test_samples_are_made_and_repeatable(tmp_path: Path):
    model = model_of(tmp_path)
    found = model.originality(count=3, length=50, seed=4)
    assert (found.samples.texts, found.samples.characters) == (3, 150)
    assert found == model.originality(model.samples(3, length=50, seed=4))


def test_of_several_files_the_right_one_is_named(tmp_path: Path):
    (tmp_path / "one.txt").write_text("".join(LINES[:10]))
    (tmp_path / "two.txt").write_text("".join(LINES[10:]))
    names = [str(tmp_path / "one.txt"), str(tmp_path / "two.txt")]
    model = model_of(tmp_path, **{"data.files": names})
    for line, name, number in ((9, "one.txt", 10), (10, "two.txt", 1), (21, "two.txt", 12)):
        (example,) = model.originality([LINES[line]]).examples
        assert (example.file, example.line) == (str(tmp_path / name), number)


def test_a_text_that_moved_is_named_and_another_refused(model: Model, tmp_path: Path):
    (tmp_path / "text.txt").rename(tmp_path / "moved.txt")
    with pytest.raises(FileError, match=r"cannot be read.*charlstm originality MODEL --text TEXT$"):
        model.originality([TEXT[:50]])
    found = model.originality([TEXT[:50]], text=[tmp_path / "moved.txt"])
    assert found.examples[0].file == str(tmp_path / "moved.txt")
    (tmp_path / "text.txt").write_text(TEXT + "a")
    with pytest.raises(FileError, match="charlstm originality"):
        model.originality([TEXT[:50]])


def test_models_of_bytes(tmp_path: Path):
    text = "".join(f"{line[:-1]}é\n" for line in LINES)
    model = model_of(tmp_path, text, **{"data.unit": "bytes"})
    copied = text[100:160]
    assert model.originality([copied]).samples.longest == len(copied.encode())
    assert model.originality([copied]).examples[0].line == 2
    assert model.originality(count=2, length=40, seed=1).samples.characters >= 80


def test_what_was_replaced_in_the_training_text_is_replaced_here(tmp_path: Path):
    settings = {"data.min_count": 2, "data.replacement": "~"}
    model = model_of(tmp_path, TEXT[:200] + "Ж" + TEXT[200:], **settings)
    assert model.originality([TEXT[180:200] + "Ю" + TEXT[200:220]]).samples.longest == 41
