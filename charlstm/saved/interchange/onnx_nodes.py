"""Nodes of an ONNX graph, one after the other, and its constants."""

from typing import Any

import numpy as np

from charlstm.nn.parameter import Array


class Nodes:
    """``onnx`` is the package. The constants are shared with the bodies of loops."""

    def __init__(self, onnx: Any, prefix: str = "") -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._prefix = prefix

    def body(self, prefix: str) -> "Nodes":
        """Nodes of their own, with names of their own, for each step of a loop."""
        body = Nodes(self.onnx, prefix)
        body.constants = self.constants
        return body

    def node(self, operator: str, inputs: list[str], outputs: list[str], **options: Any) -> None:
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, outputs, **options))

    def value(self, operator: str, *inputs: str, **options: Any) -> str:
        """The name of a node's one output."""
        name = f"{self._prefix}{operator}_{len(self.nodes)}"
        self.node(operator, list(inputs), [name], **options)
        return name

    def constant(self, name: str, value: Array) -> str:
        """Numbers as float32, unless they are whole."""
        value = value if np.issubdtype(value.dtype, np.integer) else value.astype(np.float32)
        if name not in {constant.name for constant in self.constants}:
            self.constants.append(self.onnx.numpy_helper.from_array(value, name))
        return name
