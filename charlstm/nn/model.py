"""CharLM: characters -> (embedding) -> recurrent layers -> linear -> softmax.

With skips (Graves 2013, arXiv:1308.0850), e being the embedded input and h_k the output of layer k:

    x_1 = e,   x_k = [h_{k-1}; e]       where without skips x_k = h_{k-1}
    logits = [h_1; ...; h_L] W_y + b_y  where without skips h_L W_y + b_y
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from charlstm.nn.cells import CELLS, Start, State, Tape
from charlstm.nn.cuts import BY_RULE, Cuts
from charlstm.nn.dropout import Dropout, dropout_mask
from charlstm.nn.embedding import Embedding
from charlstm.nn.gates import INPUT_GATES
from charlstm.nn.linear import Linear
from charlstm.nn.loss import softmax_cross_entropy, softmax_cross_entropy_backward
from charlstm.nn.parameter import Array, Parameter, flatten
from charlstm.nn.projection import Input, LookedUp

# The first layer's W_x starts within this over the root of the number of inputs that are not zero
# (of a one-hot row, one). Within 1 / sqrt(H), as usual, the text is a whisper: pre-activations
# differ by a few hundredths from character to character. Measured on Tiny Shakespeare, 1 x 256,
# three epochs, validation loss in nats: 1/16: 1.546, 0.5: 1.534, 1: 1.519, 2: 1.511, 4: 1.499.
INPUT_GAIN = 2.0


@dataclass(frozen=True)
class Shape:
    """The numbers that decide which arrays a model has, and how it starts."""

    vocabulary_size: int
    cell: str = "lstm"
    layers: int = 2
    hidden_size: int = 128
    embedding_size: int = 0
    forget_bias: float = 1.0
    norm_epsilon: float = 1e-5
    dtype: str = "float32"
    input_gate: str = "free"
    skips: bool = False

    @property
    def has_standard_layers(self) -> bool:
        """Whether each of its layers computes what other programs call an LSTM."""
        return self.cell == "lstm" and self.input_gate == "free"

    @property
    def is_standard(self) -> bool:
        """Whether its layers together are what other programs call an LSTM."""
        return self.has_standard_layers and not self.skips

    def input_size(self, number: int) -> int:
        """D of the layer of this number, from 0."""
        if not number:
            return self.embedding_size or self.vocabulary_size
        return self.hidden_size + (self.embedding_size if self.skips else 0)

    def embeds_each(self, positions: int) -> bool:
        """Whether each of so many ``positions``, T * B, is embedded by itself. Else the first layer
        looks up its input, one-hot or as rows of ``E``, which are then multiplied once a symbol:
        fewer products, and the same numbers. With skips other layers read what is embedded too.
        """
        is_read_again = self.skips and self.layers > 1
        return self.embedding_size > 0 and (is_read_again or self.vocabulary_size >= positions)

    @property
    def top_size(self) -> int:
        """How much of the layers' outputs the scores are made from."""
        return self.hidden_size * (self.layers if self.skips else 1)


def parameter_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all parameters, in the order of the flat vector; takes no memory."""
    V, H, E = shape.vocabulary_size, shape.hidden_size, shape.embedding_size
    named: dict[str, tuple[int, ...]] = {"embedding.E": (V, E)} if E else {}
    for number in range(shape.layers):
        shapes = CELLS[shape.cell].shapes(shape.input_size(number), H)
        named |= {f"lstm.{number}.{name}": layer_shape for name, layer_shape in shapes.items()}
    return named | {"linear.W_y": (shape.top_size, V), "linear.b_y": (V,)}


@dataclass
class Masks:
    """Dropout for one batch: ``outputs[l]`` multiplies layer l's output, ``gates[l]`` its g."""

    outputs: list[Array | None]
    gates: list[Array | None]


@dataclass
class ModelTape:
    """One forward pass's activations, for one ``(T, B)``; reused batch after batch. A backward pass
    leaves the gradients of the first states in ``dstates``. ``embedded`` is None for one-hot input,
    and where it is looked up.
    """

    ids: Array
    embedded: Array | None
    layers: list[Tape]
    dstates: list[State]
    top: Array
    logits: Array
    dtop: Array
    masks: Masks | None

    def begin_at(self, begins: NDArray[np.bool_]) -> None:
        """From now on something new begins at these steps of these lanes, ``(T, B)``: the state is
        zero there, and no gradient passes.
        """
        steps, lanes = np.nonzero(begins)
        cuts = np.searchsorted(steps, np.arange(len(begins) + 1)).tolist()
        at_steps = [lanes[start:stop] if stop > start else None for start, stop in pairwise(cuts)]
        for tape in self.layers:
            tape.begins, tape.begun = at_steps, (steps, lanes)


class CharLM:
    """A character-level language model.

    ``values`` and ``grads`` are flat vectors over all parameters; ``parameters()`` names the views
    into them (``lstm.0.W_x`` ...). Starting values depend on ``seed`` alone, and how
    sums are rounded on ``cuts``.
    """

    def __init__(self, shape: Shape, seed: int = 1, cuts: Cuts = BY_RULE) -> None:
        self.shape = shape
        self.cuts = cuts
        self.name = "the model"  # for messages: its file, where it has one
        dtype = np.dtype(shape.dtype).type
        rng = np.random.default_rng(seed)
        V, H, E = shape.vocabulary_size, shape.hidden_size, shape.embedding_size
        self.embedding = Embedding(V, E, rng, dtype) if E else None
        start = Start(
            forget_bias=shape.forget_bias,
            norm_epsilon=shape.norm_epsilon,
            input_gate=INPUT_GATES[shape.input_gate],
            dtype=dtype,
            cuts=cuts,
        )
        first = replace(start, input_reach=INPUT_GAIN / float(np.sqrt(E or 1)))
        build = CELLS[shape.cell].build
        self.layers = [build(shape.input_size(0), H, rng, first)]
        for number in range(1, shape.layers):
            self.layers.append(build(shape.input_size(number), H, rng, start))
        self.linear = Linear(shape.top_size, V, rng, dtype)
        self.values, self.grads = flatten(self.parameters().values())

    def copy(self) -> "CharLM":
        """Another with the same weights, to be changed."""
        twin = CharLM(self.shape, cuts=self.cuts)
        twin.values[...] = self.values
        twin.name = self.name
        return twin

    def parameters(self) -> dict[str, Parameter]:
        named = {} if self.embedding is None else {"embedding.E": self.embedding.E}
        for number, layer in enumerate(self.layers):
            named |= {f"lstm.{number}.{name}": p for name, p in layer.parameters().items()}
        return named | {f"linear.{name}": p for name, p in self.linear.parameters().items()}

    def start_from_frequencies(self, counts: Array) -> None:
        """Start with the characters' frequencies as the prediction: ``b_y = log p``.

        ``counts``: ``(V,)``; one is added to each. From ``b_y = 0`` the first few hundred steps
        would teach the hidden units to be that constant: cells grow until they saturate, gates
        stay open, and learning what depends on the text starts from there.
        """
        p = (counts + 1.0) / (counts.sum() + len(counts))
        self.linear.b_y.value[...] = np.log(p)

    def zero_states(self, B: int) -> list[State]:
        return [layer.zero_state(B) for layer in self.layers]

    def tape(self, T: int, B: int) -> ModelTape:
        dtype, E = self.values.dtype, self.shape.embedding_size
        return ModelTape(
            ids=np.empty((T, B), np.intp),
            embedded=np.empty((T, B, E), dtype) if self.shape.embeds_each(T * B) else None,
            layers=[layer.tape(T, B) for layer in self.layers],
            dstates=self.zero_states(B),
            top=np.empty((0, 0), dtype),
            logits=np.empty((T * B, self.shape.vocabulary_size), dtype),
            dtop=np.empty((T * B, self.shape.top_size), dtype),
            masks=None,
        )

    def forward(
        self, ids: Array, states: Sequence[State], tape: ModelTape, masks: Masks | None = None
    ) -> tuple[Array, list[State]]:
        """From ids ``(T, B)`` to logits ``(T * B, V)``, row t * B + b; and new states."""
        T, B = ids.shape
        tape.ids, tape.masks = ids, masks
        e = ids if self.embedding is None else self.embedding.forward(ids, tape.embedded)
        outputs: list[Array] = []
        new_states = []
        for number, layer in enumerate(self.layers):
            x = self.input_above(outputs[-1], e) if number else e
            mask = None if masks is None else masks.gates[number]
            h, state = layer.forward(x, states[number], tape.layers[number], mask)
            new_states.append(state)
            mask = None if masks is None else masks.outputs[number]
            outputs.append(h if mask is None else h * mask)
        tape.top = self.top(outputs).reshape(T * B, -1)
        return self.linear.forward(tape.top, tape.logits), new_states

    def input_above(self, h: Array, e: Input) -> Array:
        """What a layer reads above one with the output ``h`` ``(..., H)``; ``e``: ``(..., E)``."""
        return np.concatenate((h, _dense(e)), axis=-1) if self.shape.skips else h

    def top(self, outputs: Sequence[Array]) -> Array:
        """What the scores are made from, of the layers' outputs ``(..., H)``."""
        return np.concatenate(outputs, axis=-1) if self.shape.skips else outputs[-1]

    def backward(self, dlogits: Array, tape: ModelTape) -> None:
        """Writes every parameter's ``grad``; truncated: no gradient arrives at the last state."""
        T, B = tape.ids.shape
        dtop = self.linear.backward(dlogits, tape.top, tape.dtop).reshape(T, B, -1)

        def back(number: int, dh: Array) -> Array | None:
            mask = None if tape.masks is None else tape.masks.outputs[number]
            if mask is not None:
                dh *= mask
            dx, tape.dstates[number] = self.layers[number].backward(dh, tape.layers[number])
            return dx

        dx = self.through_layers(dtop, back)
        if self.embedding is not None:
            self.embedding.backward(_given(dx), tape.ids)

    def through_layers(
        self, dtop: Array, back: Callable[[int, Array], Array | None]
    ) -> Array | None:
        """The gradient of the embedded input, or of ``E``, None for one-hot input; from ``dtop``,
        that of ``top()``. ``back(number, dh)`` takes the gradient of a layer's output to its input.
        """
        H = self.shape.hidden_size
        dx: Array | None = dtop[..., -H:]
        skipped = []
        for number in reversed(range(len(self.layers))):
            dx = back(number, _given(dx))
            if self.shape.skips and number:
                dh, de = np.split(_given(dx), [H], axis=-1)
                dx = dh + dtop[..., (number - 1) * H : number * H]
                skipped.append(de)
        return reduce(np.add, skipped, dx)

    def losses(
        self, ids: Array, targets: Array, states: Sequence[State], tape: ModelTape
    ) -> tuple[Array, list[State]]:
        """Nats for every character, ``(T, B)``, and the new states. No dropout."""
        logits, new_states = self.forward(ids, states, tape)
        return softmax_cross_entropy(logits, targets.reshape(-1)).reshape(ids.shape), new_states

    def loss_and_gradients(
        self,
        ids: Array,
        targets: Array,
        states: Sequence[State],
        tape: ModelTape,
        *,
        masks: Masks | None = None,
        characters: int | None = None,
    ) -> tuple[float, list[State]]:
        """The sum of the losses divided by ``characters`` (default: all of this batch), and the
        gradient of that number in ``grads``.

        A worker that holds a slice of a batch passes the size of the whole one: the workers'
        losses and gradients then simply add up.
        """
        logits, new_states = self.forward(ids, states, tape, masks)
        flat_targets = targets.reshape(-1)
        scale = 1.0 / (characters or flat_targets.size)
        loss = float(softmax_cross_entropy(logits, flat_targets).sum(dtype=np.float64)) * scale
        self.backward(softmax_cross_entropy_backward(logits, flat_targets, scale), tape)
        return loss, new_states

    def draw_masks(
        self, dropout: Dropout, step: int, T: int, B: int, lanes: slice = slice(None)
    ) -> Masks | None:
        """Dropout on every layer's output (Zaremba et al. 2014: between layers and before the
        linear one, never on the way through time), and on g in cells that have it. ``lanes``: the
        columns of the whole batch ``B`` that this process works on.
        """
        of_gates = dropout.gates if CELLS[self.shape.cell].has_recurrent_dropout else 0.0
        if not dropout.outputs and not of_gates:
            return None
        shape, dtype, seed = (T, B, self.shape.hidden_size), self.values.dtype, dropout.seed

        def draw(rate: float, place: int) -> Array | None:
            if not rate:
                return None
            return dropout_mask(shape, rate, dtype, seed=seed, step=step, place=place)[:, lanes]

        numbers = range(len(self.layers))
        return Masks(
            outputs=[draw(dropout.outputs, 2 * number) for number in numbers],
            gates=[draw(of_gates, 2 * number + 1) for number in numbers],
        )


def _dense(e: Input) -> Array:
    assert not isinstance(e, LookedUp), "with skips every position is embedded"
    return e


def _given(value: Array | None) -> Array:
    assert value is not None
    return value


def parameter_count(shape: Shape) -> int:
    return sum(math.prod(sizes) for sizes in parameter_shapes(shape).values())
