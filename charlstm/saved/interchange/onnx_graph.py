"""A model as an ONNX graph: ids in, logits out, the state through both.

ids (T, B) int64, h0 and c0 (layers, B, H)  ->  logits (T, B, V), h and c (layers, B, H)
"""

from typing import Any

import numpy as np

from charlstm.errors import ConfigError
from charlstm.saved.checkpoint import LoadedModel
from charlstm.saved.interchange.description import describe
from charlstm.saved.interchange.onnx_cells import Layer, add_layer
from charlstm.saved.interchange.onnx_nodes import Nodes

OPSET, IR_VERSION = 17, 8  # of 2022: what any onnxruntime since 1.12 reads
LARGEST = 2**31 - 2**20  # a protobuf message ends at 2 GiB


def onnx_bytes(loaded: LoadedModel, onnx: Any) -> bytes:
    """The file, its numbers in float32; ``onnx`` is the package.

    Raises `ConfigError` for a model that ONNX cannot hold.
    """
    if 4 * loaded.model.values.size > LARGEST:
        raise ConfigError("an ONNX file holds at most 2 GiB; use safetensors")
    return _Graph(loaded, onnx).to_bytes()


class _Graph:
    def __init__(self, loaded: LoadedModel, onnx: Any) -> None:
        self._onnx = onnx
        self._loaded = loaded
        self._shape = loaded.model.shape
        self._nodes = Nodes(onnx)

    def to_bytes(self) -> bytes:
        make, nodes = self._onnx.helper, self._nodes
        self._computation()
        graph = make.make_graph(nodes.nodes, "charlstm", *self._signature(), nodes.constants)
        opset = make.make_opsetid("", OPSET)
        model = make.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        model.producer_name = "charlstm"
        make.set_model_props(model, describe(self._loaded))
        self._onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def _computation(self) -> None:
        layers, nodes, skips = range(self._shape.layers), self._nodes, self._shape.skips
        e = self._input()
        outputs: list[str] = []
        for name in ("h0", "c0"):
            ones = nodes.constant("ones", np.ones(len(layers), np.int64))
            nodes.node("Split", [name, ones], [f"{name}_{k}" for k in layers], axis=0)
        for k in layers:
            layer = Layer(k, self._shape, self._parameters(f"lstm.{k}."), nodes)
            below = outputs[k - 1 : k] or [e]
            x = nodes.value("Concat", *below, e, axis=-1) if skips and k else below[0]
            outputs.append(add_layer(layer, x))
        for name in ("h", "c"):
            nodes.node("Concat", [f"{name}_{k}" for k in layers], [name], axis=0)
        top = nodes.value("Concat", *outputs, axis=-1) if skips else outputs[-1]
        scores = nodes.value("MatMul", top, self._constant("linear.W_y"))
        nodes.node("Add", [scores, self._constant("linear.b_y")], ["logits"])

    def _input(self) -> str:
        """Embedded ids ``(T, B, E)``, or one-hot ``(T, B, V)``."""
        nodes, shape = self._nodes, self._shape
        if shape.embedding_size:
            return nodes.value("Gather", self._constant("embedding.E"), "ids", axis=0)
        depth = nodes.constant("V", np.array(shape.vocabulary_size))
        off_on = nodes.constant("off_on", np.array([0.0, 1.0]))
        return nodes.value("OneHot", "ids", depth, off_on, axis=-1)

    def _signature(self) -> tuple[list[Any], list[Any]]:
        types, info = self._onnx.TensorProto, self._onnx.helper.make_tensor_value_info
        shape = self._shape
        state = [shape.layers, "B", shape.hidden_size]
        inputs = [info("ids", types.INT64, ["T", "B"])]
        inputs += [info(name, types.FLOAT, state) for name in ("h0", "c0")]
        outputs = [info("logits", types.FLOAT, ["T", "B", shape.vocabulary_size])]
        outputs += [info(name, types.FLOAT, state) for name in ("h", "c")]
        return inputs, outputs

    def _parameters(self, prefix: str) -> dict[str, Any]:
        named = self._loaded.model.parameters().items()
        return {name.removeprefix(prefix): p.value for name, p in named if name.startswith(prefix)}

    def _constant(self, name: str) -> str:
        return self._nodes.constant(name, self._parameters("")[name])
