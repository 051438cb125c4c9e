"""Layer-norm LSTM (Ba, Kiros & Hinton 2016, in the form of TensorFlow's LayerNormBasicLSTMCell).

    a  = x W_x + h_prev W_h             no bias: the shift of the norm takes its place
    p  = norm(a)                        each gate over its own H units; forget_bias added to p_f
    o, i, f = sigmoid(p_o, p_i, p_f)
    g  = tanh(p_g)
    i  = min(i, 1 - f)                  if it is capped, else as it is
    u  = f * c_prev + i * g * mask      recurrent dropout (Semeniuta et al. 2016), in training only
    c  = norm(u)                        the normalised cell is the one that is carried
    h  = o * s,   s = tanh(c)

    norm(a) = gain * n + shift,   n = (a - mean(a)) * r,   r = 1 / sqrt(var(a) + epsilon)

Backward; norm' carries a gradient dp back through a norm (the mean is over the H units):

    norm'(dp) = r * (gain * dp - mean(gain * dp) - n * mean(gain * dp * n))

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

The norm stands inside the recurrence in both directions, so the loops are its own. The factors
beside dh and du are those of the LSTM, and so is the code that computes them.

``epsilon`` bounds r. Float32 rounds a pre-activation of size 1 by 6e-8; where the units of a gate
nearly agree, an epsilon of 1e-12 lets r reach 1e6 and blows that rounding up to the size of the
signal. 1e-5, the default, keeps r below 320, and is a few thousandths of a typical variance at the
start.
"""

import numpy as np

from charlstm.nn.cuts import Cuts
from charlstm.nn.gates import GATES, TANH, activate
from charlstm.nn.lstm import Layer, State, Tape, forget, weight_gradients
from charlstm.nn.parameter import Array, Parameter
from charlstm.nn.projection import project
from charlstm.nn.start import Start


class LayerNormTape(Tape):
    """An LSTM's tape and ``n``, ``r`` of the gates' norm, ``n_c``, ``r_c`` of the cell's."""

    def __init__(self, T: int, B: int, H: int, dtype: np.dtype, cuts: Cuts) -> None:
        super().__init__(T, B, H, dtype, cuts)
        self.n = np.empty((4, T, B, H), dtype)
        self.r = np.empty((4, T, B, 1), dtype)
        self.n_c = np.empty((T, B, H), dtype)
        self.r_c = np.empty((T, B, 1), dtype)


def normalise(a: Array, epsilon: float, n: Array, r: Array) -> None:
    """``n``: ``a`` with mean 0 and variance 1 over its last axis; ``r``: one over its deviation.

    ``a`` and ``n``: ``(..., B, H)``, ``r``: ``(..., B, 1)``. The variance is the biased one.
    Means are products with a vector of 1/H, several times faster than ``np.mean`` on short rows.
    """
    H = a.shape[-1]
    average = np.full((H, 1), 1.0 / H, a.dtype)
    np.subtract(a, a @ average, out=n)
    np.matmul(n * n, average, out=r)
    r += epsilon
    np.sqrt(r, out=r)
    np.reciprocal(r, out=r)
    n *= r


class NormBackward:
    """Carries gradients back through a norm, and sums those of its gain and shift on the way.

    ``gain``: ``(..., H)``; a step's gradients: ``(..., B, H)``.
    """

    def __init__(self, gain: Array, B: int) -> None:
        *gates, H = gain.shape
        self.gain = gain[..., np.newaxis, :]
        self.gain_average = (gain / H)[..., np.newaxis]
        self.dgain = np.zeros((*gates, B, H), gain.dtype)
        self.dshift = np.zeros_like(self.dgain)
        self.dp_n = np.empty_like(self.dgain)

    def step(self, dp: Array, n: Array, r: Array) -> None:
        """``dp`` becomes ``da``. Overwrites ``n``."""
        dp_n = np.multiply(dp, n, out=self.dp_n)
        self.dgain += dp_n
        self.dshift += dp
        mean_dn, mean_dn_n = dp @ self.gain_average, dp_n @ self.gain_average
        dp *= self.gain
        dp -= mean_dn
        n *= mean_dn_n
        dp -= n
        dp *= r

    def finish(self, gain: Parameter, shift: Parameter) -> None:
        np.sum(self.dgain, axis=-2, out=gain.grad)
        np.sum(self.dshift, axis=-2, out=shift.grad)


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

    def forward(
        self, x: Array, state: State, tape: Tape, mask: Array | None = None
    ) -> tuple[Array, State]:
        assert isinstance(tape, LayerNormTape), "the tape of another cell"
        times_W_h, u, epsilon = tape.times(self.W_h.value), tape.product, self.epsilon
        gain, shift = self.gain.value[:, np.newaxis], self.shift.value[:, np.newaxis].copy()
        gain_c, shift_c, bound = self.gain_c.value, self.shift_c.value, self.input_gate.bound
        shift[GATES.index("f")] += self.forget_bias
        tape.x, tape.mask = x, mask
        tape.h[0], tape.c[0] = state
        project(x, self.W_x.value, None, out=tape.gates, cuts=self.cuts)
        for t, (gates, o, i, f, g, c_prev, c, h_prev, h, s) in enumerate(tape.steps):
            a = times_W_h(h_prev)
            forget(tape.begins[t], a)
            a += gates
            normalise(a, epsilon, tape.n[:, t], tape.r[:, t])
            p = np.multiply(gain, tape.n[:, t], out=a)
            p += shift
            activate(p, out=gates)
            bound(i, f, u)
            np.multiply(i, g, out=u)
            if mask is not None:
                u *= mask[t]
            np.multiply(f, c_prev, out=c)
            forget(tape.begins[t], c)
            u += c
            normalise(u, epsilon, tape.n_c[t], tape.r_c[t])
            np.multiply(gain_c, tape.n_c[t], out=c)
            np.add(c, shift_c, out=c)
            np.tanh(c, out=s)
            np.multiply(o, s, out=h)
        return tape.h[1:], State(tape.h[-1].copy(), tape.c[-1].copy())

    def backward(
        self, dout: Array, tape: Tape, dstate: State | None = None
    ) -> tuple[Array | None, State]:
        assert isinstance(tape, LayerNormTape), "the tape of another cell"
        B = dout.shape[1]
        times_W_h_T = tape.times(self.W_h.value.transpose(0, 2, 1))
        norm, norm_c = NormBackward(self.gain.value, B), NormBackward(self.gain_c.value, B)
        dh, dc = self.zero_state(B) if dstate is None else map(np.copy, dstate)
        for start, stop in tape.blocks_from_the_end():
            tape.factors.compute(tape, start, stop, self.squash, self.input_gate)
            for t in range(stop - 1, start - 1, -1):
                dc_dh, dp_o_dh, dp_ifg_du = tape.factors.steps[t - start]
                step = tape.steps[t]
                dp, dp_o, f = step.gates, step.o, step.f
                dh += dout[t]
                dc += dh * dc_dh
                du = dc
                norm_c.step(du, tape.n_c[t], tape.r_c[t])
                dc = du * f  # before dp_f takes its place
                np.multiply(dh, dp_o_dh, out=dp_o)
                np.multiply(du, dp_ifg_du, out=dp[1:])
                norm.step(dp, tape.n[:, t], tape.r[:, t])
                da = dp
                np.add.reduce(times_W_h_T(da), axis=0, out=dh)
                forget(tape.begins[t], dc)
                forget(tape.begins[t], dh)
        norm.finish(self.gain, self.shift)
        norm_c.finish(self.gain_c, self.shift_c)
        return weight_gradients(tape, self.W_x, self.W_h, None), State(dh, dc)
