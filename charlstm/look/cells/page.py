"""The page: everything in one file, which asks the network for nothing.

Keeping six activations of every unit for every character would take hundreds of megabytes. The page
has h alone, in few levels, and the weights. A gate of a unit is a sum over h of the step before and
of the layer below, which the page works out when the unit is chosen; the cell follows from the
gates, corrected at every 64th step by the cell itself.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm import __version__
from charlstm.look.cells import glyphs
from charlstm.look.cells.activations import QUANTITIES, SIGMOIDS
from charlstm.look.cells.colours import LEVELS, style_sheet
from charlstm.look.cells.features import FEATURES
from charlstm.look.cells.findings import ANCHOR, Findings
from charlstm.look.cells.saturation import LEFT, RIGHT
from charlstm.look.cells.telling import MEASURE
from charlstm.nn.finite import quiet, require_finite
from charlstm.nn.gates import GATES
from charlstm.nn.layer_norm_lstm import LayerNormLSTM
from charlstm.nn.model import CharLM
from charlstm.nn.parameter import Array
from charlstm.pages.packing import element, levels
from charlstm.pages.template import asset, filled, script_json
from charlstm.text.vocabulary import Vocabulary

LARGEST = 38_000_000  # characters of data on a page, if 5 bits for each h can do it
BITS = (8, 7, 6, 5)
WEIGHT_HALF = 1023
ANCHOR_HALF = 32767
SALIENCY_STEPS = 16  # levels for a factor of two: 255 of them span nearly 16 such factors
SCRIPTS = ("network.js", "text.js", "card.js", "panels.js", "main.js")


@quiet()
def page(report: Findings, model: CharLM, vocabulary: Vocabulary, about: dict[str, Any]) -> str:
    """The HTML. ``about``: what to say of the checkpoint, ``name`` and ``step``."""
    scales: dict[str, Any] = {}
    data = "".join(_data(report, model, scales))
    facts = _facts(report, model, vocabulary)
    parts = {
        "style": style_sheet() + _file("page.css"),
        "facts": script_json(facts | {"scales": scales, "about": about}),
        "data": data,
        "script": asset("charlstm.pages", "decode.js") + "".join(map(_file, SCRIPTS)),
    }
    return filled(_file("page.html"), parts)


def _file(name: str) -> str:
    return asset("charlstm.look.cells", name)


def _facts(report: Findings, model: CharLM, vocabulary: Vocabulary) -> dict[str, Any]:
    text, shape, best = report.text, model.shape, report.table.best()
    in_text = glyphs.bytes_in_text if vocabulary.unit == "bytes" else glyphs.in_text
    reserved = glyphs.of_reserved(text.ids, vocabulary)
    shown = [reserved.get(place, sign) for place, sign in enumerate(in_text(text.characters))]
    begins = [] if text.items is None else np.flatnonzero(text.items.begins).tolist()
    return {
        "version": __version__,
        "text": {"name": text.name, "characters": shown, "cut": text.cut},
        "begins": begins,
        "end": text.items and text.items.end,
        "vocabulary": glyphs.of_vocabulary(vocabulary),
        "bitsPerChar": report.table.bits_per_char,
        "cell": shape.cell,
        "inputGate": shape.input_gate,
        "layers": shape.layers,
        "skips": shape.skips,
        "units": shape.hidden_size,
        "gates": GATES,
        "quantities": QUANTITIES,
        "sigmoids": SIGMOIDS,
        "levels": LEVELS,
        "measure": MEASURE,
        "features": [{"name": f.name, "definition": f.definition} for f in FEATURES],
        "cells": [cell.as_dict() for cell in report.table.cells],
        "best": best and [best.layer, best.unit],
        "saturation": report.saturation.round(3).tolist(),
        "saturated": [LEFT, RIGHT],
        "reach": report.saliency.norms.shape[1],
        "interval": report.saliency.interval,
        "saliencySteps": SALIENCY_STEPS,
        "input": "embedded" if shape.embedding_size else "one-hot",
        "anchor": ANCHOR,
    }


def _data(report: Findings, model: CharLM, scales: dict[str, Any]) -> Iterator[str]:
    fixed = [*_of_characters(report), *_of_layers(report, model, scales)]
    yield from fixed
    yield from _outputs(report.outputs, LARGEST - sum(map(len, fixed)), scales)


def _of_characters(report: Findings) -> Iterator[str]:
    largest = report.saliency.norms.max(axis=1, initial=0.0)
    yield element("ids", _small(report.text.ids))
    yield element("surprise", report.surprise)
    yield element("likeliest", _small(report.likeliest))
    yield element("probabilities", np.rint(report.probabilities * 65535).astype(np.uint16))
    yield element("saliency", saliency_codes(report.saliency.norms, largest))
    yield element("largest", largest.astype(np.float32))


def _small(ids: NDArray[np.integer[Any]]) -> Array:
    """There are more characters than 16 bits can number."""
    return ids.astype(np.uint16 if ids.max(initial=0) < 2**16 else np.uint32)


def saliency_codes(norms: Array, largest: Array) -> Array:
    """255 for the largest of a row, 16 less for each halving, 0 for nothing at all."""
    share = norms / np.where(largest > 0, largest, 1.0)[:, np.newaxis]
    with np.errstate(divide="ignore"):
        codes = np.rint(255 + SALIENCY_STEPS * np.log2(share))
    return np.where(share > 0, np.clip(codes, 1, 255), 0).astype(np.uint8)


def _of_layers(report: Findings, model: CharLM, scales: dict[str, Any]) -> Iterator[str]:
    scales["anchors"] = []
    for number, weights in enumerate(_weights(model)):
        affine = _affine(model, number)
        require_finite(model, weights, affine)
        reach = np.abs(weights).max(axis=2) / WEIGHT_HALF
        reach[reach == 0] = 1.0
        rounded = np.rint(weights / reach[:, :, np.newaxis]).astype(np.int16)
        yield element(f"weights-{number}", rounded)
        yield element(f"weight-scales-{number}", reach.astype(np.float32))
        yield element(f"affine-{number}", affine)
        anchors = report.anchors[number]
        scale = float(np.abs(anchors).max(initial=0.0)) / ANCHOR_HALF or 1.0
        scales["anchors"].append(scale)
        yield element(f"anchors-{number}", np.rint(anchors.T / scale).astype(np.int16))
    for number, norms in enumerate(report.norms):
        yield element(f"norms-{number}", norms.astype(np.float32))


def _weights(model: CharLM) -> Iterator[Array]:
    """Of each layer ``(H, 4, D + H)``: what a unit's gates take from below and from before.

    The first layer has a column for each character, embedded or not: D is V. So has, with skips,
    every other one, behind the columns of the layer below: D is H + V. A layer norm takes the mean
    over the units away; taken from the weights, it need not be known at each step.
    """
    for number, layer in enumerate(model.layers):
        W_x, W_h = layer.W_x.value, layer.W_h.value
        if model.embedding is not None and (number == 0 or model.shape.skips):
            below = layer.hidden_size if number else 0
            of_characters = model.embedding.E.value @ W_x[:, below:]
            W_x = np.concatenate((W_x[:, :below], of_characters), axis=1)
        both = np.concatenate((W_x, W_h), axis=1)
        if isinstance(layer, LayerNormLSTM):
            both = both - both.mean(axis=2, keepdims=True)
        yield np.ascontiguousarray(both.transpose(2, 0, 1))


def _affine(model: CharLM, number: int) -> Array:
    """``(10, H)``: gain and shift of each gate's pre-activation; gain and shift of the cell."""
    layer = model.layers[number]
    H = layer.hidden_size
    if isinstance(layer, LayerNormLSTM):
        shift = layer.shift.value.copy()
        shift[GATES.index("f")] += layer.forget_bias
        gain, gain_c, shift_c = layer.gain.value, layer.gain_c.value, layer.shift_c.value
    else:
        shift = layer.parameters()["b"].value
        gain, gain_c, shift_c = np.ones((4, H)), np.ones(H), np.zeros(H)
    rows = np.concatenate((gain, shift, gain_c[np.newaxis], shift_c[np.newaxis]))
    return rows.astype(np.float32)


def _outputs(outputs: list[Array], room: int, scales: dict[str, Any]) -> list[str]:
    """The outputs of all layers, in as many levels as there is room for."""
    elements: list[str] = []
    for bits in BITS:
        coded = [levels(h, bits) for h in outputs]
        elements = [element(f"h-{number}", codes) for number, (codes, _) in enumerate(coded)]
        scales |= {"h": [scale.tolist() for _, scale in coded]}
        scales |= {"half": 2 ** (bits - 1) - 1, "bits": bits}
        if sum(map(len, elements)) <= room:
            break
    return elements
