"""Several items in one lane: where one begins, nothing comes before it."""

import numpy as np
import pytest
from layers import CELL_NAMES, kind_of, shape_of

from charlstm.look.gradients.gradcheck import numerical_gradient
from charlstm.nn.dropout import Dropout
from charlstm.nn.model import CharLM, Masks, ModelTape

V, T, B = 7, 5, 3
LENGTHS = [  # symbols of the items of each lane; 20 in all: items of 0 to 3 T characters
    [1, 3, 16],
    [5, 5, 1, 1, 8],
    [4, 2, 14],
]


def model_of(cell: str, layers: int, *, embedding: int = 0) -> CharLM:
    model = CharLM(shape_of(V, cell, layers, 4, embedding, dtype="float64"))
    model.values += 0.3 * np.random.default_rng(5).standard_normal(model.values.size)
    return model


def begins_of(lengths: list[list[int]]) -> np.ndarray:
    begins = np.zeros((20, len(lengths)), bool)
    for lane, of_lane in enumerate(lengths):
        begins[np.cumsum([0, *of_lane[:-1]]), lane] = True
    return begins


def packed(model: CharLM, x: np.ndarray, y: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Nats ``(20, B)``, T steps at a time; the state before is no zero."""
    states = model.zero_states(B)
    for state in states:
        state.h[...], state.c[...] = 0.7, -1.5
    tape, losses = model.tape(T, B), []
    for start in range(0, 20, T):
        part = slice(start, start + T)
        tape.begin_at(begins[part])
        found, states = model.losses(x[part], y[part], states, tape)
        losses.append(found.copy())
    return np.concatenate(losses)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_every_item_loses_what_it_would_alone(rng, cell: str, layers: int) -> None:
    model = model_of(cell, layers, embedding=3 * (layers == 2))
    x, y = rng.integers(0, V, (2, 20, B))
    found = packed(model, x, y, begins_of(LENGTHS))
    for lane, lengths in enumerate(LENGTHS):
        for stop, length in zip(np.cumsum(lengths), lengths, strict=True):
            item = slice(stop - length, stop), slice(lane, lane + 1)
            alone, _ = model.losses(x[item], y[item], model.zero_states(1), model.tape(length, 1))
            np.testing.assert_allclose(found[item], alone, rtol=1e-12)


def loss_with_masks(model: CharLM, xy: np.ndarray, masks: Masks | None, tape: ModelTape) -> float:
    """On a tape that knows where items begin; ``xy``: ``(2, T, B)``."""
    x, y = xy
    states = model.zero_states(x.shape[1])
    for state in states:
        state.h[...], state.c[...] = 0.7, -1.5
    return model.loss_and_gradients(x, y, states, tape, masks=masks, characters=1)[0]


def masks_of(cell: str, model: CharLM, T: int, B: int) -> Masks:
    dropout = Dropout(0.3, 0.4 * (kind_of(cell)["cell"] == "layer-norm"), seed=8)
    masks = model.draw_masks(dropout, 3, T, B)
    assert masks is not None
    return masks


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_loss_and_gradients_are_the_sums_over_the_items(rng, cell: str, layers: int) -> None:
    model = model_of(cell, layers, embedding=3 * (layers == 2))
    x, y = xy = rng.integers(0, V, (2, 20, B))
    masks, tape = masks_of(cell, model, 20, B), model.tape(20, B)
    tape.begin_at(begins_of(LENGTHS))
    loss = loss_with_masks(model, xy, masks, tape)
    gradients, apart, of_items = model.grads.copy(), 0.0, np.zeros_like(model.grads)
    for lane, lengths in enumerate(LENGTHS):
        for stop, length in zip(np.cumsum(lengths), lengths, strict=True):
            item = slice(stop - length, stop), slice(lane, lane + 1)
            own = Masks(
                *([m if m is None else m[item] for m in group] for group in vars(masks).values())
            )
            apart += model.loss_and_gradients(
                x[item],
                y[item],
                model.zero_states(1),
                model.tape(length, 1),
                masks=own,
                characters=1,
            )[0]
            of_items += model.grads
    assert loss == pytest.approx(apart, rel=1e-12)
    np.testing.assert_allclose(gradients, of_items, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_are_central_differences(rng, cell: str) -> None:
    model = model_of(cell, 2, embedding=3)
    xy = rng.integers(0, V, (2, 6, B))
    begins = np.zeros((6, B), bool)
    begins[0, 0] = begins[3, :2] = begins[4, 1] = True
    masks, tape = masks_of(cell, model, 6, B), model.tape(6, B)
    tape.begin_at(begins)
    loss_with_masks(model, xy, masks, tape)
    found = model.grads.copy()
    for place in rng.choice(model.values.size, 75, replace=False):
        one = model.values[place : place + 1]
        (difference,) = numerical_gradient(lambda: loss_with_masks(model, xy, masks, tape), one)
        assert abs(difference - found[place]) < 1e-7 * max(1.0, abs(difference)), place


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_nothing_of_one_item_reaches_another(rng, cell: str) -> None:
    model = model_of(cell, 2)
    x, y = rng.integers(0, V, (2, 20, B))
    before = packed(model, x, y, begins_of(LENGTHS))
    x[5:10, 1], y[5:10, 1] = (x[5:10, 1] + 1) % V, (y[5:10, 1] + 1) % V
    after = packed(model, x, y, begins_of(LENGTHS))
    changed = before != after
    assert changed[5:10, 1].all()
    changed[5:10, 1] = False
    assert not changed.any()


def test_a_state_of_any_size_is_forgotten() -> None:
    model = model_of("simple", 1)
    x, y = np.zeros((2, T, B), np.intp)
    states = model.zero_states(B)
    tape = model.tape(T, B)
    tape.begin_at(np.eye(T, B, dtype=bool))
    states[0].h[0], states[0].c[0] = 1e300, -1e300
    found, _ = model.losses(x, y, states, tape)
    alone, _ = model.losses(x[:, :1], y[:, :1], model.zero_states(1), model.tape(T, 1))
    np.testing.assert_allclose(found[:, 0], alone[:, 0], rtol=1e-13)
