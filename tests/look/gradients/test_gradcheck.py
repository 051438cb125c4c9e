"""The checker, checked: it is exact where the truth is known, and rejects planted errors."""

import numpy as np
import pytest
from layers import CELL_NAMES, shape_of

from charlstm.look.gradients.gradcheck import (
    LIMIT,
    Sizes,
    check_model,
    compare,
    numerical_gradient,
    relative_error,
)
from charlstm.nn.gates import GATES
from charlstm.nn.layer_norm_lstm import LayerNormLSTM
from charlstm.nn.lstm import LSTM
from charlstm.nn.model import CharLM, Shape

TINY = Sizes(T=3, B=2, vocabulary_size=5, hidden_size=4, embedding_size=3)


def test_polynomials_of_degree_four_are_exact(rng) -> None:
    x = rng.standard_normal((2, 3))
    before = x.copy()
    gradient = numerical_gradient(lambda: float((x**4 - 2 * x**3).sum()), x, distance=0.1)
    np.testing.assert_allclose(gradient, 4 * x**3 - 6 * x**2, rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(x, before)


def test_numerical_gradient_reaches_views_and_scalars(rng) -> None:
    memory = rng.standard_normal(6)
    view = memory[1:5].reshape(2, 2)
    gradient = numerical_gradient(lambda: float(np.sin(memory).sum()), view)
    np.testing.assert_allclose(gradient, np.cos(view), rtol=1e-9)
    scalar = np.array(0.3)
    assert numerical_gradient(lambda: float(scalar**2), scalar) == pytest.approx(0.6)


def test_a_bend_beside_a_number_is_no_error_and_hides_none() -> None:
    """As where an input gate is about to be capped: the points lie on both sides of it."""
    x = np.array([0.3, -0.2])

    def loss() -> float:
        return float(np.maximum(x, 0.3 + 2e-5).sum() + (x**2).sum())

    truth = 2 * x
    assert relative_error(truth, numerical_gradient(loss, x)) > 0.1
    (row,) = compare(loss, {"x": x}, {"x": truth})
    assert row.error < LIMIT
    (row,) = compare(loss, {"x": x}, {"x": truth + np.array([0.0, 1e-5])})
    assert row.error > LIMIT


def test_rounding_from_close_by_is_no_error() -> None:
    """As of a capped cell of four layers: 1e-6 from afar, 32 times that from close by."""
    x, noise = np.array([0.3, -0.2]), np.random.default_rng(3)

    def loss() -> float:
        return float((1e-5 * x**2).sum() + 2e-16 * noise.standard_normal())

    truth = 2e-5 * x
    assert max(relative_error(truth, numerical_gradient(loss, x)) for _ in range(200)) > LIMIT
    errors = [compare(loss, {"x": x}, {"x": truth})[0].error for _ in range(200)]
    assert max(errors) < LIMIT
    (row,) = compare(loss, {"x": x}, {"x": truth + 1e-8})
    assert row.error > LIMIT


def test_relative_error() -> None:
    reference = np.array([0.1, -2.0, 0.0])
    assert relative_error(reference, reference) == 0.0
    assert relative_error(np.array([0.1, -2.0, 0.02]), reference) == pytest.approx(0.01)
    assert relative_error(2 * reference, reference) == pytest.approx(0.5)
    assert relative_error(0 * reference, reference) == 1.0
    assert relative_error(np.array([np.nan]), np.array([1.0])) == np.inf
    assert relative_error(np.array([np.inf]), np.array([1.0])) == np.inf
    assert relative_error(np.array([1e-12]), np.array([0.0])) < 1e-6  # rounding, not an error


def worst_errors(cell: str = "lstm", layers: int = 2) -> dict[str, float]:
    rows = check_model(shape_of(9, cell, layers, embedding_size=3), sizes=TINY, gate_by_gate=True)
    return {row.name: row.error for row in rows if row.error > LIMIT}


def spoil(monkeypatch, owner: type, method: str, change) -> None:
    original = getattr(owner, method)

    def spoiled(self, *arguments, **named):
        result = original(self, *arguments, **named)
        return change(self, result)

    monkeypatch.setattr(owner, method, spoiled)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_sound_cells_pass(cell: str) -> None:
    assert worst_errors(cell) == {}


@pytest.mark.parametrize(
    ("owner", "cell", "name"),
    [(LSTM, "lstm", "b"), (LSTM, "simple", "W_h"), (LayerNormLSTM, "layer-norm", "gain_c")],
)
@pytest.mark.parametrize("factor", [2.001 / 2, 2.001, 0.0, -1.0])
def test_a_wrong_factor_is_found_in_its_place(owner, cell, name, factor, monkeypatch) -> None:
    def change(layer, result):
        layer.parameters()[name].grad[...] *= factor
        return result

    spoil(monkeypatch, owner, "backward", change)
    wrong = worst_errors(cell)
    assert wrong
    stem, *_ = name.split("_")
    assert all(row.split(".")[-1].startswith(stem) for row in wrong), wrong


def test_swapped_gates_are_found(monkeypatch) -> None:
    def change(layer, result):
        i, f = GATES.index("i"), GATES.index("f")
        layer.W_x.grad[[i, f]] = layer.W_x.grad[[f, i]]
        return result

    spoil(monkeypatch, LSTM, "backward", change)
    assert set(worst_errors()) == {f"lstm.{n}.W_{k}x" for n in (0, 1) for k in "if"}


def test_a_missing_recurrent_term_is_found(monkeypatch) -> None:
    """Backward with W_h = 0: nothing reaches the step before by way of h."""
    original = LSTM.backward

    def forgetful(self, dout, tape, dstate=None):
        W_h = self.W_h.value.copy()
        self.W_h.value[...] = 0.0
        result = original(self, dout, tape, dstate)
        self.W_h.value[...] = W_h
        return result

    monkeypatch.setattr(LSTM, "backward", forgetful)
    wrong = worst_errors(layers=1)
    assert {"state.0.h", "embedding.E", "x", "lstm.0.W_ih", "lstm.0.b_f"} <= set(wrong)
    assert not any(name.startswith("linear") for name in wrong)


@pytest.mark.parametrize("part", ["h", "c"])
def test_a_wrong_gradient_of_the_first_state_is_found(part: str, monkeypatch) -> None:
    def change(layer, result):
        dx, dstate = result
        return dx, dstate._replace(**{part: getattr(dstate, part) * 1.001})

    spoil(monkeypatch, LSTM, "backward", change)
    assert set(worst_errors()) == {f"state.0.{part}", f"state.1.{part}"}


def test_a_wrong_gradient_of_the_input_is_found(monkeypatch) -> None:
    """Of layer 0 the embedding suffers, of layer 1 all of layer 0."""

    def change(layer, result):
        dx, dstate = result
        return dx * 1.001, dstate

    spoil(monkeypatch, LSTM, "backward", change)
    wrong = set(worst_errors())
    assert {"x", "embedding.E", "state.0.c", "lstm.0.W_gh"} <= wrong
    assert "lstm.1.W_gh" not in wrong


def test_dropout_masks_that_are_left_out_on_the_way_back_are_found(monkeypatch) -> None:
    original = CharLM.backward

    def unmasked(self, dlogits, tape):
        tape.masks = None
        return original(self, dlogits, tape)

    monkeypatch.setattr(CharLM, "backward", unmasked)
    rows = check_model(Shape(9, "lstm", 1), sizes=TINY, dropout=0.5)
    assert max(row.error for row in rows if row.name.startswith("lstm")) > 0.1


def test_the_model_is_shrunk_but_keeps_what_matters() -> None:
    big = Shape(5000, "layer-norm", 9, 512, 64, forget_bias=2.0, norm_epsilon=1e-4)
    small = TINY.shrink(big)
    assert small == Shape(5, "layer-norm", 4, 4, 3, 2.0, 1e-4, "float64")
    assert TINY.shrink(Shape(5000, "lstm", 1)).embedding_size == 0
