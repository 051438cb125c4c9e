from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from layers import CELL_NAMES, SKIPPING, shape_of

from charlstm.look.gradients.gradcheck import Sizes, check_model
from charlstm.nn import lstm as lstm_module
from charlstm.nn.dropout import Dropout
from charlstm.nn.model import INPUT_GAIN, CharLM, Shape, parameter_shapes
from charlstm.nn.projection import project

T, B, V, H, E = 7, 3, 6, 5, 4
SMALL = Sizes(T=5, B=2, vocabulary_size=6, hidden_size=4, embedding_size=3)

every_cell = pytest.mark.parametrize("cell", CELL_NAMES)
every_embedded = pytest.mark.parametrize("cell", CELL_NAMES + SKIPPING)
every_input = pytest.mark.parametrize(
    ("cell", "embedding_size"), [*product(CELL_NAMES, [0, E]), *product(SKIPPING, [E])]
)


def model_and_batch(cell: str, embedding_size: int, rng, dtype: str = "float64"):
    model = CharLM(shape_of(V, cell, 2, H, embedding_size, dtype=dtype), seed=4)
    model.values += (0.3 * rng.standard_normal(model.values.shape)).astype(dtype)
    ids, targets = rng.integers(V, size=(T, B)), rng.integers(V, size=(T, B))
    return model, ids, targets


def gradients_of(model, ids, targets, states=None, tape=None, **options):
    states = states or model.zero_states(ids.shape[1])
    tape = tape or model.tape(*ids.shape)
    loss, new_states = model.loss_and_gradients(ids, targets, states, tape, **options)
    return loss, model.grads.copy(), new_states


@every_cell
def test_looking_up_changes_nothing_but_the_rounding(cell: str, rng, monkeypatch) -> None:
    model, ids, targets = model_and_batch(cell, E, rng)
    assert not model.shape.embeds_each(ids.size)
    assert model.tape(T, B).embedded is None
    loss, grads, states = gradients_of(model, ids, targets)
    monkeypatch.setattr(Shape, "embeds_each", lambda shape, positions: True)
    assert model.tape(T, B).embedded is not None
    expected_loss, expected, expected_states = gradients_of(model, ids, targets)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    np.testing.assert_allclose(grads, expected, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(states, expected_states, rtol=1e-11)


@pytest.mark.parametrize(
    ("cell", "embedding_size", "layers"),
    [*product(CELL_NAMES, [0, E], [1, 2, 3]), *product(SKIPPING, [E], [2]), ("lstm skips", E, 3)],
)
def test_gradients_against_differences(
    cell: str, embedding_size: int, layers: int, monkeypatch
) -> None:
    """With both dropouts, masks held, and several blocks of factors in a sequence."""
    _against_differences(cell, embedding_size, layers, SMALL, monkeypatch)


@every_cell
def test_gradients_where_each_step_is_embedded(cell: str, monkeypatch) -> None:
    """There are more symbols than steps, so the layer does not look them up."""
    many = replace(SMALL, vocabulary_size=11)
    assert shape_of(11, cell, 2, H, E).embeds_each(many.T * many.B)
    _against_differences(cell, E, 2, many, monkeypatch)


def _against_differences(
    cell: str, embedding_size: int, layers: int, sizes: Sizes, monkeypatch
) -> None:
    monkeypatch.setattr(lstm_module, "FACTOR_BLOCK", 2 * SMALL.B * SMALL.hidden_size)
    shape = shape_of(V, cell, layers, H, embedding_size, forget_bias=0.5)
    rows = check_model(shape, dropout=0.3, recurrent_dropout=0.25, seed=5, sizes=sizes)
    names = [row.name for row in rows]
    assert "state.0.h" in names
    assert f"state.{layers - 1}.c" in names
    assert ("embedding.E" in names) == ("x" in names) == bool(embedding_size)
    worst = max(rows, key=lambda row: row.error)
    assert worst.error < 1e-7, worst
    assert min(row.largest for row in rows) > 1e-4  # nothing was compared with nothing


@every_input
def test_names_and_shapes_are_known_beforehand(cell: str, embedding_size: int) -> None:
    shape = shape_of(V, cell, 3, H, embedding_size)
    model = CharLM(shape)
    actual = {name: p.value.shape for name, p in model.parameters().items()}
    assert actual == parameter_shapes(shape)
    assert list(actual) == list(parameter_shapes(shape))
    assert model.values.size == sum(int(np.prod(s)) for s in actual.values())
    assert model.values.dtype == np.float32


def test_parameters_are_views_of_the_flat_vectors() -> None:
    model = CharLM(Shape(V, "lstm", 2, H, E))
    model.values[:] = np.arange(model.values.size)
    model.grads[:] = -np.arange(model.values.size)
    start = 0
    for parameter in model.parameters().values():
        expected = np.arange(start, start + parameter.value.size)
        np.testing.assert_array_equal(parameter.value.ravel(), expected)
        np.testing.assert_array_equal(parameter.grad.ravel(), -expected)
        start += parameter.value.size


@every_embedded
def test_the_start_is_a_function_of_the_seed(cell: str) -> None:
    shape = shape_of(V, cell, 2, H, E)
    first, again, other = CharLM(shape, 1), CharLM(shape, 1), CharLM(shape, 2)
    np.testing.assert_array_equal(first.values, again.values)
    drawn = np.flatnonzero(first.values != other.values)
    constant = {"b", "gain", "shift", "gain_c", "shift_c", "b_y"}
    expected = sum(
        p.value.size
        for name, p in first.parameters().items()
        if name.split(".")[-1] not in constant
    )
    assert len(drawn) == expected


@every_input
def test_two_halves_are_one_text(cell: str, embedding_size: int, rng) -> None:
    model, ids, targets = model_and_batch(cell, embedding_size, rng)
    whole, whole_end = model.losses(ids, targets, model.zero_states(B), model.tape(T, B))
    first, middle = model.losses(ids[:3], targets[:3], model.zero_states(B), model.tape(3, B))
    second, end = model.losses(ids[3:], targets[3:], middle, model.tape(T - 3, B))
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=1e-12)
    np.testing.assert_allclose(end, whole_end, rtol=1e-12)


@every_embedded
def test_a_used_tape_changes_nothing(cell: str, rng) -> None:
    model, ids, targets = model_and_batch(cell, E, rng)
    loss, grads, states = gradients_of(model, ids, targets)
    tape = model.tape(T, B)
    masks = model.draw_masks(Dropout(0.5, 0.5, 2), 3, T, B)
    gradients_of(model, ids[::-1], targets[::-1], states, tape, masks=masks)
    used_loss, used_grads, used_states = gradients_of(model, ids, targets, tape=tape)
    assert used_loss == loss
    np.testing.assert_array_equal(used_grads, grads)
    np.testing.assert_array_equal(used_states, states)


@every_embedded
def test_evaluating_between_forward_and_backward_changes_nothing(cell: str, rng) -> None:
    model, ids, targets = model_and_batch(cell, E, rng)
    tape, dlogits = model.tape(T, B), rng.standard_normal((T * B, V))
    model.forward(ids, model.zero_states(B), tape)
    model.backward(dlogits.copy(), tape)
    expected = model.grads.copy()

    model.forward(ids, model.zero_states(B), tape)
    model.losses(ids[:2], targets[:2], model.zero_states(B), model.tape(2, B))
    model.losses(ids[::-1], targets, model.zero_states(B), model.tape(T, B))
    model.backward(dlogits.copy(), tape)
    np.testing.assert_array_equal(model.grads, expected)


@every_cell
def test_the_loss_is_the_mean_of_the_losses(cell: str, rng) -> None:
    model, ids, targets = model_and_batch(cell, 0, rng)
    losses, _ = model.losses(ids, targets, model.zero_states(B), model.tape(T, B))
    assert losses.shape == (T, B)
    loss, _, _ = gradients_of(model, ids, targets)
    assert loss == pytest.approx(losses.mean(), rel=1e-14)
    # one stream at a time: the layout is (T, B), and streams know nothing of each other
    for b in range(B):
        alone, _ = model.losses(
            ids[:, [b]], targets[:, [b]], model.zero_states(1), model.tape(T, 1)
        )
        np.testing.assert_allclose(alone[:, 0], losses[:, b], rtol=1e-12)


@every_embedded
def test_slices_of_a_batch_add_up(cell: str, rng) -> None:
    """What the workers rely on: losses and gradients of the lanes, with the same masks."""
    model, ids, targets = model_and_batch(cell, E, rng)
    drop = Dropout(0.4, 0.3, seed=9)
    masks = model.draw_masks(drop, 5, T, B)
    loss, grads, states = gradients_of(model, ids, targets, masks=masks)
    total_loss, total = 0.0, np.zeros_like(grads)
    for lanes in (slice(0, 1), slice(1, 3)):
        part_masks = model.draw_masks(drop, 5, T, B, lanes)
        part_loss, part, part_states = gradients_of(
            model, ids[:, lanes], targets[:, lanes], masks=part_masks, characters=T * B
        )
        total_loss, total = total_loss + part_loss, total + part
        np.testing.assert_allclose(np.array(part_states), np.array(states)[:, :, lanes], rtol=1e-12)
    assert total_loss == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(total, grads, rtol=1e-10, atol=1e-14)


def test_dropout_stands_behind_every_layer_and_nowhere_else(rng) -> None:
    """Everything dropped behind the last layer: only the output's bias is left, and learns."""
    model, ids, _ = model_and_batch("lstm", E, rng)
    masks = model.draw_masks(Dropout(0.5, 0.0, 1), 1, T, B)
    assert masks is not None
    assert masks.gates == [None, None]
    undropped, _ = model.forward(ids, model.zero_states(B), model.tape(T, B))
    undropped = undropped.copy()

    masks.outputs[1] = np.zeros((T, B, H))
    tape = model.tape(T, B)
    logits, states = model.forward(ids, model.zero_states(B), tape, masks)
    np.testing.assert_allclose(logits, np.tile(model.linear.b_y.value, (T * B, 1)))
    assert np.abs(states[1].h).min() > 0  # what goes through time is not dropped
    model.backward(rng.standard_normal((T * B, V)), tape)
    for name, parameter in model.parameters().items():
        assert np.any(parameter.grad) == (name == "linear.b_y"), name

    ones = model.draw_masks(Dropout(0.5, 0.0, 1), 1, T, B)
    assert ones is not None
    ones.outputs = [np.ones((T, B, H)), np.ones((T, B, H))]
    logits, _ = model.forward(ids, model.zero_states(B), model.tape(T, B), ones)
    np.testing.assert_array_equal(logits, undropped)


@pytest.mark.parametrize("cell", SKIPPING)
def test_skips_lead_the_input_to_every_layer_and_every_output_to_the_scores(cell: str, rng) -> None:
    model = CharLM(shape_of(V, cell, 3, H, E, dtype="float64"), seed=4)
    model.values += 0.3 * rng.standard_normal(model.values.shape)
    ids, masks = rng.integers(V, size=(T, B)), model.draw_masks(Dropout(0.3, 0.0, 1), 1, T, B)
    logits, states = model.forward(ids, model.zero_states(B), model.tape(T, B), masks)

    e = model.embedding.E.value[ids]
    x, outputs = e, []
    for layer, mask, state in zip(model.layers, masks.outputs, states, strict=True):
        h, end = layer.forward(x, layer.zero_state(B), layer.tape(T, B))
        np.testing.assert_array_equal(end, state)
        outputs.append(h * mask)
        x = np.concatenate([outputs[-1], e], axis=2)
    W_y = model.linear.W_y.value.reshape(3, H, V)
    expected = sum(h @ W for h, W in zip(outputs, W_y, strict=True)) + model.linear.b_y.value
    np.testing.assert_allclose(logits, expected.reshape(T * B, V), rtol=1e-12, atol=1e-13)


def test_nothing_is_skipped_in_one_layer(rng) -> None:
    plain, skipping = (CharLM(shape_of(V, cell, 1, H, E)) for cell in ("lstm", "lstm skips"))
    ids, targets = rng.integers(V, size=(T, B)), rng.integers(V, size=(T, B))
    loss, grads, _ = gradients_of(plain, ids, targets)
    skipping_loss, skipping_grads, _ = gradients_of(skipping, ids, targets)
    assert loss == skipping_loss
    np.testing.assert_array_equal(grads, skipping_grads)


def test_masks_are_drawn_only_where_asked_for() -> None:
    model = CharLM(Shape(V, "layer-norm", 2, H))
    assert model.draw_masks(Dropout(0.0, 0.0, 1), 1, T, B) is None
    masks = model.draw_masks(Dropout(0.0, 0.5, 1), 1, T, B)
    assert masks is not None
    assert masks.outputs == [None, None]
    first, second = masks.gates
    assert first.shape == (T, B, H)
    assert first.dtype == np.float32
    assert np.any(first != second)
    again = model.draw_masks(Dropout(0.0, 0.5, 1), 1, T, B)
    np.testing.assert_array_equal(again.gates, masks.gates)
    later = model.draw_masks(Dropout(0.0, 0.5, 1), 2, T, B)
    assert np.any(later.gates[0] != first)


@every_embedded
def test_float32_is_float64_rounded(cell: str, rng) -> None:
    rounded, ids, targets = model_and_batch(cell, E, rng, "float32")
    exact = CharLM(shape_of(V, cell, 2, H, E, dtype="float64"))
    exact.values[:] = rounded.values
    loss, grads, _ = gradients_of(rounded, ids, targets)
    exact_loss, exact_grads, _ = gradients_of(exact, ids, targets)
    assert grads.dtype == np.float32
    assert loss == pytest.approx(exact_loss, rel=1e-6)
    assert np.abs(grads - exact_grads).max() < 1e-5 * np.abs(exact_grads).max()


def test_the_first_layers_inputs_are_heard_from_the_start() -> None:
    """Whatever the first layer reads, pre-activations start with the same spread."""
    V, H, T, B = 40, 256, 30, 20
    ids = np.random.default_rng(5).integers(0, V, (T, B))
    for embedding_size in (0, 24, 96):
        model = CharLM(Shape(V, layers=2, hidden_size=H, embedding_size=embedding_size))
        x = ids if model.embedding is None else model.embedding.E.value[ids]
        a = np.empty((4, T, B, H), np.float32)
        project(x, model.layers[0].W_x.value, None, a)
        assert a.std() == pytest.approx(INPUT_GAIN / np.sqrt(3.0), rel=0.1)
    upper = model.layers[1].W_x.value
    assert np.abs(upper).max() == pytest.approx(1 / np.sqrt(H), rel=0.01)


def test_starting_from_frequencies_predicts_them() -> None:
    counts = np.array([7, 0, 2, 1])
    model = CharLM(Shape(4, layers=1, hidden_size=5, dtype="float64"))
    model.linear.W_y.value[...] = 0.0
    model.start_from_frequencies(counts)
    logits, _ = model.forward(np.zeros((1, 1), int), model.zero_states(1), model.tape(1, 1))
    probabilities = np.exp(logits[0]) / np.exp(logits[0]).sum()
    np.testing.assert_allclose(probabilities, np.array([8, 1, 3, 2]) / 14, rtol=1e-12)
