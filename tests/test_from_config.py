"""Models, optimizers and schedules get their numbers from the settings, each its own."""

import numpy as np
import pytest

from charlstm.config.reading import config_from_dict
from charlstm.config.settings import Config
from charlstm.from_config import epochs_of, optimizer_of, schedule_of, shape_of, total_steps_of
from charlstm.nn.model import CharLM, Shape
from charlstm.nn.optim import OPTIMIZERS
from charlstm.nn.schedule import SCHEDULES

TRAINING = {
    "learning_rate": 0.3,
    "momentum": 0.81,
    "rmsprop_decay": 0.93,
    "beta1": 0.85,
    "beta2": 0.97,
    "epsilon": 1e-3,
    "epochs": 2.5,
}
SCHEDULE = {
    "warmup_steps": 4,
    "decay": 0.6,
    "start_epoch": 3.5,
    "every_epochs": 1.5,
    "decay_steps": 70,
    "minimum": 0.02,
    "patience": 6,
    "threshold": 0.11,
}


def config(optimizer: str, schedule: str) -> Config:
    decay = {"weight_decay": 0.07} if optimizer == "adamw" else {}  # refused elsewhere
    return config_from_dict(
        {
            "data": {"files": ["text.txt"]},
            "training": TRAINING | decay | {"optimizer": optimizer},
            "schedule": SCHEDULE | {"kind": schedule},
        },
        "test",
    )


def test_a_shape_has_all_settings_of_the_model_that_it_knows() -> None:
    model = {
        **{"cell": "layer-norm", "input_gate": "capped", "layers": 3, "skips": True},
        **{"hidden_size": 5, "embedding_size": 4, "dtype": "float64"},
        **{"forget_bias": -0.5, "norm_epsilon": 0.03},
    }
    asked = config_from_dict({"data": {"files": ["text.txt"]}, "model": model}, "test")
    assert vars(shape_of(asked, 7)) == model | {"vocabulary_size": 7}
    assert not model.items() & vars(Shape(7)).items()


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_has_the_numbers_of_the_settings(kind: str) -> None:
    model = CharLM(Shape(5, layers=1, hidden_size=3, dtype="float64"))
    made = optimizer_of(config(kind, "constant"), model)
    assert type(made) is OPTIMIZERS[kind][0]
    numbers = {name: vars(made)[name] for name in OPTIMIZERS[kind][1]}
    settings = {**TRAINING, "decay": TRAINING["rmsprop_decay"], "weight_decay": 0.07}
    assert numbers == {name: settings[name] for name in numbers}
    made.step(model.values, np.ones_like(model.values), 0.1)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_schedule_has_the_numbers_of_the_settings(kind: str) -> None:
    made = schedule_of(config("sgd", kind), steps_per_epoch=41)
    assert type(made) is SCHEDULES[kind]
    of_the_run = {"base": 0.3, "steps_per_epoch": 41, "total_steps": 103}
    numbers = {name: value for name, value in vars(made).items() if name not in made.state()}
    assert {"base", "warmup_steps"} <= numbers.keys()
    assert numbers == {name: (SCHEDULE | of_the_run)[name] for name in numbers}


@pytest.mark.parametrize("steps", [1, 2, 7, 99, 1264, 987_654])
@pytest.mark.parametrize("steps_per_epoch", [1, 3, 8, 1404, 10_000_019])
def test_epochs_that_come_to_so_many_steps(steps: int, steps_per_epoch: int):
    epochs = epochs_of(steps, steps_per_epoch)
    config = config_from_dict({"data": {"files": ["t"]}, "training": {"epochs": epochs}}, "test")
    assert total_steps_of(config, steps_per_epoch) == steps
