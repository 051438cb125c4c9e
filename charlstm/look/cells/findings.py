"""One pass over a text, and all that a page shows of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlstm.look.cells.activations import Piece, activations, read
from charlstm.look.cells.features import measured_apart
from charlstm.look.cells.saliency import REACH, Saliency, affordable_interval
from charlstm.look.cells.saturation import Saturation
from charlstm.look.cells.telling import Correlations, TellingCell, rank
from charlstm.look.cells.text import Text
from charlstm.nn.finite import quiet, require_finite
from charlstm.nn.layer_norm_lstm import LayerNormTape
from charlstm.nn.lstm import forget_all
from charlstm.nn.model import CharLM
from charlstm.nn.parameter import Array

NATS_PER_BIT = float(np.log(2.0))
LIKELIEST = 5
ANCHOR = 64  # every so many steps the cells themselves are kept


@dataclass(frozen=True)
class Table:
    """The telling cells, and how well the model predicts the text."""

    cells: list[TellingCell]
    bits_per_char: float

    def best(self, layer: int | None = None, unit: int | None = None) -> TellingCell | None:
        """The cell of the strongest correlation with any feature; of these only, if given."""
        fitting = (
            cell for cell in self.cells if layer in (None, cell.layer) and unit in (None, cell.unit)
        )
        return max(fitting, key=lambda cell: abs(cell.correlation), default=None)


@dataclass(frozen=True)
class Findings:
    """T characters, L layers of H units.

    ``surprise``: ``(T,)`` bits, NaN for the first. ``likeliest``: ids ``(T, 5)`` of the next
    character, with ``probabilities``. ``saturation``: ``(L, 3, 2, H)``. ``outputs``: h of each
    layer, ``(H, T)``. ``anchors``: c of each layer after every 64th step, ``(T // 64, H)``.
    ``norms``: of layer-norm cells and each layer, ``(6, T)``: r of the four gates, mean of the
    cell and its r.
    """

    text: Text
    table: Table
    surprise: Array
    likeliest: NDArray[np.intp]
    probabilities: Array
    saturation: NDArray[np.float64]
    outputs: list[Array]
    anchors: list[Array]
    norms: list[Array]
    saliency: Saliency


@quiet()
def table_of(model: CharLM, text: Text) -> Table:
    """The telling cells alone: what ``--json`` and ``--terminal`` need."""
    correlations, nats = _correlations(model, text), 0.0
    for piece in read(model, text.ids, items=text.items):
        correlations.add(piece.start, _cells(piece))
        nats += float(np.nansum(piece.losses, dtype=np.float64))
    return _table(model, text, correlations, nats)


@quiet()
def findings_of(model: CharLM, text: Text, reach: int = REACH) -> Findings:
    T, L, H = len(text.ids), model.shape.layers, model.shape.hidden_size
    dtype = model.values.dtype
    correlations = _correlations(model, text)
    saturation = Saturation(L, H)
    interval = affordable_interval(model, T, reach)
    saliency = Saliency(model, text.ids, reach, interval, text.items)
    surprise = np.full(T + 1, np.nan, np.float32)
    shown = min(LIKELIEST, model.shape.vocabulary_size)
    likeliest = np.empty((T, shown), np.intp)
    probabilities = np.empty((T, shown), np.float32)
    outputs = [np.empty((H, T), dtype) for _ in range(L)]
    anchors: list[list[Array]] = [[] for _ in range(L)]
    norms: list[list[Array]] = [[] for _ in range(L)]
    for piece in read(model, text.ids, items=text.items):
        steps = slice(piece.start, piece.stop)
        correlations.add(piece.start, _cells(piece))
        saturation.add(piece.tapes)
        saliency.add(piece)
        surprise[piece.start + 1 : piece.stop + 1] = piece.losses / NATS_PER_BIT
        likeliest[steps] = np.argsort(-piece.probabilities, axis=1, kind="stable")[:, :shown]
        probabilities[steps] = np.take_along_axis(piece.probabilities, likeliest[steps], axis=1)
        for layer, tape in enumerate(piece.tapes):
            outputs[layer][:, steps] = tape.h[1:, 0].T
            anchors[layer].append(tape.c[ANCHOR::ANCHOR, 0].copy())
            if isinstance(tape, LayerNormTape):
                norms[layer].append(_norms(tape))
    require_finite(model, saliency.norms)
    nats = float(np.nansum(surprise[:T], dtype=np.float64)) * NATS_PER_BIT
    return Findings(
        text=text,
        table=_table(model, text, correlations, nats),
        surprise=surprise[:T],
        likeliest=likeliest,
        probabilities=probabilities,
        saturation=saturation.fractions(),
        outputs=outputs,
        anchors=[np.concatenate(parts) for parts in anchors],
        norms=[np.concatenate(parts, axis=1) for parts in norms if parts],
        saliency=saliency,
    )


def _correlations(model: CharLM, text: Text) -> Correlations:
    units = model.shape.layers * model.shape.hidden_size
    return Correlations(measured_apart(text.parts()), units)


def _cells(piece: Piece) -> Array:
    """tanh(c) of all layers side by side: ``(steps, L * H)``."""
    return np.concatenate([activations(tape, "c") for tape in piece.tapes], axis=1)


def _table(model: CharLM, text: Text, correlations: Correlations, nats: float) -> Table:
    cells = rank(correlations.result(), model.shape.hidden_size)
    return Table(cells, nats / NATS_PER_BIT / (len(text.ids) - 1))


def _norms(tape: LayerNormTape) -> Array:
    """``(6, steps)``: the four gates' r; the mean of u = f c_prev + i g, and the r of its norm."""
    _, i, f, g = tape.gates
    kept = f * tape.c[:-1]
    forget_all(tape.begun, kept)
    mean = (kept + i * g)[:, 0].mean(axis=1)
    return np.concatenate((tape.r[:, :, 0, 0], mean[np.newaxis], tape.r_c[np.newaxis, :, 0, 0]))
