"""Layer-norm LSTM (Ba, Kiros & Hinton 2016, in the form of TensorFlow's LayerNormBasicLSTMCell).

    a  = x W_x + h_prev W_h             no bias: the shift of the norm takes its place
    p  = norm(a)                        each gate over its own H units; forget_bias added to p_f
    o, i, f = sigmoid(p_o, p_i, p_f)
    g  = tanh(p_g)
    i  = min(i, 1 - f)                  if it is capped, else as it is
    u  = f * c_prev + i * g * mask      recurrent dropout (Semeniuta et al. 2016), in training only
    c  = norm(u)                        the normalised cell is the one that is carried
    h  = o * s,   s = tanh(c)

    norm(a) = gain * n + shift,   n = v * r,   r = 1 / sqrt(mean(v^2) + epsilon),   v = a - mean(a)

Backward; norm' carries a gradient dp back through a norm (the mean is over the H units):

    norm'(dp) = dv - mean(dv),   dv = r * (gain * dp - n * mean(gain * dp * n))

    dc     += dh * o * (1 - s^2)
    du      = norm'(dc)
    dp_o    = dh * s        * o (1 - o)
    dp_i    = du * mask * g * i (1 - i)
    dp_f    = du * c_prev   * f (1 - f)
    dp_g    = du * mask * i * (1 - g^2)
    where i became 1 - f: dp_f = du * (c_prev - mask * g) * f (1 - f) and dp_i = 0
    da      = norm'(dp)
    dc_prev = du * f
    dh_prev = da_o W_h,o^T + da_i W_h,i^T + da_f W_h,f^T + da_g W_h,g^T

The mean of the gates is linear in the weights, a - mean(a) = x (W_x - mean(W_x)) + h_prev (W_h -
mean(W_h)), each row's mean over its own units. So where a batch has more rows than the weights
have, the weights are centred before it, and the loops meet v and dv alone:

    v = x W_x' + h_prev W_h',   dh_prev = dv W_h'^T,   dW = dW' - mean(dW'),   W' = W - mean(W)

The norm stands inside the recurrence in both directions, so the loops are its own. The factors
beside dh and du are those of the LSTM, and so is the code that computes them.

``epsilon`` bounds r. Float32 rounds a pre-activation of size 1 by 6e-8; where the units of a gate
nearly agree, an epsilon of 1e-12 lets r reach 1e6 and blows that rounding up to the size of the
signal. 1e-5, the default, keeps r below 320, and is a few thousandths of a typical variance at the
start.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from charlstm.nn.cuts import Cuts
from charlstm.nn.gates import GATES, TANH, activate_negated, gates_may_saturate, sigmoids_scaled
from charlstm.nn.lstm import Layer, State, Tape, forget, weight_gradients
from charlstm.nn.parameter import Array, Parameter
from charlstm.nn.projection import Input, project
from charlstm.nn.start import Start


class NormStep(NamedTuple):
    """Views of one step of the norms; see `LayerNormTape`."""

    n: Array
    r: Array
    n_c: Array
    r_c: Array


class LayerNormTape(Tape):
    """An LSTM's tape and ``n``, ``r`` of the gates' norm, ``n_c``, ``r_c`` of the cell's."""

    def __init__(self, T: int, B: int, H: int, dtype: np.dtype, cuts: Cuts) -> None:
        super().__init__(T, B, H, dtype, cuts)
        self.n = np.empty((T, 4, B, H), dtype).swapaxes(0, 1)  # a step's lie together
        self.r = np.empty((T, 4, B, 1), dtype).swapaxes(0, 1)
        self.n_c = np.empty((T, B, H), dtype)
        self.r_c = np.empty((T, B, 1), dtype)
        self.weights: tuple[Array, Array, bool] | None = None  # W_x, W_h; whether centred
        self.norms = [
            NormStep(self.n[:, t], self.r[:, t], self.n_c[t], self.r_c[t]) for t in range(T)
        ]


@cache
def _average(H: int, dtype: np.dtype) -> Array:
    """``a @ _average`` is the mean over H units, several times faster than ``np.mean`` on short
    rows.
    """
    return np.full((H, 1), 1.0 / H, dtype)


def centre(a: Array, out: Array) -> Array:
    """``a - mean(a)``, over the last axis."""
    np.subtract(a, a @ _average(a.shape[-1], a.dtype), out=out)
    return out


def scale(v: Array, epsilon: float, n: Array, r: Array) -> None:
    """As `normalise`, for ``v`` of mean 0."""
    np.matmul(np.multiply(v, v, out=n), _average(v.shape[-1], v.dtype), out=r)
    r += epsilon
    np.sqrt(r, out=r)
    np.reciprocal(r, out=r)
    np.multiply(v, r, out=n)


def normalise(a: Array, epsilon: float, n: Array, r: Array) -> None:
    """``n``: ``a`` with mean 0 and variance 1 over its last axis; ``r``: one over its deviation.

    ``a`` and ``n``: ``(..., B, H)``, ``r``: ``(..., B, 1)``. The variance is the biased one.
    Overwrites ``a``.
    """
    scale(centre(a, out=a), epsilon, n, r)


class NormBackward:
    """Carries gradients back through a norm, and sums those of its gain and shift on the way.

    ``gain``: ``(..., H)``; a step's gradients: ``(..., B, H)``.
    """

    def __init__(self, gain: Array, B: int) -> None:
        *gates, H = gain.shape
        self.gain = lanes_of(gain, B)
        self.gain_average = (gain / H)[..., np.newaxis]
        self.dgain, self.dshift = np.zeros_like(self.gain), np.zeros_like(self.gain)
        self._product = np.empty_like(self.gain)
        self._mean = np.empty((*gates, B, 1), gain.dtype)

    def scaled(self, dp: Array, n: Array, r: Array, out: Array) -> Array:
        """``dv`` in ``out``. Overwrites ``n``."""
        dp_n = np.multiply(dp, n, out=self._product)
        self.dgain += dp_n
        self.dshift += dp
        mean_dn_n = np.matmul(dp_n, self.gain_average, out=self._mean)
        dn = np.multiply(self.gain, dp, out=self._product)
        n *= mean_dn_n
        dn -= n
        return np.multiply(dn, r, out=out)

    def normalised(self, dp: Array, n: Array, r: Array, out: Array) -> Array:
        """``da`` in ``out``. Overwrites ``n``."""
        dv = self.scaled(dp, n, r, out)
        return centre(dv, out=dv)

    def finish(self, gain: Parameter, shift: Parameter) -> None:
        lanes = np.ones(self.gain.shape[-2], self.gain.dtype)
        np.matmul(lanes, self.dgain, out=gain.grad)
        np.matmul(lanes, self.dshift, out=shift.grad)


def lanes_of(parameter: Array, B: int) -> Array:
    """``(..., H)`` repeated to ``(..., B, H)``: it need not be stretched at every step."""
    *gates, H = parameter.shape
    return np.broadcast_to(parameter[..., np.newaxis, :], (*gates, B, H)).copy()


class LayerNormLSTM(Layer):
    """``gain`` and ``shift``: ``(4, H)``, gates in the order of ``gates.GATES``; ``gain_c`` and
    ``shift_c``: ``(H,)``.
    """

    tape_kind = LayerNormTape

    def __init__(
        self, input_size: int, hidden_size: int, rng: np.random.Generator, start: Start
    ) -> None:
        super().__init__(input_size, hidden_size, rng, TANH, start)
        self.forget_bias = start.forget_bias
        self.epsilon = start.norm_epsilon
        self.gain = Parameter(np.ones((4, hidden_size), start.dtype))
        self.shift = Parameter(np.zeros((4, hidden_size), start.dtype))
        self.gain_c = Parameter(np.ones(hidden_size, start.dtype))
        self.shift_c = Parameter(np.zeros(hidden_size, start.dtype))

    @staticmethod
    def shapes(D: int, H: int) -> dict[str, tuple[int, ...]]:
        """The parameters' shapes, known before any memory is taken."""
        norms: dict[str, tuple[int, ...]] = {"gain": (4, H), "shift": (4, H)}
        return {"W_x": (4, D, H), "W_h": (4, H, H)} | norms | {"gain_c": (H,), "shift_c": (H,)}

    def parameters(self) -> dict[str, Parameter]:
        return {
            "W_x": self.W_x,
            "W_h": self.W_h,
            "gain": self.gain,
            "shift": self.shift,
            "gain_c": self.gain_c,
            "shift_c": self.shift_c,
        }

    @gates_may_saturate()
    def forward(
        self, x: Input, state: State, tape: Tape, mask: Array | None = None
    ) -> tuple[Array, State]:
        assert isinstance(tape, LayerNormTape), "the tape of another cell"
        W_x, W_h, are_centred = tape.weights = self._weights(tape)
        times_W_h, u, epsilon = tape.times(W_h), tape.product, self.epsilon
        norm, bound = scale if are_centred else normalise, self.input_gate.bound
        gain, shift, gain_c, shift_c = self.gains_and_shifts(len(u), -1.0)
        tape.x, tape.mask = x, mask
        tape.h[0], tape.c[0] = state
        project(x, W_x, None, out=tape.gates, cuts=self.cuts)
        for t, (gates, o, i, f, g, c_prev, c, h_prev, h, s) in enumerate(tape.steps):
            n, r, n_c, r_c = tape.norms[t]
            a = times_W_h(h_prev)
            forget(tape.begins[t], a)
            a += gates
            norm(a, epsilon, n, r)
            p = np.multiply(gain, n, out=a)
            p += shift
            activate_negated(p, out=gates)
            bound(i, f, u)
            np.multiply(i, g, out=u)
            if mask is not None:
                u *= mask[t]
            np.multiply(f, c_prev, out=c)
            forget(tape.begins[t], c)
            u += c
            normalise(u, epsilon, n_c, r_c)
            np.multiply(gain_c, n_c, out=c)
            np.add(c, shift_c, out=c)
            np.tanh(c, out=s)
            np.multiply(o, s, out=h)
        return tape.h[1:], State(tape.h[-1].copy(), tape.c[-1].copy())

    def backward(
        self, dout: Array, tape: Tape, dstate: State | None = None
    ) -> tuple[Array | None, State]:
        assert isinstance(tape, LayerNormTape), "the tape of another cell"
        assert tape.weights is not None, "backward before forward"
        W_x, W_h, are_centred = tape.weights
        times_W_h_T, du = tape.times(W_h.transpose(0, 2, 1)), tape.product
        B, dp = dout.shape[1], tape.recurrent
        dp_o, dp_ifg = dp[0], dp[1:]
        norm, norm_c = NormBackward(self.gain.value, B), NormBackward(self.gain_c.value, B)
        back = norm.scaled if are_centred else norm.normalised
        dh, dc = self.zero_state(B) if dstate is None else map(np.copy, dstate)
        for start, stop in tape.blocks_from_the_end():
            tape.factors.compute(tape, start, stop, self.squash, self.input_gate)
            for t in range(stop - 1, start - 1, -1):
                dc_dh, dp_o_dh, dp_ifg_du = tape.factors.steps[t - start]
                n, r, n_c, r_c = tape.norms[t]
                step = tape.steps[t]
                dh += dout[t]
                dc += np.multiply(dh, dc_dh, out=du)
                norm_c.normalised(dc, n_c, r_c, out=du)
                np.multiply(du, step.f, out=dc)  # before da_f takes its place
                np.multiply(dh, dp_o_dh, out=dp_o)
                np.multiply(du, dp_ifg_du, out=dp_ifg)
                da = back(dp, n, r, out=step.gates)
                np.add.reduce(times_W_h_T(da), axis=0, out=dh)
                forget(tape.begins[t], dc)
                forget(tape.begins[t], dh)
        norm.finish(self.gain, self.shift)
        norm_c.finish(self.gain_c, self.shift_c)
        dW_x, dW_h = self.W_x.grad, self.W_h.grad
        dx = weight_gradients(tape, W_x, dW_x=dW_x, dW_h=dW_h, db=None)
        if are_centred:
            centre(dW_x, out=dW_x)
            centre(dW_h, out=dW_h)
        return dx, State(dh, dc)

    def _weights(self, tape: Tape) -> tuple[Array, Array, bool]:
        """W_x and W_h, and whether they are centred."""
        W_x, W_h = self.W_x.value, self.W_h.value
        T, B, H = tape.s.shape
        rows, rows_of_weights = T * B, W_x.shape[1] + H
        if rows < rows_of_weights:
            return W_x, W_h, False
        return centre(W_x, out=np.empty_like(W_x)), centre(W_h, out=np.empty_like(W_h)), True

    def gains_and_shifts(self, B: int, factor: float) -> list[Array]:
        """Of the gates, with the forget bias, and for `sigmoids_scaled` by ``factor``; of the cell.
        All of them for B lanes.
        """
        shift = self.shift.value.copy()
        shift[GATES.index("f")] += self.forget_bias
        of_gates = (sigmoids_scaled(p, factor) for p in (self.gain.value, shift))
        return [lanes_of(p, B) for p in (*of_gates, self.gain_c.value, self.shift_c.value)]
