"""The fast stepper computes what the plain one does, which is the training forward pass."""

from itertools import product

import numpy as np
import pytest
from layers import CELL_NAMES, SKIPPING, shape_of

from charlstm.nn import stepper
from charlstm.nn.layer_norm_lstm import LayerNormLSTM
from charlstm.nn.lstm import State
from charlstm.nn.model import CharLM
from charlstm.nn.stepper import FastStepper, PlainStepper, stepper_for
from charlstm.nn.tiles import Tiling

V, H, B, STEPS = 7, 6, 4, 9


def model_and_states(
    cell: str, embedding_size: int, layers: int, lanes: int = B
) -> tuple[CharLM, list[State]]:
    shape = shape_of(V, cell, layers, H, embedding_size, dtype="float64")
    rng = np.random.default_rng(layers)
    model = CharLM(shape, seed=2)
    model.values[...] = rng.standard_normal(model.values.shape)
    states = [State(*rng.standard_normal((2, lanes, H))) for _ in range(layers)]
    return model, states


@pytest.mark.parametrize("lanes", [1, B])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(
    ("cell", "embedding_size"), [*product(CELL_NAMES, [0, 5]), *product(SKIPPING, [5])]
)
def test_steps_equal_one_forward_pass(
    cell: str, embedding_size: int, layers: int, lanes: int
) -> None:
    model, states = model_and_states(cell, embedding_size, layers, lanes)
    ids = np.random.default_rng(1).integers(0, V, (STEPS, lanes))
    expected, _ = model.forward(ids, states, model.tape(STEPS, lanes))
    fastest = stepper_for(model, states)
    logits = np.stack([fastest.step(row).copy() for row in ids])
    expected = expected.reshape(STEPS, lanes, V)
    np.testing.assert_allclose(logits, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("lanes", [1, B])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_of_many_symbols_each_is_embedded_when_it_comes(
    cell: str, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stepper, "SOON", V)
    test_steps_equal_one_forward_pass(cell, 5, 2, lanes)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_many_numbers_go_through_exp(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepper, "MANY", B * H)
    monkeypatch.delattr(stepper, "activate_halved")
    test_steps_equal_one_forward_pass(cell, 0, 2, B)


@pytest.mark.parametrize("many", [1, 10**6])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gates_may_be_closed_and_open_entirely(
    cell: str, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """exp(-a) is infinite and 0 there; warnings are errors here."""
    monkeypatch.setattr(stepper, "MANY", many)
    model, states = model_and_states(cell, 0, 2)
    model.values *= 1e4
    ids = np.random.default_rng(1).integers(0, V, (STEPS, B))
    fastest = stepper_for(model, states)
    assert all(np.isfinite(fastest.step(row)).all() for row in ids)


@pytest.mark.parametrize(("embedding_size", "soon", "D"), [(0, 99, 0), (5, 99, 0), (5, V, 5)])
def test_in_tiles_it_computes_the_same(
    embedding_size: int, soon: int, D: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def cut(M: int, K: int, N: int) -> Tiling:
        asked.append((M, K, N))
        return Tiling(2, 3)

    monkeypatch.setattr(stepper, "tiling", cut)
    monkeypatch.setattr(stepper, "SOON", soon)
    test_steps_equal_one_forward_pass("lstm", embedding_size, 2, B)
    assert asked == [(B, D + H, H), (B, 2 * H, H)]


def test_the_fast_one_is_used_where_it_can_be() -> None:
    assert isinstance(stepper_for(*model_and_states("lstm", 0, 2)), FastStepper)
    assert isinstance(stepper_for(*model_and_states("simple", 0, 2)), FastStepper)
    assert isinstance(stepper_for(*model_and_states("layer-norm", 0, 2)), FastStepper)


def test_a_cell_that_it_does_not_know_goes_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(stepper.FAST_LAYERS, LayerNormLSTM)
    assert isinstance(stepper_for(*model_and_states("layer-norm", 0, 2)), PlainStepper)


def test_the_states_it_starts_from_stay_as_they_are() -> None:
    model, states = model_and_states("lstm", 0, 2)
    before = [State(state.h.copy(), state.c.copy()) for state in states]
    stepper_for(model, states).step(np.zeros(B, np.intp))
    for state, old in zip(states, before, strict=True):
        np.testing.assert_array_equal(state.h, old.h)
        np.testing.assert_array_equal(state.c, old.c)


def test_what_overflows_in_a_table_and_is_never_looked_up_is_not_told_of() -> None:
    model, states = model_and_states("lstm", 0, 1)
    layer = model.parameters()
    layer["lstm.0.W_x"].value[:, 0] = layer["lstm.0.b"].value[:] = np.finfo(model.values.dtype).max
    assert isinstance(stepper_for(model, states), FastStepper)
