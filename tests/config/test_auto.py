"""``auto``: what was given stays, the rest becomes numbers, and a checkpoint holds only numbers."""

import math
from pathlib import Path
from typing import Any

import pytest

from charlstm.config import fitting
from charlstm.config.auto import TYPICAL, settled, taken_from, unsettled
from charlstm.config.fitting import Text
from charlstm.config.reading import config_from_dict, load_config
from charlstm.config.schema import SETTINGS, value_of
from charlstm.config.settings import Config
from charlstm.config.writing import dump_config

TEXTS = [Text(2, 0, 2), Text(700, 70, 30), Text(54_000, 6_000, 60), Text(9_000_000, 10**6, 2_000)]


def config_with(**values: Any) -> Config:
    nested: dict[str, Any] = {"data": {"files": "/a.txt"}}
    for path, value in values.items():
        group, _, name = path.rpartition(".")
        nested.setdefault(group, {})[name] = value
    return config_from_dict(nested, "here")


def test_what_is_auto_by_default():
    assert {path.partition(".")[2] for path in unsettled(config_with())} == {
        *("layers", "hidden_size", "embedding_size", "dropout", "batch_size", "sequence_length"),
        *("learning_rate", "epochs", "early_stopping", "warmup_steps", "minimum", "patience"),
        *("every", "characters"),
    }


@pytest.mark.parametrize("text", TEXTS)
def test_every_number_is_one_that_could_have_been_given(text: Text, tmp_path: Path):
    config = settled(config_with(), text)
    assert unsettled(config) == []
    for path, setting in SETTINGS.items():
        value = value_of(config, path)
        assert not setting.auto or setting.contains(value), (path, value)
    (tmp_path / "c.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "c.yaml") == config  # and they go together


@pytest.mark.parametrize("text", TEXTS)
def test_the_numbers_are_those_of_the_rule(text: Text):
    config, sizes = settled(config_with(), text), fitting.sizes(text)
    course = fitting.course(text, sizes)
    assert config.model.hidden_size == sizes.hidden_size
    assert config.model.dropout == course.dropout
    assert config.evaluation.every == course.evaluate_every
    per_epoch = (text.characters - 1) // config.training.batch_size // sizes.sequence_length
    steps = math.ceil(config.training.epochs * per_epoch)
    assert steps == pytest.approx(course.steps, rel=1e-3, abs=1)


@pytest.mark.parametrize("path", [p for p, it in SETTINGS.items() if it.auto])
def test_a_number_that_was_given_stays(path: str):
    given = 0.25 if "dropout" in path or "rate" in path else 3
    given = 1e-5 if path == "schedule.minimum" else given
    assert value_of(settled(config_with(**{path: given}), TEXTS[2]), path) == given


def test_the_rest_follows_from_what_was_given():
    text = TEXTS[2]
    short = settled(config_with(**{"training.steps": 30}), text)
    assert (short.schedule.warmup_steps, short.evaluation.every) == (1, 1)
    assert short.model.dropout < settled(config_with(), text).model.dropout
    wide = settled(config_with(**{"training.batch_size": 1_000}), text)
    assert wide.training.sequence_length == 53  # all that 1,000 streams of 54,000 leave
    long = settled(config_with(**{"training.sequence_length": 10_000}), text)
    assert long.training.batch_size == 5
    slow = settled(config_with(**{"training.learning_rate": 1e-6}), text)
    assert slow.schedule.minimum == 1e-6
    assert settled(config_with(**{"evaluation.every": 0}), text).training.early_stopping == 0
    assert (
        settled(config_with(**{"data.validation_fraction": 0}), text).training.early_stopping == 0
    )


@pytest.mark.parametrize("values", [{"training.optimizer": "sgd"}, {"model.cell": "simple"}])
def test_the_rate_is_for_adam_and_a_bounded_cell(values: dict[str, Any]):
    usual = settled(config_with(), TYPICAL).training.learning_rate
    assert settled(config_with(**values), TYPICAL).training.learning_rate < usual
    bounded = values | {"model.input_gate": "capped"}
    is_bounded = settled(config_with(**bounded), TYPICAL).training.learning_rate == usual
    assert is_bounded == ("model.cell" in values)


def test_a_run_that_goes_on_keeps_its_numbers():
    first = settled(config_with(**{"training.steps": 30}), TEXTS[1])
    again = taken_from(config_with(**{"model.layers": 7}), first)
    assert unsettled(again) == []
    assert again.model.layers == 7
    assert again.evaluation == first.evaluation
    assert again.training.steps is None  # only what is auto is taken


def test_evaluations_are_twenty_or_more():
    for text in TEXTS[1:]:
        config = settled(config_with(), text)
        per_epoch = (text.characters - 1) // config.training.batch_size
        steps = config.training.epochs * (per_epoch // config.training.sequence_length)
        assert steps / config.evaluation.every >= 20
