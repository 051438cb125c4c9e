"""Our parameters under PyTorch's names and in its layout, and back.

    weight_ih_l{k}  (4H, D)   W_x of layer k, each gate's matrix transposed, gates below each other
    weight_hh_l{k}  (4H, H)   W_h, likewise
    bias_ih_l{k}    (4H,)     b
    bias_hh_l{k}    (4H,)     zeros: PyTorch adds two biases where one is enough
    embedding.weight  (V, E)  E, if there is one; else the input is one-hot and D is V
    linear.weight     (V, H)  W_y transposed;  linear.bias  (V,)  b_y

The gates are in the order i, f, g, o there. PyTorch's names for the layers of an ``nn.LSTM`` are
fixed; those of the modules are anybody's choice, ours being ``lstm``, ``embedding``, ``linear``.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from charlstm.errors import FileError
from charlstm.messages import shorten
from charlstm.nn.gates import GATES
from charlstm.nn.parameter import Array

TORCH_GATES = ("i", "f", "g", "o")
_TO_TORCH = [GATES.index(gate) for gate in TORCH_GATES]
_FROM_TORCH = [TORCH_GATES.index(gate) for gate in GATES]
_FIRST = "weight_ih_l0"
_OF_LSTM = ("weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l")
_OF_OTHER_LSTMS = {
    re.compile(r"\w+_l\d+_reverse"): "is bidirectional; a character model reads in one direction",
    re.compile(r"weight_hr_l\d+"): "has projections (proj_size), for which there is no place here",
}


class Sizes(NamedTuple):
    """What the arrays say about a model; ``embedding_size`` is 0 for one-hot input."""

    vocabulary_size: int
    layers: int
    hidden_size: int
    embedding_size: int


def to_torch(parameters: Mapping[str, Array], layers: int) -> dict[str, Array]:
    """The ``state_dict`` of a module with ``lstm``, ``linear`` and perhaps ``embedding``."""
    named = {}
    for k in range(layers):
        W_x, W_h, b = (parameters[f"lstm.{k}.{name}"] for name in ("W_x", "W_h", "b"))
        named[f"lstm.weight_ih_l{k}"] = _rows(W_x)
        named[f"lstm.weight_hh_l{k}"] = _rows(W_h)
        named[f"lstm.bias_ih_l{k}"] = b[_TO_TORCH].reshape(-1)
        named[f"lstm.bias_hh_l{k}"] = np.zeros(b.size, b.dtype)
    return _with_what_is_around(named, parameters)


def to_module(parameters: Mapping[str, Array], layers: int) -> dict[str, Array]:
    """As `to_torch`, for the modules of `torch_module`, whose layers have our own arrays."""
    of_layers = tuple(f"lstm.{k}." for k in range(layers))
    named = {name: array for name, array in parameters.items() if name.startswith(of_layers)}
    return _with_what_is_around(named, parameters)


def _with_what_is_around(
    layers: Mapping[str, Array], parameters: Mapping[str, Array]
) -> dict[str, Array]:
    before = {"embedding.weight": parameters.get("embedding.E")}
    after = {"linear.weight": parameters["linear.W_y"].T, "linear.bias": parameters["linear.b_y"]}
    named = (before | dict(layers) | after).items()
    return {name: np.ascontiguousarray(array) for name, array in named if array is not None}


def from_torch(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], Sizes]:
    """Our parameters. Whatever its modules are called, the LSTM is recognised by its arrays, the
    linear layer by having a bias, and the embedding by having none.

    Raises `FileError` for what is no character model of ours: several or bidirectional LSTMs,
    projections, arrays missing, too many or of the wrong shape.
    """
    lstm = _lstm_of(arrays)
    _check_kind(arrays, lstm)
    others = [name for name in arrays if not name.startswith(tuple(lstm + n for n in _OF_LSTM))]
    linear = _only((n for n in others if n.endswith(".bias")), "linear layer (a bias)")
    linear = linear.removesuffix("bias")
    embedding = [n for n in others if n not in (f"{linear}weight", f"{linear}bias")]
    sizes = _sizes(arrays, lstm, linear, embedding)
    _check_shapes(arrays, _expected(sizes, lstm, linear, embedding))

    named = {"embedding.E": arrays[embedding[0]]} if embedding else {}
    for k in range(sizes.layers):
        named[f"lstm.{k}.W_x"] = _gates(arrays[f"{lstm}weight_ih_l{k}"])
        named[f"lstm.{k}.W_h"] = _gates(arrays[f"{lstm}weight_hh_l{k}"])
        with np.errstate(over="ignore"):  # the sum is looked at
            b = arrays[f"{lstm}bias_ih_l{k}"] + arrays[f"{lstm}bias_hh_l{k}"]
        named[f"lstm.{k}.b"] = b.reshape(4, -1)[_FROM_TORCH]
    named["linear.W_y"] = arrays[f"{linear}weight"].T
    named["linear.b_y"] = arrays[f"{linear}bias"]
    return named, sizes


def reorder_characters(parameters: Mapping[str, Array], order: Array) -> dict[str, Array]:
    """The same model with the character ``order[k]`` as number ``k``."""
    named = dict(parameters)
    if "embedding.E" in named:
        named["embedding.E"] = named["embedding.E"][order]
    else:
        named["lstm.0.W_x"] = named["lstm.0.W_x"][:, order]
    named["linear.W_y"] = named["linear.W_y"][:, order]
    named["linear.b_y"] = named["linear.b_y"][order]
    return named


def _rows(W: Array) -> Array:
    """``(4, D, H)`` to ``(4H, D)``."""
    return W[_TO_TORCH].transpose(0, 2, 1).reshape(-1, W.shape[1])


def _gates(weight: Array) -> Array:
    """``(4H, D)`` to ``(4, D, H)``."""
    return weight.reshape(4, -1, weight.shape[1])[_FROM_TORCH].transpose(0, 2, 1)


def _lstm_of(arrays: Mapping[str, Array]) -> str:
    """What stands before the names of the LSTM's arrays: its module's name and a dot."""
    firsts = (n.removesuffix(_FIRST) for n in arrays if n.split(".")[-1] == _FIRST)
    return _only(firsts, f"LSTM (an array {_FIRST})")


def _check_kind(arrays: Mapping[str, Array], lstm: str) -> None:
    for name in arrays:
        for pattern, kind in _OF_OTHER_LSTMS.items():
            if name.startswith(lstm) and pattern.fullmatch(name.removeprefix(lstm)):
                raise FileError(f"the LSTM of array {shorten(name)} {kind}")


def _only(names: Iterable[str], what: str) -> str:
    found = list(names)
    if len(found) != 1:
        raise FileError(f"expected one {what}, found {len(found)}: {shorten(found)}")
    return found[0]


def _sizes(arrays: Mapping[str, Array], lstm: str, linear: str, embedding: list[str]) -> Sizes:
    if len(embedding) > 1:
        raise FileError(f"unexpected array {shorten(embedding[1])}")
    first = arrays[f"{lstm}{_FIRST}"]
    if first.ndim != 2:
        raise FileError(f"array {lstm}{_FIRST}: expected two axes, found {first.ndim}")
    layers = sum(name.startswith(f"{lstm}weight_ih_l") for name in arrays)
    return Sizes(
        vocabulary_size=arrays[f"{linear}bias"].size,
        layers=layers,
        hidden_size=first.shape[0] // 4,
        embedding_size=first.shape[1] if embedding else 0,
    )


def _expected(
    sizes: Sizes, lstm: str, linear: str, embedding: list[str]
) -> dict[str, tuple[int, ...]]:
    V, layers, H, E = sizes
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(embedding, (V, E))
    for k in range(layers):
        D = H if k else E or V
        shapes[f"{lstm}weight_ih_l{k}"] = (4 * H, D)
        shapes[f"{lstm}weight_hh_l{k}"] = (4 * H, H)
        shapes[f"{lstm}bias_ih_l{k}"] = shapes[f"{lstm}bias_hh_l{k}"] = (4 * H,)
    return shapes | {f"{linear}weight": (V, H), f"{linear}bias": (V,)}


def _check_shapes(arrays: Mapping[str, Array], expected: dict[str, tuple[int, ...]]) -> None:
    for name, shape in expected.items():
        if name not in arrays:
            raise FileError(f"array {shorten(name)} is missing")
        if arrays[name].shape != shape or 0 in shape:
            found = arrays[name].shape
            raise FileError(f"array {shorten(name)}: expected the shape {shape}, found {found}")
    unexpected = sorted(arrays.keys() - expected.keys())
    if unexpected:
        raise FileError(
            f"unexpected array {shorten(unexpected[0])}; only a plain nn.LSTM can be imported"
            " (one direction, no projections, with biases)"
        )
