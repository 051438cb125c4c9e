import naive_lstm
import numpy as np
import pytest
from layers import both_ways, random_layer, random_state

from charlstm.nn import lstm as lstm_module
from charlstm.nn.gate_names import by_gate
from charlstm.nn.gates import GATES, TANH
from charlstm.nn.lstm import LSTM, State
from charlstm.nn.start import Start

CS231N_ORDER = "ifog"
CS231N_H = [
    [0.24635157, 0.28610883, 0.32240467, 0.35525807, 0.38474904],
    [0.49223563, 0.55611431, 0.61507696, 0.66844003, 0.7159181],
    [0.56735664, 0.66310127, 0.74419266, 0.80889665, 0.858299],
]
CS231N_C = [
    [0.32986176, 0.39145139, 0.451556, 0.51014116, 0.56717407],
    [0.66382255, 0.76674007, 0.87195994, 0.97902709, 1.08751345],
    [0.74192008, 0.90592151, 1.07717006, 1.25120233, 1.42395676],
]


def gates_apart(packed: np.ndarray, H: int) -> np.ndarray:
    """``(..., 4H)`` in CS231n's order to ``(4, ..., H)`` in ours."""
    blocks = dict(zip(CS231N_ORDER, np.split(packed, 4, axis=-1), strict=True))
    return np.stack([blocks[gate] for gate in GATES])


def test_the_values_of_cs231n() -> None:
    N, D, H = 3, 4, 5
    layer = LSTM(D, H, np.random.default_rng(0), Start(dtype=np.float64), squash=TANH)
    layer.W_x.value[...] = gates_apart(np.linspace(-2.1, 1.3, D * 4 * H).reshape(D, 4 * H), H)
    layer.W_h.value[...] = gates_apart(np.linspace(-0.7, 2.2, H * 4 * H).reshape(H, 4 * H), H)
    layer.b.value[...] = gates_apart(np.linspace(0.3, 0.7, 4 * H), H)
    x = np.linspace(-0.4, 1.2, N * D).reshape(1, N, D)
    prev_h = np.linspace(-0.3, 0.7, N * H).reshape(N, H)
    prev_c = np.linspace(-0.4, 0.9, N * H).reshape(N, H)

    out, state = layer.forward(x, State(prev_h, prev_c), layer.tape(1, N))

    np.testing.assert_allclose(state.h, CS231N_H, rtol=2e-8)
    np.testing.assert_allclose(state.c, CS231N_C, rtol=2e-8)
    np.testing.assert_array_equal(out[0], state.h)


def test_the_values_of_deep_breathe() -> None:
    """Its single-step example: all weights and biases 0.5, forget bias 1 on top. In float32."""
    start = Start(forget_bias=1.0, dtype=np.float64)
    layer = LSTM(3, 2, np.random.default_rng(0), start, squash=TANH)
    layer.W_x.value[...] = layer.W_h.value[...] = 0.5
    layer.b.value += 0.5
    state = State(np.array([[0.2, 0.3]]), np.array([[0.0, 0.1]]))
    _, state = layer.forward(np.ones((1, 1, 3)), state, layer.tape(1, 1))
    np.testing.assert_allclose(state.h, [[0.64121795, 0.68166804]], rtol=2e-7)
    np.testing.assert_allclose(state.c, [[0.88477188, 0.98103917]], rtol=2e-7)


@pytest.mark.parametrize("factor_block", [1, 40, 10**6])
def test_equals_the_eight_matrices(rng, monkeypatch, factor_block: int) -> None:
    T, B, D, H = 7, 3, 4, 5
    monkeypatch.setattr(lstm_module, "FACTOR_BLOCK", factor_block)
    layer = random_layer("lstm", D, H)
    x, state, dstate = (
        rng.standard_normal((T, B, D)),
        random_state(B, H, rng),
        random_state(B, H, rng),
    )
    dout = rng.standard_normal((T, B, H))
    w = by_gate({name: p.value for name, p in layer.parameters().items()})

    steps = naive_lstm.forward(w, x, *state)
    grads, dx, dh, dc = naive_lstm.backward(w, steps, dout, *dstate)
    ours = both_ways(layer, x, state, dout, dstate=dstate)

    close = {"rtol": 1e-12, "atol": 1e-13}
    np.testing.assert_allclose(ours.out, [q["h"] for q in steps], **close)
    np.testing.assert_allclose(ours.end.h, steps[-1]["h"], **close)
    np.testing.assert_allclose(ours.end.c, steps[-1]["c"], **close)
    np.testing.assert_allclose(ours.dx, dx, **close)
    np.testing.assert_allclose(ours.dstart.h, dh, **close)
    np.testing.assert_allclose(ours.dstart.c, dc, **close)
    named = by_gate(ours.gradients)
    assert len(named) == 12
    assert named.keys() == grads.keys()
    for name in grads:
        np.testing.assert_allclose(named[name], grads[name], **close, err_msg=name)


def test_start_of_the_parameters() -> None:
    D, H = 7, 400
    layer = LSTM(D, H, np.random.default_rng(0), Start(forget_bias=1.5), squash=TANH)
    np.testing.assert_array_equal(layer.b.value[GATES.index("f")], 1.5)
    others = [number for number, gate in enumerate(GATES) if gate != "f"]
    np.testing.assert_array_equal(layer.b.value[others], 0.0)
    for weights in (layer.W_x.value, layer.W_h.value):
        assert weights.dtype == np.float32
        assert 0.049 < np.abs(weights).max() <= 0.05  # 1 / sqrt(H)
        assert weights.std() == pytest.approx(0.05 / np.sqrt(3), rel=0.03)


def test_simple_is_not_squashed_on_the_way_out(rng) -> None:
    T, B, D, H = 3, 2, 4, 5
    layer = random_layer("simple", D, H)
    tape = layer.tape(T, B)
    out, _ = layer.forward(rng.standard_normal((T, B, D)), random_state(B, H, rng), tape)
    o, i, f, g = tape.gates
    np.testing.assert_allclose(tape.c[1:], g * i + tape.c[:-1] * f, rtol=1e-14)
    np.testing.assert_allclose(out, o * tape.c[1:], rtol=1e-14)
