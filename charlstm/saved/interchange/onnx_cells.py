"""A layer of each cell in ONNX: from x ``(T, B, D)`` and a state ``(1, B, H)`` to y ``(T, B, H)``.

ONNX's LSTM has the gates in the order i, o, f, c (its c is our g), weights ``(1, 4H, D)`` and
``(1, 4H, H)``, and, like PyTorch, two biases, here one after the other in ``(1, 8H)``.

For other cells there is no operator. The ``simple`` one could be an LSTM whose last activation is
``Affine``, but how ``activation_alpha`` and ``activation_beta`` are dealt out to the activations is
stated so loosely that runtimes differ, without an error. So their steps, and those of any cell with
a capped input gate, are written out in plain operators, as the body of a Scan.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from charlstm.nn.gates import GATES
from charlstm.nn.model import Shape
from charlstm.nn.parameter import Array
from charlstm.saved.interchange.onnx_nodes import Nodes

ONNX_GATES = [GATES.index(gate) for gate in ("i", "o", "f", "g")]


class Layer(NamedTuple):
    """Layer ``k`` of a model: its arrays by name, and where its nodes go.

    It starts from the state ``h0_k``, ``c0_k`` and ends with ``h_k``, ``c_k``.
    """

    k: int
    shape: Shape
    arrays: Mapping[str, Array]
    nodes: Nodes

    def constant(self, name: str, value: Array) -> str:
        return self.nodes.constant(f"{name}_{self.k}", value)


def _operator(layer: Layer, x: str) -> str:
    nodes, k, b = layer.nodes, layer.k, layer.arrays["b"][ONNX_GATES].reshape(-1)
    W = layer.constant("W", _rows(layer.arrays["W_x"]))
    R = layer.constant("R", _rows(layer.arrays["W_h"]))
    B = layer.constant("B", np.concatenate([b, np.zeros_like(b)])[np.newaxis])
    nodes.node(
        "LSTM",
        [x, W, R, B, "", f"h0_{k}", f"c0_{k}"],  # the empty one: sequences of different lengths
        [f"y_{k}", f"h_{k}", f"c_{k}"],
        hidden_size=layer.shape.hidden_size,
    )
    return nodes.value("Squeeze", f"y_{k}", nodes.constant("direction", np.array([1])))


def _rows(W: Array) -> Array:
    """``(4, D, H)`` to ``(1, 4H, D)``."""
    return W[ONNX_GATES].transpose(0, 2, 1).reshape(1, -1, W.shape[1])


# Cells written out -------------------------------------------------------------------------------

Step = Callable[[Layer, str, str], tuple[str, str]]
"""From pre-activations ``(B, 4H)`` without a bias, and c_prev, to h and c, both ``(B, H)``."""


def _scan(step: Step, layer: Layer, x: str) -> str:
    """What needs no recurrence, ``x W_x``, stands before the loop."""
    nodes, k = layer.nodes, layer.k
    first = nodes.constant("first", np.array([0]))
    h0, c0 = (nodes.value("Squeeze", f"{name}_{k}", first) for name in ("h0", "c0"))
    of_x = nodes.value("MatMul", x, layer.constant("W_x", _columns(layer.arrays["W_x"])))
    body = _body(step, layer._replace(nodes=nodes.body(f"step_{k}_")))
    ends, y = [f"last_h_{k}", f"last_c_{k}"], f"y_{k}"
    nodes.node("Scan", [h0, c0, of_x], [*ends, y], num_scan_inputs=1, body=body)
    for end, name in zip(ends, ("h", "c"), strict=True):
        nodes.node("Unsqueeze", [end, first], [f"{name}_{k}"])
    return y


def _body(step: Step, layer: Layer) -> Any:
    nodes, k, H = layer.nodes, layer.k, layer.shape.hidden_size
    h_prev, c_prev, of_x = (f"{name}_{k}" for name in ("h_prev", "c_prev", "of_x"))
    of_h = nodes.value("MatMul", h_prev, layer.constant("W_h", _columns(layer.arrays["W_h"])))
    h, c = step(layer, nodes.value("Add", of_x, of_h), c_prev)
    y = nodes.value("Identity", h)

    def described(name: str, width: int) -> Any:
        float32 = nodes.onnx.TensorProto.FLOAT
        return nodes.onnx.helper.make_tensor_value_info(name, float32, ["B", width])

    inputs = [described(h_prev, H), described(c_prev, H), described(of_x, 4 * H)]
    outputs = [described(name, H) for name in (h, c, y)]
    return nodes.onnx.helper.make_graph(nodes.nodes, f"step_{k}", inputs, outputs)


def _columns(W: Array) -> Array:
    """``(4, D, H)`` to ``(D, 4H)``."""
    return W.transpose(1, 0, 2).reshape(W.shape[1], -1)


def _lstm(layer: Layer, a: str, c_prev: str) -> tuple[str, str]:
    o, c = _cell(layer, _with_bias(layer, a), c_prev)
    return layer.nodes.value("Mul", o, layer.nodes.value("Tanh", c)), c


def _simple(layer: Layer, a: str, c_prev: str) -> tuple[str, str]:
    o, c = _cell(layer, _with_bias(layer, a), c_prev)
    return layer.nodes.value("Mul", o, c), c


def _with_bias(layer: Layer, a: str) -> str:
    return layer.nodes.value("Add", a, layer.constant("b", layer.arrays["b"].reshape(-1)))


def _layer_norm(layer: Layer, a: str, c_prev: str) -> tuple[str, str]:
    """The equations of `charlstm.nn.layer_norm_lstm`."""
    nodes, arrays, H = layer.nodes, layer.arrays, layer.shape.hidden_size
    by_gate = nodes.constant("by_gate", np.array([0, 4, H]))  # 0: as many as there are
    flat = nodes.constant("flat", np.array([0, 4 * H]))
    shift = arrays["shift"].copy()
    shift[GATES.index("f")] += layer.shape.forget_bias
    n = _normalised(layer, nodes.value("Reshape", a, by_gate))
    p = _affine(layer, n, arrays["gain"], shift)
    o, u = _cell(layer, nodes.value("Reshape", p, flat), c_prev)
    c = _affine(layer, _normalised(layer, u), arrays["gain_c"], arrays["shift_c"])
    return nodes.value("Mul", o, nodes.value("Tanh", c)), c


def _cell(layer: Layer, a: str, c_prev: str) -> tuple[str, str]:
    """The output gate, and ``f * c_prev + i * g``, from pre-activations ``(B, 4H)``."""
    nodes = layer.nodes
    parts = [f"{a}_{gate}" for gate in GATES]
    nodes.node("Split", [a], parts, axis=1)
    o, i, f = (nodes.value("Sigmoid", part) for part in parts[:3])
    if layer.shape.input_gate == "capped":
        one = nodes.constant("one", np.array(1.0))
        i = nodes.value("Min", i, nodes.value("Sub", one, f))
    new = nodes.value("Mul", i, nodes.value("Tanh", parts[3]))
    return o, nodes.value("Add", nodes.value("Mul", f, c_prev), new)


def _normalised(layer: Layer, a: str) -> str:
    """With mean 0 and variance 1 over the last axis."""
    nodes = layer.nodes
    epsilon = nodes.constant("epsilon", np.array(layer.shape.norm_epsilon))
    centred = nodes.value("Sub", a, nodes.value("ReduceMean", a, axes=[-1]))
    variance = nodes.value("ReduceMean", nodes.value("Mul", centred, centred), axes=[-1])
    deviation = nodes.value("Sqrt", nodes.value("Add", variance, epsilon))
    return nodes.value("Div", centred, deviation)


def _affine(layer: Layer, n: str, gain: Array, shift: Array) -> str:
    names = "gates" if gain.ndim == 2 else "cell"
    scaled = layer.nodes.value("Mul", n, layer.constant(f"gain_of_{names}", gain))
    return layer.nodes.value("Add", scaled, layer.constant(f"shift_of_{names}", shift))


STEPS: dict[str, Step] = {"lstm": _lstm, "simple": _simple, "layer-norm": _layer_norm}


def add_layer(layer: Layer, x: str) -> str:
    """Adds a layer that reads x; returns the name of y."""
    if layer.shape.has_standard_layers:
        return _operator(layer, x)
    return _scan(STEPS[layer.shape.cell], layer, x)
