import numpy as np
import pytest
from layers import both_ways, random_layer, random_state

from charlstm.nn.gates import GATES
from charlstm.nn.layer_norm_lstm import LayerNormLSTM, normalise
from charlstm.nn.lstm import State
from charlstm.nn.start import Start


@pytest.mark.parametrize("lanes", [1, 4])  # too few to centre the weights for; enough
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-8), (np.float32, 1e-6)])
def test_the_published_values(dtype: type, rtol: float, lanes: int) -> None:
    """TensorFlow's own test of LayerNormBasicLSTMCell: two stacked cells, one step."""
    x = np.ones((1, lanes, 2), dtype)
    states = [([0.2, 0.3], [0.0, 0.1]), ([0.6, 0.7], [0.4, 0.5])]
    for h, c in states:
        start = Start(norm_epsilon=1e-12, dtype=dtype)
        layer = LayerNormLSTM(2, 2, np.random.default_rng(0), start)
        layer.W_x.value[...] = layer.W_h.value[...] = 0.5
        state = State(np.array([h] * lanes, dtype), np.array([c] * lanes, dtype))
        x, new = layer.forward(x, state, layer.tape(1, lanes))
        np.testing.assert_allclose(new.h, [[-0.38079708, 0.38079708]] * lanes, rtol=rtol)
        np.testing.assert_allclose(new.c, [[-1.0, 1.0]] * lanes, rtol=rtol)


def one_step(layer, x, state, mask=None):
    """Straight from the definition, gate by gate."""

    def norm(a, gain, shift):
        return (
            gain
            * (a - a.mean(axis=-1, keepdims=True))
            / np.sqrt(a.var(axis=-1, keepdims=True) + layer.epsilon)
            + shift
        )

    p = {}
    for k, gate in enumerate(GATES):
        a = x @ layer.W_x.value[k] + state.h @ layer.W_h.value[k]
        p[gate] = norm(a, layer.gain.value[k], layer.shift.value[k])
    i, f, o = (1 / (1 + np.exp(-a)) for a in (p["i"], p["f"] + layer.forget_bias, p["o"]))
    g = np.tanh(p["g"]) * (1.0 if mask is None else mask)
    c = norm(f * state.c + i * g, layer.gain_c.value, layer.shift_c.value)
    return State(o * np.tanh(c), c)


@pytest.mark.parametrize("B", [2, 3])  # 8 rows, and 12: the weights have 11
def test_a_step_is_its_definition(rng, B: int) -> None:
    T, D, H = 4, 6, 5
    layer, state = random_layer("layer-norm", D, H), random_state(B, H, rng)
    layer.forget_bias, layer.epsilon = 0.7, 0.03
    x = rng.standard_normal((T, B, D))
    mask = rng.choice([0.0, 2.0], (T, B, H))
    tape = layer.tape(T, B)
    out, end = layer.forward(x, state, tape, mask)
    for t in range(T):
        state = one_step(layer, x[t], state, mask[t])
        np.testing.assert_allclose(out[t], state.h, rtol=1e-12)
    np.testing.assert_allclose(end, state, rtol=1e-12)


@pytest.mark.parametrize("one_hot", [True, False])
def test_a_batch_of_many_rows_is_its_lanes_each_alone(rng, one_hot: bool) -> None:
    """The weights are centred for the batch, and not for a lane."""
    T, B, D, H = 7, 3, 4, 5
    layer, state = random_layer("layer-norm", D, H), random_state(B, H, rng)
    x = rng.integers(D, size=(T, B)) if one_hot else rng.standard_normal((T, B, D))
    dout, dstate = rng.standard_normal((T, B, H)), random_state(B, H, rng)
    mask = rng.choice([0.0, 2.0], (T, B, H))
    whole = both_ways(layer, x, state, dout, dstate=dstate, mask=mask)
    sums = {name: np.zeros_like(gradient) for name, gradient in whole.gradients.items()}
    for lane in range(B):
        one = slice(lane, lane + 1)
        start, end = (State(*(part[one] for part in both)) for both in (state, dstate))
        alone = both_ways(layer, x[:, one], start, dout[:, one], dstate=end, mask=mask[:, one])
        np.testing.assert_allclose(alone.out, whole.out[:, one], rtol=1e-11)
        np.testing.assert_allclose(alone.dstart.h, whole.dstart.h[one], rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(alone.dstart.c, whole.dstart.c[one], rtol=1e-10, atol=1e-13)
        if not one_hot:
            np.testing.assert_allclose(alone.dx, whole.dx[:, one], rtol=1e-10, atol=1e-13)
        for name, gradient in alone.gradients.items():
            sums[name] += gradient
    for name, gradient in whole.gradients.items():
        np.testing.assert_allclose(sums[name], gradient, rtol=1e-10, atol=1e-12, err_msg=name)


def test_units_that_agree_do_not_blow_up_rounding(rng) -> None:
    """The reason for the default epsilon: nearly equal units in float32."""
    layer = LayerNormLSTM(3, 64, np.random.default_rng(0), Start())
    a = np.float32(1.0) + 1e-7 * rng.standard_normal((4, 2, 64)).astype(np.float32)
    n, r = np.empty_like(a), np.empty((4, 2, 1), np.float32)
    normalise(a, layer.epsilon, n, r)
    assert np.abs(n).max() < 1e-3
    assert r.max() < 320


def test_the_variance_is_the_biased_one() -> None:
    a = np.array([[1.0, 2.0, 6.0]])
    n, r = np.empty_like(a), np.empty((1, 1))
    normalise(a.copy(), 0.0, n, r)
    assert r[0, 0] == pytest.approx(1 / np.sqrt(14 / 3))
    np.testing.assert_allclose(n, (a - 3.0) / np.sqrt(14 / 3))


def test_recurrent_dropout_leaves_what_is_remembered(rng) -> None:
    """With g dropped entirely, the cell is the normed old one: nothing else is masked."""
    B, H = 2, 5
    layer, state = random_layer("layer-norm", 3, H), random_state(B, H, rng)
    tape = layer.tape(1, B)
    mask = np.zeros((1, B, H))
    _, end = layer.forward(rng.standard_normal((1, B, 3)), state, tape, mask)
    kept = tape.gates[GATES.index("f"), 0] * state.c
    n, r = np.empty_like(kept), np.empty((B, 1))
    normalise(kept, layer.epsilon, n, r)
    np.testing.assert_allclose(end.c, layer.gain_c.value * n + layer.shift_c.value, rtol=1e-12)
