"""Gradient reach: how strongly the loss at a character depends on each character before it.

For a character j, the loss is -log p(j), which step j - 1 predicts. Its gradient with respect to
the input x of step j - 1 - s is carried back through s steps, and the length of that vector is the
saliency of the character s + 1 places before j. The input is the embedded vector or, without an
embedding, the one-hot vector itself.

Many characters are worked on side by side, each a lane. All lanes go back in step, so that what
they meet at one distance is a slice of one array over time. The equations are those of nn/lstm.py
and nn/layer_norm_lstm.py without the gradients of the parameters, which nobody asks for.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.look.cells.activations import ItemStarts, Piece, following
from charlstm.nn.cells import Layer, Tape
from charlstm.nn.gates import GATES
from charlstm.nn.layer_norm_lstm import LayerNormLSTM, LayerNormTape, NormBackward
from charlstm.nn.lstm import Factors
from charlstm.nn.model import CharLM
from charlstm.nn.parameter import Array
from charlstm.text.vocabulary import Ids

REACH = 64
LANES = 256  # their gradients should stay in a second-level cache
WORK = 6e11  # multiplications and additions to spend: some ten seconds on two cores


def affordable_interval(model: CharLM, characters: int, reach: int) -> int:
    """Every how many characters the reach can be computed within `WORK`."""
    weights = sum(
        parameter.value.size
        for name, parameter in model.parameters().items()
        if name.endswith((".W_x", ".W_h"))
    )
    return max(1, round(2.0 * weights * characters * reach / WORK))


class Saliency:
    """Fed with the pieces of a reading, in order.

    ``norms``: ``(targets, reach)``; row n belongs to the character ``positions[n]``, column s to
    the one s + 1 places before it. What lies before the text, or before the item, has 0.
    """

    def __init__(
        self,
        model: CharLM,
        ids: Ids,
        reach: int = REACH,
        interval: int = 1,
        items: ItemStarts | None = None,
    ) -> None:
        self.positions = np.arange(interval, len(ids), interval)
        self.norms = np.zeros((len(self.positions), reach), np.float32)
        self.interval = interval
        self._targets, self._reach = following(ids, items), reach
        self._begins = np.zeros(len(ids), bool) if items is None else items.begins
        self._model = model
        self._layers = [_LayerBackward(layer, reach) for layer in model.layers]

    def add(self, piece: Piece) -> None:
        for layer, tape in zip(self._layers, piece.tapes, strict=True):
            layer.remember(tape, self._begins[piece.start : piece.stop])
        first, stop = np.searchsorted(self.positions, [piece.start + 1, piece.stop + 1])
        for start in range(int(first), int(stop), LANES):
            lanes = slice(start, min(start + LANES, int(stop)))
            self._go_back(lanes, self.positions[lanes] - 1 - piece.start, piece.probabilities)

    def _go_back(self, lanes: slice, steps: Array, probabilities: Array) -> None:
        """``steps``: which step of the piece predicts each lane's character."""
        dlogits = probabilities[steps]
        dlogits[np.arange(len(steps)), self._targets[self.positions[lanes] - 1]] -= 1.0
        dtop = dlogits @ self._model.linear.W_y.value.T
        for layer in self._layers:
            layer.start(len(steps))
        for s in range(self._reach):
            rows = slice(
                int(steps[0]) + self._reach - s,
                int(steps[-1]) + self._reach - s + 1,
                self.interval,
            )
            dx = self._step_back(rows, dtop if s == 0 else np.zeros_like(dtop))
            self.norms[lanes, s] = np.sqrt(np.einsum("bd,bd->b", dx, dx))

    def _step_back(self, rows: slice, dtop: Array) -> Array:
        layers = self._layers
        dx = self._model.through_layers(dtop, lambda number, dh: layers[number].back(rows, dh))
        assert dx is not None, "a layer's step back gives the gradient of its input"
        return dx


class _Local(NamedTuple):
    """Local derivatives over time, ``(steps, ..., H)``: what multiplies dh and dc on the way.
    ``goes_on``: ``(steps, 1)``, 0 where something new begins.
    """

    dc_dh: Array
    da_o_dh: Array
    da_ifg_dc: Array
    f: Array
    goes_on: Array


class _Norms(NamedTuple):
    """The norms' ``n`` and ``r``, of a layer-norm cell: ``(steps, 4, .)``, and of its cell."""

    n: Array
    r: Array
    n_c: Array
    r_c: Array


class _LayerBackward:
    """A layer's gradients, dh and dc, on their way back; and the local derivatives they meet.

    Row ``reach`` of those belongs to the piece's first step; the rows before it to the steps
    before it, zero before the text begins: zero derivatives let no gradient through.
    """

    def __init__(self, layer: Layer, reach: int) -> None:
        self._layer, self._reach, self._H = layer, reach, layer.hidden_size
        to_h, to_x = (W.value.transpose(0, 2, 1) for W in (layer.W_h, layer.W_x))
        self._W_back = np.concatenate((to_h, to_x), axis=2).reshape(4 * self._H, -1)
        self._local: _Local | None = None
        self._norms: _Norms | None = None

    def remember(self, tape: Tape, begins: NDArray[np.bool_]) -> None:
        now = self._local_of(tape, begins)
        self._local = _Local(*_joined(self._local, now, self._reach))
        if isinstance(tape, LayerNormTape):
            self._norms = _Norms(*_joined(self._norms, _norms_of(tape), self._reach))

    def _local_of(self, tape: Tape, begins: NDArray[np.bool_]) -> _Local:
        steps = len(tape.s)
        factors = Factors(steps, 1, self._H, tape.s.dtype)
        factors.compute(tape, 0, steps, self._layer.squash, self._layer.input_gate)
        f = tape.gates[GATES.index("f"), :, 0].copy()
        da_ifg_dc = factors.da_ifg_dc[:, :, 0].transpose(1, 0, 2)
        goes_on = (~begins[:, np.newaxis]).astype(f.dtype)
        return _Local(factors.dc_dh[:, 0], factors.da_o_dh[:, 0], da_ifg_dc, f, goes_on)

    def start(self, lanes: int) -> None:
        shape, dtype = (lanes, self._H), self._W_back.dtype
        self._dh, self._dc = np.zeros(shape, dtype), np.zeros(shape, dtype)
        self._da = np.empty((lanes, 4, self._H), dtype)
        if isinstance(self._layer, LayerNormLSTM):
            self._norm = NormBackward(self._layer.gain.value, lanes)
            self._norm_c = NormBackward(self._layer.gain_c.value, lanes)

    def back(self, rows: slice, dabove: Array) -> Array:
        """One step back; ``dabove``: ``(lanes, H)``; returns dx ``(lanes, D)``."""
        assert self._local is not None, "back before remember"
        dc_dh, da_o_dh, da_ifg_dc, f, goes_on = (part[rows] for part in self._local)
        dh, dc, da = self._dh, self._dc, self._da
        dh += dabove
        dc += dh * dc_dh
        if self._norms is not None:
            self._norm_c.normalised(dc, self._norms.n_c[rows].copy(), self._norms.r_c[rows], out=dc)
        np.multiply(dh, da_o_dh, out=da[:, 0])
        np.multiply(dc[:, np.newaxis], da_ifg_dc, out=da[:, 1:])
        if self._norms is not None:
            n, r = (self._norms[k][rows].transpose(1, 0, 2) for k in (0, 1))
            by_gate = da.transpose(1, 0, 2)
            self._norm.normalised(by_gate, n.copy(), r, out=by_gate)
        dc *= f * goes_on
        back: Array = da.reshape(len(da), -1) @ self._W_back
        self._dh = back[:, : self._H] * goes_on
        return back[:, self._H :]


def _norms_of(tape: LayerNormTape) -> _Norms:
    n, r = tape.n[:, :, 0].transpose(1, 0, 2), tape.r[:, :, 0].transpose(1, 0, 2)
    return _Norms(n, r, tape.n_c[:, 0], tape.r_c[:, 0])


def _joined(before: Sequence[Array] | None, now: Sequence[Array], reach: int) -> list[Array]:
    """The last ``reach`` rows of what was before, or zeros, and the rows of now."""
    if before is None:
        before = [np.zeros((reach, *part.shape[1:]), part.dtype) for part in now]
    return [
        np.concatenate((old[len(old) - reach :], new)) for old, new in zip(before, now, strict=True)
    ]
