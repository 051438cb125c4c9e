"""The page: weights, vocabulary and what a text goes through, with the scripts that use them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from charlstm import __version__
from charlstm.from_config import text_rules_of
from charlstm.messages import printable
from charlstm.nn.finite import finite_logits
from charlstm.nn.gates import GATES
from charlstm.nn.layer_norm_lstm import LayerNormLSTM
from charlstm.nn.model import CharLM
from charlstm.nn.parameter import Array
from charlstm.pages.packing import element
from charlstm.pages.template import asset, filled, script_json, source_hash
from charlstm.saved.checkpoint import LoadedModel
from charlstm.saved.run_folder import RunFolder
from charlstm.saved.writer.weights import coded_matrices, vectors

SCRIPTS = ("arrays.js", "lstm.js", "draws.js", "characters.js", "reader.js", "views.js", "main.js")


def page(loaded: LoadedModel, weights: str = "float16") -> str:
    """The HTML; ``weights``: a row of `weights.CODINGS`. The same model gives the same text.

    Raises `ConfigError` for weights that cannot be rounded so, `OverflowedError` for a model whose
    first scores are infinite.
    """
    model, start = loaded.model, loaded.vocabulary.default_start()[:, np.newaxis]
    finite_logits(model, start, model.zero_states(1), model.tape(len(start), 1))
    scripts = asset("charlstm.pages", "decode.js") + "".join(map(_file, SCRIPTS))
    script = f'\n"use strict";\n{scripts}'
    style = f"\n{_file('page.css')}"
    parts = {
        "policy": f"script-src {source_hash(script)}; style-src {source_hash(style)}",
        "style": style,
        "facts": script_json(_facts(loaded)),
        "data": "".join(_data(model, weights)),
        "script": script,
    }
    return filled(_file("page.html"), parts)


def _file(name: str) -> str:
    return asset("charlstm.saved.writer", name)


def _facts(loaded: LoadedModel) -> dict[str, Any]:
    shape, vocabulary = loaded.model.shape, loaded.vocabulary
    rules = text_rules_of(loaded.config)
    replacement = rules.replacement
    return {
        "version": __version__,
        "name": printable(_name(loaded.path)),
        "step": loaded.progress.step,
        "parameters": int(loaded.model.values.size),
        "cell": shape.cell,
        "inputGate": shape.input_gate,
        "layers": shape.layers,
        "skips": shape.skips,
        "units": shape.hidden_size,
        "epsilon": shape.norm_epsilon,
        "unit": vocabulary.unit,
        "codes": vocabulary.code_points.tolist(),
        "specials": vocabulary.specials,
        "starts": _starts(loaded),
        "end": None if rules.items is None else rules.items.end_id(vocabulary),
        "newlines": rules.newlines,
        "normalize": rules.normalize,
        "replacement": replacement if replacement and vocabulary.knows(replacement) else None,
    }


def _name(path: Path) -> str:
    """Of the run, whose folder may be the working directory; or of a file that is in none."""
    run = RunFolder(path.absolute().parent)
    if run.path.name == run.checkpoints.name:
        return run.path.parent.name
    return run.path.name if path.name == run.best.name else path.stem


def _starts(loaded: LoadedModel) -> list[dict[str, Any]]:
    """What is read before a text; one for each label, where items of a list have some."""
    vocabulary, items = loaded.vocabulary, text_rules_of(loaded.config).items
    if items is None:
        return [{"label": "", "ids": vocabulary.default_start().tolist()}]
    labels = vocabulary.labels or ("",)
    starts = zip(labels, items.start_ids(vocabulary), strict=True)
    return [{"label": label, "ids": [start]} for label, start in starts]


def _data(model: CharLM, weights: str) -> Iterator[str]:
    for name, (codes, scale) in coded_matrices(model, weights):
        yield element(name, codes.view(np.uint16) if scale is None else codes)
        if scale is not None:
            yield element(f"{name}-scale", scale.astype(np.float32))
    for name, vector in (vectors(model) | _shifts(model)).items():
        yield element(name, vector.astype(np.float32))


def _shifts(model: CharLM) -> dict[str, Array]:
    """With the bias of the forget gate, which a layer-norm cell adds when it runs."""
    shifts = {}
    for number, layer in enumerate(model.layers):
        if isinstance(layer, LayerNormLSTM):
            shift = layer.shift.value.copy()
            shift[GATES.index("f")] += layer.forget_bias
            shifts[f"lstm.{number}.shift"] = shift
    return shifts
