"""One step: what it applies, and above all what it refuses to apply."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_config

from charlstm.errors import DivergedError
from charlstm.nn.cells import CELLS, State
from charlstm.system.comm import Alone
from charlstm.training.dataset import read_dataset
from charlstm.training.setup import prepare
from charlstm.training.trainer import Requests, Trainer


def trainer_of(folder: Path, **settings: Any) -> Trainer:
    config = tiny_config(folder, **settings)
    return prepare(read_dataset(config), Alone(), None)[0]


def memory_of(trainer: Trainer) -> list[bytes]:
    """All that a step may change, but for the gradients."""
    arrays = [trainer.model.values, *trainer.optimizer.state.values()]
    arrays += [part for state in trainer.states for part in state]
    return [array.tobytes() for array in arrays] + [
        bytes([trainer.step_number, trainer.optimizer.steps])
    ]


def plant(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, loss: float, gradient: float) -> None:
    real = trainer.model.loss_and_gradients

    def planted(*args: Any, **others: Any) -> tuple[float, list[State]]:
        found, states = real(*args, **others)
        trainer.model.grads[trainer.model.grads.size // 2] += gradient
        return found + loss, states

    monkeypatch.setattr(trainer.model, "loss_and_gradients", planted)


DEFECTS = {  # what is added to the loss and to one entry of the gradient
    (np.inf, 0.0): "loss became inf at step 4 (gradient norm 0.",
    (np.nan, 0.0): "loss became nan at step 4 (gradient norm 0.",
    (0.0, np.nan): "gradient became nan at step 4 (gradient norm nan,",
    (0.0, np.inf): "gradient became inf at step 4 (gradient norm inf,",
    (0.0, -np.inf): "gradient became inf at step 4 (gradient norm inf,",
}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("clip", [{"training.clip_norm": 1}, {"training.clip_norm": 0}])
@pytest.mark.parametrize("planted", DEFECTS)
def test_what_is_not_finite_is_never_applied(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cell: str,
    clip: dict[str, float],
    planted: tuple[float, float],
):
    message = DEFECTS[planted]
    trainer = trainer_of(tmp_path, **{"model.cell": cell}, **clip)
    for _ in range(3):
        trainer.step(Requests())
    before = memory_of(trainer)
    plant(trainer, monkeypatch, *planted)
    with pytest.raises(DivergedError) as caught:
        trainer.step(Requests())
    assert message in str(caught.value)
    assert "learning rate 0.02); the update was not applied" in str(caught.value)
    assert memory_of(trainer) == before


def test_a_gradient_clipped_by_value_is_looked_at_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trainer = trainer_of(tmp_path, **{"training.clip_norm": 0, "training.clip_value": 0.1})
    plant(trainer, monkeypatch, 0.0, np.inf)  # clipping would turn it into 0.1
    with pytest.raises(DivergedError, match="gradient became inf at step 1"):
        trainer.step(Requests())


def test_a_step_is_one_update_with_the_gradient_of_its_batch(tmp_path: Path):
    settings = {"training.optimizer": "sgd", "training.clip_norm": 0, "model.dtype": "float64"}
    trainer, other = (trainer_of(tmp_path, **settings) for _ in range(2))
    model, batches = other.model, other.batches
    x, y = np.empty((2, 4, 3), np.intp)
    states = model.zero_states(3)
    for step in range(20):
        if step % 8 == 0:  # a new epoch starts at the beginning of the text
            states = model.zero_states(3)
        batches.batch(step % 8, x, y)
        loss, states = model.loss_and_gradients(x, y, states, model.tape(4, 3))
        norm = float(np.linalg.norm(model.grads))
        model.values -= 0.02 * model.grads
        result = trainer.step(Requests())
        assert result.loss == pytest.approx(loss, rel=1e-13)
        assert result.grad_norm == pytest.approx(norm, rel=1e-12)
        assert result.learning_rate == 0.02
        assert not result.clipped
    np.testing.assert_allclose(trainer.model.values, model.values, rtol=1e-12, atol=1e-15)
    assert trainer.epoch == 20 / 8


@pytest.mark.parametrize(
    ("limits", "clipped"),
    [
        ({"training.clip_norm": 1e-3}, True),
        ({"training.clip_norm": 1e3}, False),
        ({"training.clip_norm": 0}, False),
        ({"training.clip_norm": 0, "training.clip_value": 1e-3}, True),
        ({"training.clip_norm": 0, "training.clip_value": 1e3}, False),
    ],
)
def test_clipping_is_told(tmp_path: Path, limits: dict[str, float], clipped: bool):
    trainer, free = (
        trainer_of(tmp_path, **limits),
        trainer_of(tmp_path, **{"training.clip_norm": 0}),
    )
    result, unclipped = trainer.step(Requests()), free.step(Requests())
    assert result.clipped == clipped
    assert result.grad_norm == unclipped.grad_norm  # that of before
    if clipped and limits["training.clip_norm"]:
        assert np.linalg.norm(trainer.model.grads) == pytest.approx(1e-3, rel=1e-5)
    elif clipped:
        assert np.abs(trainer.model.grads).max() == np.float32(1e-3)
    else:
        assert trainer.model.grads.tobytes() == free.model.grads.tobytes()


def test_states_go_out_and_come_back(tmp_path: Path):
    trainer = trainer_of(tmp_path)
    for _ in range(3):
        trainer.step(Requests())
    gathered = trainer.gathered_states()
    assert gathered.shape == (2, 2, 3, 5)
    np.testing.assert_array_equal(gathered[1, 0], trainer.states[1].h)
    np.testing.assert_array_equal(gathered[0, 1], trainer.states[0].c)
    other = trainer_of(tmp_path)
    other.restore(gathered, 3)
    other.model.values[...] = trainer.model.values
    gathered[...] = 0  # what was restored is a copy
    assert other.step(Requests()).loss == trainer.step(Requests()).loss


@pytest.mark.parametrize("requests", [Requests(), Requests(stop=True), Requests(save=True)])
def test_wishes_come_back_with_the_result(tmp_path: Path, requests: Requests):
    assert trainer_of(tmp_path).step(requests).requests == requests
