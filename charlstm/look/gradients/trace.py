"""One forward and one backward pass over a text, with every quantity kept: the arithmetic of
``charlstm.look.gradients.reference``, step by step and layer by layer.

The loss is the sum over the steps, ``L_t = l_t + L_{t+1}``, so a gradient at step t holds what the
losses from t on have to say. (Training takes the mean: the same, divided by the number of steps.)
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from charlstm.look.gradients import reference
from charlstm.look.gradients.reference import Named, Quantities, Weights
from charlstm.nn.cells import Layer
from charlstm.nn.finite import quiet, require_finite
from charlstm.nn.gate_names import by_gate
from charlstm.nn.gates import IDENTITY, INPUT_GATES
from charlstm.nn.layer_norm_lstm import LayerNormLSTM
from charlstm.nn.model import CharLM
from charlstm.nn.parameter import Array


@dataclass(frozen=True)
class Cell:
    forward: Callable[[Weights, Array, Array, Array], Quantities]
    backward: Callable[[Weights, Quantities, Array, Array, Array], Quantities]
    gradients: Callable[[Quantities, Quantities], Named]


LSTM_CELL = Cell(reference.lstm_forward, reference.lstm_backward, reference.lstm_gradients)
LAYER_NORM_CELL = Cell(
    reference.layer_norm_forward, reference.layer_norm_backward, reference.layer_norm_gradients
)


@dataclass
class Network:
    """A model's parameters in float64, gate by gate."""

    cell: Cell
    E: Array | None
    layers: list[Weights]
    output: Weights
    has_skips: bool

    @classmethod
    def of(cls, model: CharLM) -> "Network":
        linear = model.linear
        return cls(
            cell=LAYER_NORM_CELL if model.shape.cell == "layer-norm" else LSTM_CELL,
            E=None if model.embedding is None else model.embedding.E.value.astype(np.float64),
            layers=[_weights(layer) for layer in model.layers],
            output=Weights(
                W_y=linear.W_y.value.astype(np.float64), b_y=linear.b_y.value.astype(np.float64)
            ),
            has_skips=model.shape.skips,
        )

    def input(self, id: int) -> Array:
        if self.E is not None:
            return np.asarray(self.E[id])
        return np.asarray(np.eye(1, len(self.layers[0].W_ix), id)[0])

    def parameters(self) -> Named:
        """Under the names of `Trace.gradients`."""
        named = {} if self.E is None else {"embedding.E": self.E}
        for number, w in enumerate(self.layers):
            arrays = {name: a for name, a in vars(w).items() if isinstance(a, np.ndarray)}
            named |= {f"lstm.{number}.{name}": a for name, a in arrays.items()}
        return named | {f"linear.{name}": a for name, a in vars(self.output).items()}

    def input_above(self, q: Quantities, x: Array) -> Array:
        """What the layer above one reads; ``x``: the network's input."""
        return np.concatenate([q.h, x]) if self.has_skips else q.h

    def top(self, step: list[Quantities]) -> Array:
        """What the scores are made from."""
        return np.concatenate([q.h for q in step]) if self.has_skips else step[-1].h

    def shares(self, dtop: Array) -> list[Array]:
        """Of each layer's output in the gradient of `top`."""
        if self.has_skips:
            return np.split(dtop, len(self.layers), axis=-1)
        return [*(np.zeros_like(dtop) for _ in self.layers[1:]), dtop]

    def through_input(self, d_step: list[Quantities]) -> Array:
        """The gradient of the network's input."""
        dx: Array = d_step[0].dx
        if self.has_skips:
            dx = dx + sum(d.dx[len(d.dh) :] for d in d_step[1:])
        return dx

    def zeros(self) -> list[Array]:
        """``(H,)`` for every layer."""
        return [np.zeros(len(w.W_ih)) for w in self.layers]


def _weights(layer: Layer) -> Weights:
    arrays = {name: p.value.astype(np.float64) for name, p in layer.parameters().items()}
    w = Weights(**by_gate(arrays), is_capped=layer.input_gate is INPUT_GATES["capped"])
    if isinstance(layer, LayerNormLSTM):
        w.epsilon, w.forget_bias = layer.epsilon, layer.forget_bias
    else:
        w.is_simple = layer.squash is IDENTITY
    return w


@dataclass
class Trace:
    """All that happened. ``forward[t][l]`` and ``backward[t][l]`` are of step t and layer l;
    ``output`` and ``output_backward`` have one entry per step. ``gradients`` are summed over the
    steps, under the names of `charlstm.nn.gate_names` (``lstm.0.W_ix``).
    """

    network: Network
    ids: list[int]
    targets: list[int]
    forward: list[list[Quantities]]
    output: list[Quantities]
    backward: list[list[Quantities]]
    output_backward: list[Quantities]
    gradients: Named

    @property
    def loss(self) -> float:
        """In nats, summed over the steps."""
        return float(sum(q.loss for q in self.output))


@quiet()
def trace(model: CharLM, ids: Array) -> Trace:
    """Both passes over ``ids`` ``(T + 1,)``: every id is asked for the next one. The first state
    is zero, no gradient arrives at the last, and there is no dropout. Raises `OverflowedError` if
    a logit or a loss is not finite; a gradient may be.
    """
    network = Network.of(model)
    inputs, targets = [int(n) for n in ids[:-1]], [int(n) for n in ids[1:]]
    forward = _forward(network, inputs)
    output = [
        reference.output_forward(network.output, network.top(step), target)
        for step, target in zip(forward, targets, strict=True)
    ]
    require_finite(model, *(q.logits for q in output), np.array([q.loss for q in output]))
    output_back = [
        reference.output_backward(network.output, q, network.top(step), target)
        for q, step, target in zip(output, forward, targets, strict=True)
    ]
    backward = list(_backwards(network, forward, [d.dh_from_loss for d in reversed(output_back)]))[
        ::-1
    ]
    gradients = _sum_gradients(network, inputs, forward, backward, output_back)
    return Trace(network, inputs, targets, forward, output, backward, output_back, gradients)


def _forward(network: Network, ids: list[int]) -> list[list[Quantities]]:
    h, c = network.zeros(), network.zeros()
    steps = []
    for id in ids:
        x = network.input(id)
        step: list[Quantities] = []
        for number, w in enumerate(network.layers):
            below = network.input_above(step[-1], x) if number else x
            q = network.cell.forward(w, below, h[number], c[number])
            h[number], c[number] = q.h, q.c
            step.append(q)
        steps.append(step)
    return steps


def _backwards(
    network: Network, forward: list[list[Quantities]], dh_output: Iterable[Array]
) -> Iterator[list[Quantities]]:
    """Every step's gradients, the last step first. ``dh_output``, also the last step first: what
    the step's loss sends to `top`; ``(H,)``, or ``(N, H)`` for N losses kept apart.
    """
    dh_next, dc_next = network.zeros(), network.zeros()
    for q_step, dh_from_loss in zip(reversed(forward), dh_output, strict=True):
        dh_above = network.shares(dh_from_loss)
        step: list[Quantities] = []
        for number in reversed(range(len(network.layers))):
            w, q = network.layers[number], q_step[number]
            d = network.cell.backward(w, q, dh_above[number], dh_next[number], dc_next[number])
            dh_next[number], dc_next[number] = d.dh_prev, d.dc_prev
            if number:
                dh_above[number - 1] = dh_above[number - 1] + d.dx[..., : q.h.size]
            step.append(d)
        yield step[::-1]


def _sum_gradients(
    network: Network,
    ids: list[int],
    forward: list[list[Quantities]],
    backward: list[list[Quantities]],
    output_back: list[Quantities],
) -> Named:
    total: Named = {}

    def add(name: str, gradient: Array) -> None:
        total[name] = total.get(name, 0.0) + gradient

    if network.E is not None:
        total["embedding.E"] = np.zeros_like(network.E)
        for id, step in zip(ids, backward, strict=True):
            total["embedding.E"][id] += network.through_input(step)
    for q_step, d_step in zip(forward, backward, strict=True):
        for number, (q, d) in enumerate(zip(q_step, d_step, strict=True)):
            named = network.cell.gradients(q, d)
            for name, gradient in named.items():
                add(f"lstm.{number}.{name}", gradient)
    for d in output_back:
        add("linear.W_y", d.dW_y)
        add("linear.b_y", d.db_y)
    return total


# How far back a loss is felt ----------------------------------------------------------------------


@dataclass
class FallOff:
    """``dh[l, k]``: norm of the gradient of one step's loss with respect to layer l's h, k steps
    earlier; the mean over all steps that have k steps before them. ``dc`` likewise.
    """

    dh: Array
    dc: Array

    @classmethod
    @quiet()
    def of(cls, trace: Trace) -> "FallOff":
        """The vanishing gradient, measured: both arrays are ``(layers, T)``."""
        T, layers = len(trace.forward), len(trace.network.layers)
        dh, dc = np.zeros((layers, T)), np.zeros((layers, T))
        steps = _backwards(trace.network, trace.forward, _losses_apart(trace))
        for t, step in zip(reversed(range(T)), steps, strict=True):
            for number, d in enumerate(step):
                dh[number, : T - t] += np.linalg.norm(d.dh[t:], axis=1)
                dc[number, : T - t] += np.linalg.norm(d.dc[t:], axis=1)
        pairs = T - np.arange(T)
        return cls(dh / pairs, dc / pairs)


def _losses_apart(trace: Trace) -> Iterator[Array]:
    """For every step, the last one first: ``(T, H)``, zero but for the row of its own loss."""
    T = len(trace.output_backward)
    for t in reversed(range(T)):
        dh = trace.output_backward[t].dh_from_loss
        rows = np.zeros((T, dh.size))
        rows[t] = dh
        yield rows
