import numpy as np
import pytest

from charlstm.nn.gate_names import by_gate, pack
from charlstm.nn.gates import GATES
from charlstm.nn.model import CharLM, Shape

D, H = 4, 5


def test_the_twelve_names_of_an_lstm(rng) -> None:
    packed = {
        "W_x": rng.standard_normal((4, D, H)),
        "W_h": rng.standard_normal((4, H, H)),
        "b": rng.standard_normal((4, H)),
    }
    named = by_gate(packed)
    assert list(named) == [
        *("W_ix", "W_fx", "W_ox", "W_gx"),
        *("W_ih", "W_fh", "W_oh", "W_gh"),
        *("b_i", "b_f", "b_o", "b_g"),
    ]
    for k, gate in enumerate(GATES):
        np.testing.assert_array_equal(named[f"W_{gate}x"], packed["W_x"][k])
        np.testing.assert_array_equal(named[f"W_{gate}h"], packed["W_h"][k])
        np.testing.assert_array_equal(named[f"b_{gate}"], packed["b"][k])


def test_names_are_views() -> None:
    packed = {"b": np.zeros((4, H))}
    by_gate(packed)["b_f"][...] = 1.0
    np.testing.assert_array_equal(packed["b"].sum(axis=1), [H * (g == "f") for g in GATES])


@pytest.mark.parametrize("cell", ["lstm", "layer-norm"])
def test_there_and_back(cell: str, rng) -> None:
    model = CharLM(Shape(6, cell, 2, H, D))
    model.grads[:] = rng.standard_normal(model.grads.shape)
    packed = {name: p.grad for name, p in model.parameters().items()}
    named = by_gate(packed)
    assert "lstm.1.W_gh" in named
    assert "linear.W_y" in named
    assert ("lstm.0.gain_c" in named) == (cell == "layer-norm")
    again = pack(named)
    assert list(again) == list(packed)
    for name, array in packed.items():
        np.testing.assert_array_equal(again[name], array)


def test_a_missing_gate_is_an_error() -> None:
    named = by_gate({"b": np.zeros((4, H))})
    del named["b_o"]
    with pytest.raises(KeyError, match="b_o"):
        pack(named)
