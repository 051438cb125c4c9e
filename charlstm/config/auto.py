"""From ``auto`` to numbers: once, at the start of a run, when its text is known.

What was given stays what it is, and the rest follows from it by the rule in `config.fitting`. A run
that goes on takes its numbers from its checkpoint instead, so that it is the same run.
"""

import math
from collections.abc import Collection
from typing import Any

from charlstm.config import fitting
from charlstm.config.fitting import Course, Sizes, Text
from charlstm.config.schema import SETTINGS, value_of, with_values
from charlstm.config.settings import AUTO, Config, conflicts
from charlstm.errors import ConfigError

TYPICAL = Text(characters=1_000_000, validation=100_000, symbols=80)
"""Stands for the text where there is none: to check gradients, to import a model."""

OF_THE_MODEL = ("model.layers", "model.hidden_size", "model.embedding_size")
SIZES = {path: path.rpartition(".")[2] for path in OF_THE_MODEL} | {
    "training.batch_size": "batch_size",
    "training.sequence_length": "sequence_length",
}
MOST_EPOCHS = 1e9  # of the setting; more steps than anybody lives to see
OTHER_RATE = 2e-3
"""For what the rule was not made for: other optimizers than Adam, and a cell without a bound."""


def unsettled(config: Config) -> list[str]:
    """The settings that are still ``auto``."""
    return [path for path, it in SETTINGS.items() if it.auto and value_of(config, path) == AUTO]


def leaves_speed_open(config: Config) -> bool:
    """Whether how much a step computes is not known yet."""
    return not SIZES.keys().isdisjoint(unsettled(config))


def taken_from(config: Config, known: Config, paths: Collection[str] = SETTINGS) -> Config:
    """The config, with numbers of ``known`` where it has ``auto``: as far as they go with what is
    asked for now.
    """
    found = {path: value_of(known, path) for path in unsettled(config) if path in paths}
    taken, steps = with_values(config, found), config.training.steps
    limits = {
        "schedule.minimum": taken.training.learning_rate,
        "schedule.warmup_steps": math.inf if steps is None else steps - 1,
        "training.early_stopping": math.inf if config.evaluates else 0,
    }
    return with_values(
        taken, {path: min(found[path], most) for path, most in limits.items() if path in found}
    )


def settled(config: Config, text: Text, *, work: float | None = None) -> Config:
    """The config with a number in the place of every ``auto``.

    ``work``: multiply-adds that the run may do, see `fitting`; without it, and where the length
    is given, that decides. Raises `ConfigError` where a number does not go with what was given.
    """
    if not unsettled(config):
        return _checked(config)
    sizes = _sizes(config, text, work)
    per_epoch = max(1, (text.characters - 1) // sizes.batch_size // sizes.sequence_length)
    steps = _steps_given(config, per_epoch) if work is None else None
    course = fitting.course(text, sizes, work=work, steps=steps)
    numbers = {path: getattr(sizes, name) for path, name in SIZES.items()}
    numbers |= _course(config, course)
    numbers["training.epochs"] = min(MOST_EPOCHS, float(f"{course.steps / per_epoch:.4g}"))
    return _checked(with_values(config, {path: numbers[path] for path in unsettled(config)}))


def _checked(config: Config) -> Config:
    """A checkpoint is read only if its settings go together, and so they must before it is made."""
    if conflict := next(conflicts(config), None):
        path, problem = conflict
        raise ConfigError(f"{path}: {problem}")
    return config


def _sizes(config: Config, text: Text, work: float | None) -> Sizes:
    given = {
        name: value_of(config, path)
        for path, name in SIZES.items()
        if value_of(config, path) != AUTO
    }
    fitted = fitting.sizes(text, work=work)
    found = fitted._replace(cell=config.model.cell, skips=config.model.skips, **given)
    lanes, steps = found.batch_size, found.sequence_length
    if "batch_size" not in given:
        lanes = max(1, min(lanes, (text.characters - 1) // steps))
    if "sequence_length" not in given:
        steps = max(1, min(steps, (text.characters - 1) // lanes))
    return found._replace(batch_size=lanes, sequence_length=steps)


def _steps_given(config: Config, per_epoch: int) -> int | None:
    training = config.training
    if training.steps is not None or "training.epochs" in unsettled(config):
        return training.steps
    return max(1, round(training.epochs * per_epoch))


def _course(config: Config, course: Course) -> dict[str, Any]:
    """What else the rule says, as far as it was made for such a configuration."""
    training, schedule = config.training, config.schedule
    is_bounded = config.model.cell != "simple" or config.model.input_gate == "capped"
    is_usual = training.optimizer in ("adam", "adamw") and is_bounded
    rate = course.learning_rate if is_usual else OTHER_RATE
    if "training.learning_rate" not in unsettled(config):
        rate = training.learning_rate
    return {
        "model.dropout": course.dropout,
        "training.learning_rate": rate,
        "training.early_stopping": course.early_stopping if config.evaluates else 0,
        "schedule.warmup_steps": course.warmup_steps,
        "schedule.minimum": min(course.minimum, rate) if schedule.kind == "cosine" else 0.0,
        "schedule.patience": max(1, course.early_stopping // 3),
        "evaluation.every": course.evaluate_every,
        "evaluation.characters": course.evaluation_characters,
    }


def sizes_of(config: Config) -> Sizes:
    """What decides the speed of a step, of a config without ``auto``."""
    given = {name: value_of(config, path) for path, name in SIZES.items()}
    return Sizes(cell=config.model.cell, skips=config.model.skips, **given)


def reason(config: Config, text: Text) -> str:
    """Why a width that was ``auto`` is what it is, in a few words."""
    if config.model.hidden_size < fitting.sizes(text, work=math.inf).hidden_size:
        return "a wider one would take longer than the text is worth"
    return "a wider one would learn a text of this length by heart"
