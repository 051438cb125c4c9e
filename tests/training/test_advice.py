"""Advice before a training: each is given where it helps, and none where all is well."""

import random
from pathlib import Path
from typing import Any

import pytest
from places import ROOT
from tiny import tiny_config

from charlstm.training.advice import advice, tail_ratio
from charlstm.training.dataset import read_dataset

QUIET = {"evaluation.every": 2}


def advised(folder: Path, text: str | None = None, **settings: Any) -> list[str]:
    some = {} if text is None else {"text": text}
    return list(advice(read_dataset(tiny_config(folder, **some, **(QUIET | settings)))))


def prose(words: list[str], count: int) -> str:
    rng = random.Random(3)
    return " ".join(rng.choice(words) for _ in range(count))


ENGLISH = prose(["the", "harbour", "was", "quiet", "and", "ships", "came", "slowly"], 4_000)
OTHER = prose(["der", "Hafen", "lag", "ruhig", "Schiffe", "zogen", "vorbei", "nun"], 500)


def test_nothing_to_say(tmp_path: Path):
    assert advised(tmp_path, ENGLISH) == []


@pytest.mark.parametrize(("every", "number"), [(5, None), (6, None), (7, 4), (19, 2), (50, 1)])
def test_few_evaluations(tmp_path: Path, every: int, number: int | None):
    found = advised(tmp_path, ENGLISH, **{"evaluation.every": every, "training.steps": 25})
    assert len(found) == (0 if number is None else 1)
    assert number is None or f"computed {number} times only" in found[0]
    assert number is None or "evaluation.every to 1 or auto" in found[0]


def test_no_advice_on_evaluations_that_were_switched_off(tmp_path: Path):
    assert advised(tmp_path, ENGLISH, **{"evaluation.every": 0}) == []
    assert advised(tmp_path, ENGLISH, **{"data.validation_fraction": 0.0}) == []


def test_a_model_that_is_far_too_large(tmp_path: Path):
    (found,) = advised(tmp_path, **{"model.hidden_size": 30})
    assert "will learn 105 characters by heart" in found


def test_no_advice_on_a_size_that_the_rule_chose(tmp_path: Path):
    assert advised(tmp_path, **{"model.hidden_size": "auto", "model.layers": "auto"}) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ENGLISH.replace(" a", "\r\na"), "CR beside LF"),
        (ENGLISH.replace(" a", "\ra"), "CR for its"),
    ],
)
def test_line_ends(tmp_path: Path, text: str, told: str):
    (found,) = advised(tmp_path, text)
    assert told in found
    assert "data.newlines=normalize" in found
    assert advised(tmp_path, text, **{"data.newlines": "normalize"}) == []


def names(empty: int = 0, longer: str = "") -> str:
    rng = random.Random(4)
    made = ["".join(rng.choices("abcdefgh", k=rng.randint(2, 9))) + longer for _ in range(200)]
    made[50:50] = [""] * empty
    return "\n".join(made) + "\n"


def test_a_text_that_looks_like_a_list(tmp_path: Path):
    (found,) = advised(tmp_path, names())
    assert "looks like a list, lines of 6 characters and none empty" in found
    assert "data.items=lines" in found
    assert advised(tmp_path, names(), **{"data.items": "lines"}) == []
    assert advised(tmp_path, names(empty=1)) == []
    assert advised(tmp_path, names(longer=" which is the name of a ship that sails")) == []


def test_a_tail_that_differs(tmp_path: Path):
    (found,) = advised(tmp_path, ENGLISH + OTHER, **{"data.validation_fraction": 0.1})
    assert "differs from the rest" in found


def test_the_tail_of_a_text_of_one_kind_does_not(tmp_path: Path):
    config = tiny_config(tmp_path, (ROOT / "data/harbour.txt").read_text()[:200_000])
    assert tail_ratio(read_dataset(config)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"training.momentum": 0.5},
            "training.momentum makes no difference with training.optimizer=adam",
        ),
        ({"schedule.decay_steps": 7}, "makes no difference with schedule.kind=constant"),
        ({"training.average_fraction": 0.5}, "makes no difference with training.average=none"),
        ({"output.sample_length": 7}, None),
        ({"training.momentum": 0.5, "training.optimizer": "momentum"}, None),
    ],
)
def test_settings_without_effect(tmp_path: Path, settings: dict[str, Any], told: str | None):
    found = advised(tmp_path, ENGLISH, **settings)
    assert len(found) == (told is not None)
    assert told is None or told in found[0]
