"""A model as an ONNX graph: ids in, logits out, the state through both.

    ids (T, B) int64, h0 and c0 (layers, B, H)  ->  logits (T, B, V), h and c (layers, B, H)

ONNX's LSTM has the gates in the order i, o, f, c (its c is our g), weights ``(1, 4H, D)`` and
``(1, 4H, H)``, and, like PyTorch, two biases, here one after the other in ``(1, 8H)``.

The ``simple`` cell could be an LSTM whose last activation is ``Affine``. But how the attributes
``activation_alpha`` and ``activation_beta`` are dealt out to the activations is stated so loosely
that runtimes differ, and a wrong guess gives wrong numbers without an error: it is refused.
"""

from typing import Any

import numpy as np

from charlstm.errors import ConfigError
from charlstm.nn.gates import GATES
from charlstm.nn.parameter import Array
from charlstm.saved.checkpoint import LoadedModel
from charlstm.saved.interchange.description import describe

ONNX_GATES = [GATES.index(gate) for gate in ("i", "o", "f", "g")]
OPSET, IR_VERSION = 17, 8  # of 2022: what any onnxruntime since 1.12 reads
LARGEST = 2**31 - 2**20  # a protobuf message ends at 2 GiB


def onnx_bytes(loaded: LoadedModel, onnx: Any) -> bytes:
    """The file, its numbers in float32; ``onnx`` is the package.

    Raises `ConfigError` for a model that ONNX cannot hold.
    """
    shape = loaded.model.shape
    if shape.cell != "lstm":
        raise ConfigError(f"ONNX has no operator for the cell {shape.cell}; use npz or safetensors")
    if 4 * loaded.model.values.size > LARGEST:
        raise ConfigError("an ONNX file holds at most 2 GiB; use safetensors")
    return _Graph(loaded, onnx).to_bytes()


class _Graph:
    def __init__(self, loaded: LoadedModel, onnx: Any) -> None:
        self._onnx = onnx
        self._loaded = loaded
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def to_bytes(self) -> bytes:
        make, shape = self._onnx.helper, self._loaded.model.shape
        x = self._input()
        h0, c0 = self._parts("h0"), self._parts("c0")
        for k in range(shape.layers):
            x = self._layer(k, x, h0[k], c0[k])
        for name in ("h", "c"):
            parts = [f"{name}_{k}" for k in range(shape.layers)]
            self._node("Concat", parts, [name], axis=0)
        self._node("MatMul", [x, self._parameter("linear.W_y")], ["scores"])
        self._node("Add", ["scores", self._parameter("linear.b_y")], ["logits"])
        graph = make.make_graph(self._nodes, "charlstm", *self._signature(), self._constants)
        opset = make.make_opsetid("", OPSET)
        model = make.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        model.producer_name = "charlstm"
        make.set_model_props(model, describe(self._loaded))
        self._onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def _input(self) -> str:
        """Embedded ids ``(T, B, E)``, or one-hot ``(T, B, V)``."""
        shape = self._loaded.model.shape
        if shape.embedding_size:
            self._node("Gather", [self._parameter("embedding.E"), "ids"], ["x"], axis=0)
        else:
            depth = self._constant("V", np.array(shape.vocabulary_size))
            off_on = self._constant("off_on", np.array([0.0, 1.0], np.float32))
            self._node("OneHot", ["ids", depth, off_on], ["x"], axis=-1)
        return "x"

    def _parts(self, name: str) -> list[str]:
        """The layers' states ``(1, B, H)`` out of ``(layers, B, H)``."""
        layers = self._loaded.model.shape.layers
        parts = [f"{name}_{k}" for k in range(layers)]
        ones = self._constant(f"{name}_sizes", np.ones(layers, np.int64))
        self._node("Split", [name, ones], parts, axis=0)
        return parts

    def _layer(self, k: int, x: str, h0: str, c0: str) -> str:
        shape = self._loaded.model.shape
        W_x, W_h, b = (self._value(f"lstm.{k}.{name}") for name in ("W_x", "W_h", "b"))
        W = self._constant(f"W_{k}", _rows(W_x))
        R = self._constant(f"R_{k}", _rows(W_h))
        both = np.concatenate([b[ONNX_GATES].reshape(-1), np.zeros(b.size, b.dtype)])
        B = self._constant(f"B_{k}", both[np.newaxis])
        self._node(
            "LSTM",
            [x, W, R, B, "", h0, c0],  # the empty one: sequences of different lengths
            [f"y_{k}_1", f"h_{k}", f"c_{k}"],
            hidden_size=shape.hidden_size,
        )
        one = self._constant(f"direction_{k}", np.array([1]))
        self._node("Squeeze", [f"y_{k}_1", one], [f"y_{k}"])
        return f"y_{k}"

    def _signature(self) -> tuple[list[Any], list[Any]]:
        types, info = self._onnx.TensorProto, self._onnx.helper.make_tensor_value_info
        shape = self._loaded.model.shape
        state = [shape.layers, "B", shape.hidden_size]
        inputs = [info("ids", types.INT64, ["T", "B"])]
        inputs += [info(name, types.FLOAT, state) for name in ("h0", "c0")]
        outputs = [info("logits", types.FLOAT, ["T", "B", shape.vocabulary_size])]
        outputs += [info(name, types.FLOAT, state) for name in ("h", "c")]
        return inputs, outputs

    def _node(self, operator: str, inputs: list[str], outputs: list[str], **options: Any) -> None:
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, outputs, **options))

    def _value(self, name: str) -> Array:
        return self._loaded.model.parameters()[name].value.astype(np.float32)

    def _parameter(self, name: str) -> str:
        return self._constant(name, self._value(name))

    def _constant(self, name: str, value: Array) -> str:
        self._constants.append(self._onnx.numpy_helper.from_array(value, name))
        return name


def _rows(W: Array) -> Array:
    """``(4, D, H)`` to ``(1, 4H, D)``."""
    return W[ONNX_GATES].transpose(0, 2, 1).reshape(1, -1, W.shape[1])
