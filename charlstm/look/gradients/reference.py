"""One step of each cell, forward and backward, written to be read.

This is the arithmetic of ``nn/`` once more: row vectors, every gate by itself, no buffers, nothing
clever. The tests hold the two equal; docs/derivation.md goes through it line by line.

``w`` holds a layer's parameters gate by gate: ``w.W_ix`` ``(D, H)`` leads from the input to gate i,
``w.W_ih`` ``(H, H)`` from the state. ``q`` holds what the forward pass of one step computes, ``d``
the gradients of the loss with respect to it: ``d.di`` belongs to ``q.i``. All are ``(H,)`` but the
input x ``(D,)``. ``dh_above`` arrives from the layer above, ``dh_next`` and ``dc_next`` from the
step after; ``dh_prev`` and ``dc_prev`` leave for the step before. A backward step also takes N
gradients at once, ``(N, H)``.
"""

from types import SimpleNamespace

import numpy as np

from charlstm.nn.parameter import Array

Named = dict[str, Array]


class Weights(SimpleNamespace):
    """Parameters by name."""


class Quantities(SimpleNamespace):
    """Arrays by name, in the order in which they were computed."""


def sigmoid(a: Array) -> Array:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * a)))


# The cell lstm, and simple, which lets c out as it is ---------------------------------------------


def lstm_forward(w: Weights, x: Array, h_prev: Array, c_prev: Array) -> Quantities:
    q = Quantities(x=x, h_prev=h_prev, c_prev=c_prev)
    q.a_i = x @ w.W_ix + h_prev @ w.W_ih + w.b_i
    q.a_f = x @ w.W_fx + h_prev @ w.W_fh + w.b_f
    q.a_o = x @ w.W_ox + h_prev @ w.W_oh + w.b_o
    q.a_g = x @ w.W_gx + h_prev @ w.W_gh + w.b_g
    q.i = sigmoid(q.a_i)
    q.f = sigmoid(q.a_f)
    q.o = sigmoid(q.a_o)
    q.g = np.tanh(q.a_g)
    q.i = np.minimum(q.i, 1.0 - q.f) if w.is_capped else q.i
    q.c = q.f * c_prev + q.i * q.g
    q.s = q.c if w.is_simple else np.tanh(q.c)
    q.h = q.o * q.s
    return q


def lstm_backward(
    w: Weights, q: Quantities, dh_above: Array, dh_next: Array, dc_next: Array
) -> Quantities:
    d = Quantities(dh_above=dh_above, dh_next=dh_next)
    d.dh = dh_above + dh_next
    d.do = d.dh * q.s
    d.dc_next = dc_next
    d.ds = d.dh * q.o
    d.dc = dc_next + (d.ds if w.is_simple else d.ds * (1.0 - q.s**2))
    d.dg = d.dc * q.i
    d.df = d.dc * q.c_prev
    d.di = d.dc * q.g
    d.di, d.df = through_the_cap(q, d) if w.is_capped else (d.di, d.df)
    d.da_g = d.dg * (1.0 - q.g**2)
    d.da_f = d.df * q.f * (1.0 - q.f)
    d.da_i = d.di * q.i * (1.0 - q.i)
    d.da_o = d.do * q.o * (1.0 - q.o)
    through_the_matrices(w, d)
    d.dc_prev = d.dc * q.f
    return d


def through_the_cap(q: Quantities, d: Quantities) -> tuple[Array, Array]:
    to_f = np.where(q.i < 1.0 - q.f, 0.0, d.di)
    return d.di - to_f, d.df - to_f


def through_the_matrices(w: Weights, d: Quantities) -> None:
    d.dx = d.da_i @ w.W_ix.T + d.da_f @ w.W_fx.T + d.da_o @ w.W_ox.T + d.da_g @ w.W_gx.T
    d.dh_prev = d.da_i @ w.W_ih.T + d.da_f @ w.W_fh.T + d.da_o @ w.W_oh.T + d.da_g @ w.W_gh.T


def matrix_gradients(q: Quantities, d: Quantities) -> Named:
    return {
        "W_ix": np.outer(q.x, d.da_i),
        "W_fx": np.outer(q.x, d.da_f),
        "W_ox": np.outer(q.x, d.da_o),
        "W_gx": np.outer(q.x, d.da_g),
        "W_ih": np.outer(q.h_prev, d.da_i),
        "W_fh": np.outer(q.h_prev, d.da_f),
        "W_oh": np.outer(q.h_prev, d.da_o),
        "W_gh": np.outer(q.h_prev, d.da_g),
    }


def lstm_gradients(q: Quantities, d: Quantities) -> Named:
    """What this step adds to the gradient of each parameter."""
    biases = {"b_i": d.da_i, "b_f": d.da_f, "b_o": d.da_o, "b_g": d.da_g}
    return matrix_gradients(q, d) | biases


# The cell layer-norm ------------------------------------------------------------------------------


def layer_norm_forward(w: Weights, x: Array, h_prev: Array, c_prev: Array) -> Quantities:
    q = Quantities(x=x, h_prev=h_prev, c_prev=c_prev)
    q.a_i = x @ w.W_ix + h_prev @ w.W_ih
    q.a_f = x @ w.W_fx + h_prev @ w.W_fh
    q.a_o = x @ w.W_ox + h_prev @ w.W_oh
    q.a_g = x @ w.W_gx + h_prev @ w.W_gh
    q.n_i, q.r_i = normalise(q.a_i, w.epsilon)
    q.n_f, q.r_f = normalise(q.a_f, w.epsilon)
    q.n_o, q.r_o = normalise(q.a_o, w.epsilon)
    q.n_g, q.r_g = normalise(q.a_g, w.epsilon)
    q.p_i = w.gain_i * q.n_i + w.shift_i
    q.p_f = w.gain_f * q.n_f + w.shift_f + w.forget_bias
    q.p_o = w.gain_o * q.n_o + w.shift_o
    q.p_g = w.gain_g * q.n_g + w.shift_g
    q.i = sigmoid(q.p_i)
    q.f = sigmoid(q.p_f)
    q.o = sigmoid(q.p_o)
    q.g = np.tanh(q.p_g)
    q.i = np.minimum(q.i, 1.0 - q.f) if w.is_capped else q.i
    q.u = q.f * c_prev + q.i * q.g
    q.n_c, q.r_c = normalise(q.u, w.epsilon)
    q.c = w.gain_c * q.n_c + w.shift_c
    q.s = np.tanh(q.c)
    q.h = q.o * q.s
    return q


def normalise(a: Array, epsilon: float) -> tuple[Array, Array]:
    r = 1.0 / np.sqrt(a.var() + epsilon)
    n = (a - a.mean()) * r
    return n, r


def layer_norm_backward(
    w: Weights, q: Quantities, dh_above: Array, dh_next: Array, dc_next: Array
) -> Quantities:
    d = Quantities(dh_above=dh_above, dh_next=dh_next)
    d.dh = dh_above + dh_next
    d.do = d.dh * q.s
    d.dc_next = dc_next
    d.ds = d.dh * q.o
    d.dc = dc_next + d.ds * (1.0 - q.s**2)
    d.du = normalise_backward(d.dc * w.gain_c, q.n_c, q.r_c)
    d.dg = d.du * q.i
    d.df = d.du * q.c_prev
    d.di = d.du * q.g
    d.di, d.df = through_the_cap(q, d) if w.is_capped else (d.di, d.df)
    d.dp_g = d.dg * (1.0 - q.g**2)
    d.dp_f = d.df * q.f * (1.0 - q.f)
    d.dp_i = d.di * q.i * (1.0 - q.i)
    d.dp_o = d.do * q.o * (1.0 - q.o)
    d.da_g = normalise_backward(d.dp_g * w.gain_g, q.n_g, q.r_g)
    d.da_f = normalise_backward(d.dp_f * w.gain_f, q.n_f, q.r_f)
    d.da_i = normalise_backward(d.dp_i * w.gain_i, q.n_i, q.r_i)
    d.da_o = normalise_backward(d.dp_o * w.gain_o, q.n_o, q.r_o)
    through_the_matrices(w, d)
    d.dc_prev = d.du * q.f
    return d


def normalise_backward(dn: Array, n: Array, r: Array) -> Array:
    mean_dn = dn.mean(axis=-1, keepdims=True)
    mean_dn_n = (dn * n).mean(axis=-1, keepdims=True)
    return np.asarray(r * (dn - mean_dn - n * mean_dn_n))


def layer_norm_gradients(q: Quantities, d: Quantities) -> Named:
    return matrix_gradients(q, d) | {
        "gain_i": d.dp_i * q.n_i,
        "gain_f": d.dp_f * q.n_f,
        "gain_o": d.dp_o * q.n_o,
        "gain_g": d.dp_g * q.n_g,
        "shift_i": d.dp_i,
        "shift_f": d.dp_f,
        "shift_o": d.dp_o,
        "shift_g": d.dp_g,
        "gain_c": d.dc * q.n_c,
        "shift_c": d.dc,
    }


# Characters in, loss out --------------------------------------------------------------------------


def output_forward(w: Weights, h: Array, target: int) -> Quantities:
    q = Quantities(logits=h @ w.W_y + w.b_y)
    e = np.exp(q.logits - q.logits.max())
    q.probabilities = e / e.sum()
    q.probability = q.probabilities[target]
    q.loss = np.log(e.sum()) - (q.logits[target] - q.logits.max())
    return q


def output_backward(w: Weights, q: Quantities, h: Array, target: int) -> Quantities:
    d = Quantities(dlogits=q.probabilities.copy())
    d.dlogits[target] -= 1.0
    d.dW_y = np.outer(h, d.dlogits)
    d.db_y = d.dlogits
    d.dh_from_loss = d.dlogits @ w.W_y.T
    return d
