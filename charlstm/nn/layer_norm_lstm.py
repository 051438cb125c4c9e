"""Layer-norm LSTM (Ba, Kiros & Hinton 2016, in the form of TensorFlow's LayerNormBasicLSTMCell).

    a  = x W_x + h_prev W_h             no bias: the shift of the norm takes its place
    p  = norm(a)                        each gate over its own H units; forget_bias added to p_f
    o, i, f = sigmoid(p_o, p_i, p_f)
    g  = tanh(p_g)
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

from charlstm.nn.gates import GATES, TANH, activate
from charlstm.nn.lstm import State, Tape, weight_gradients
from charlstm.nn.parameter import Array, Parameter, uniform
from charlstm.nn.projection import project


class LayerNormTape(Tape):
    """An LSTM's tape and ``n``, ``r`` of the gates' norm, ``n_c``, ``r_c`` of the cell's."""

    def __init__(self, T: int, B: int, H: int, dtype: np.dtype) -> None:
        super().__init__(T, B, H, dtype)
        self.n = np.empty((4, T, B, H), dtype)
        self.r = np.empty((4, T, B, 1), dtype)
        self.n_c = np.empty((T, B, H), dtype)
        self.r_c = np.empty((T, B, 1), dtype)
        self.mask: Array | None = None  # (T, B, H), or None: nothing is dropped


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


class LayerNormLSTM:
    """A layer of H units. ``W_x``: ``(4, D, H)``, ``W_h``: ``(4, H, H)``, ``gain`` and ``shift``:
    ``(4, H)``, gates in the order of ``gates.GATES``; ``gain_c`` and ``shift_c``: ``(H,)``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        rng: np.random.Generator,
        *,
        input_reach: float | None = None,
        forget_bias: float = 1.0,
        epsilon: float = 1e-5,
        dtype: type = np.float32,
    ) -> None:
        self.hidden_size = hidden_size
        self.forget_bias = forget_bias
        self.epsilon = epsilon
        shapes = self.shapes(input_size, hidden_size)
        reach = 1.0 / np.sqrt(hidden_size)
        self.W_x = Parameter(uniform(rng, shapes["W_x"], input_reach or reach, dtype))
        self.W_h = Parameter(uniform(rng, shapes["W_h"], reach, dtype))
        self.gain = Parameter(np.ones(shapes["gain"], dtype))
        self.shift = Parameter(np.zeros(shapes["shift"], dtype))
        self.gain_c = Parameter(np.ones(shapes["gain_c"], dtype))
        self.shift_c = Parameter(np.zeros(shapes["shift_c"], dtype))

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

    def tape(self, T: int, B: int) -> LayerNormTape:
        return LayerNormTape(T, B, self.hidden_size, self.gain.value.dtype)

    def zero_state(self, B: int) -> State:
        shape, dtype = (B, self.hidden_size), self.gain.value.dtype
        return State(np.zeros(shape, dtype), np.zeros(shape, dtype))

    def forward(self, x: Array, state: State, tape: LayerNormTape) -> tuple[Array, State]:
        """``(T, B, D)`` or ids ``(T, B)`` to ``(T, B, H)``, a view of the tape; new state."""
        W_h = tape.tiling.right(self.W_h.value)
        epsilon, mask = self.epsilon, tape.mask
        gain, shift = self.gain.value[:, np.newaxis], self.shift.value[:, np.newaxis].copy()
        gain_c, shift_c = self.gain_c.value, self.shift_c.value
        shift[GATES.index("f")] += self.forget_bias
        recurrent, u = tape.recurrent, tape.product
        tape.x = x
        tape.h[0], tape.c[0] = state
        project(x, self.W_x.value, None, out=tape.gates)
        for t, (p, o, i, f, g, c_prev, c, h, s, _, h_prev_tiles) in enumerate(tape.steps):
            np.matmul(h_prev_tiles, W_h, out=tape.recurrent_tiles)
            recurrent += p
            normalise(recurrent, epsilon, tape.n[:, t], tape.r[:, t])
            np.multiply(gain, tape.n[:, t], out=recurrent)
            np.add(recurrent, shift, out=recurrent)
            activate(recurrent, out=p)
            np.multiply(i, g, out=u)
            if mask is not None:
                u *= mask[t]
            np.multiply(f, c_prev, out=c)
            u += c
            normalise(u, epsilon, tape.n_c[t], tape.r_c[t])
            np.multiply(gain_c, tape.n_c[t], out=c)
            np.add(c, shift_c, out=c)
            np.tanh(c, out=s)
            np.multiply(o, s, out=h)
        return tape.h[1:], State(tape.h[-1].copy(), tape.c[-1].copy())

    def backward(
        self, dout: Array, tape: LayerNormTape, dstate: State | None = None
    ) -> tuple[Array | None, State]:
        """``dout``: ``(T, B, H)``; returns dx (None for one-hot x) and the gradient of the first
        state. Writes the parameters' ``grad``. ``dstate``: as in ``LSTM.backward``.
        """
        B = dout.shape[1]
        W_h_T = tape.tiling.right(self.W_h.value.transpose(0, 2, 1))
        norm, norm_c = NormBackward(self.gain.value, B), NormBackward(self.gain_c.value, B)
        dh, dc = self.zero_state(B) if dstate is None else map(np.copy, dstate)
        for start, stop in tape.blocks_from_the_end():
            self._compute_factors(tape, start, stop)
            for t in range(stop - 1, start - 1, -1):
                dc_dh, dp_o_dh, dp_ifg_du = tape.factors.steps[t - start]
                dp, dp_o, f = tape.steps[t].a, tape.steps[t].o, tape.steps[t].f
                dh += dout[t]
                dc += dh * dc_dh
                du = dc
                norm_c.step(du, tape.n_c[t], tape.r_c[t])
                dc = du * f  # before dp_f takes its place
                np.multiply(dh, dp_o_dh, out=dp_o)
                np.multiply(du, dp_ifg_du, out=dp[1:])
                norm.step(dp, tape.n[:, t], tape.r[:, t])
                np.matmul(tape.steps[t].a_tiles, W_h_T, out=tape.recurrent_tiles)
                np.add.reduce(tape.recurrent, axis=0, out=dh)
        norm.finish(self.gain, self.shift)
        norm_c.finish(self.gain_c, self.shift_c)
        return weight_gradients(tape, self.W_x, self.W_h, None), State(dh, dc)

    def _compute_factors(self, tape: LayerNormTape, start: int, stop: int) -> None:
        tape.factors.compute(tape, start, stop, TANH)
        if tape.mask is not None:
            i, _, g = tape.factors.da_ifg_dc[:, : stop - start]
            i *= tape.mask[start:stop]
            g *= tape.mask[start:stop]
