"""What holds for every cell, by being in the table."""

import numpy as np
import pytest
from layers import CELL_NAMES, both_ways, random_layer, random_state

from charlstm.look.gradients.gradcheck import numerical_gradient, relative_error
from charlstm.nn import lstm as lstm_module
from charlstm.nn.cells import CELLS, Start, State

T, B, D, H = 7, 3, 4, 5

every_cell = pytest.mark.parametrize("cell", CELL_NAMES)


def masks(cell: str, rng: np.random.Generator) -> np.ndarray | None:
    return (rng.random((T, B, H)) > 0.3) / 0.7 if "layer-norm" in cell else None


@every_cell
@pytest.mark.parametrize("factor_block", [1, 2 * B * H, 10**6])
def test_gradients_against_differences(cell: str, factor_block: int, rng, monkeypatch) -> None:
    """Parameters, input and first state, with a gradient arriving at the last state."""
    monkeypatch.setattr(lstm_module, "FACTOR_BLOCK", factor_block)
    layer, mask = random_layer(cell, D, H), masks(cell, rng)
    x, state = rng.standard_normal((T, B, D)), random_state(B, H, rng)
    dout, dstate = rng.standard_normal((T, B, H)), random_state(B, H, rng)
    tape = layer.tape(T, B)

    def loss() -> float:
        out, end = layer.forward(x, state, tape, mask)
        return float((out * dout).sum() + (end.h * dstate.h).sum() + (end.c * dstate.c).sum())

    ours = both_ways(layer, x, state, dout, dstate=dstate, mask=mask, tape=tape)
    values = {name: p.value for name, p in layer.parameters().items()}
    values |= {"x": x, "h": state.h, "c": state.c}
    gradients = ours.gradients | {"x": ours.dx, "h": ours.dstart.h, "c": ours.dstart.c}
    for name, value in values.items():
        error = relative_error(gradients[name], numerical_gradient(loss, value))
        assert error < 1e-7, name


@every_cell
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gates_may_be_closed_and_open_entirely(cell: str, dtype: type, rng) -> None:
    """exp(-a) is infinite and 0 there; warnings are errors here."""
    layer = random_layer(cell, D, H, dtype=dtype)
    for parameter in layer.parameters().values():
        parameter.value *= 1e4
    tape = layer.tape(T, B)
    out, _ = layer.forward(rng.integers(D, size=(T, B)), random_state(B, H, rng, dtype), tape)
    oif = tape.gates[:3]
    assert (oif == 0).any()
    assert (oif == 1).any()
    assert np.isfinite(out).all()


@every_cell
@pytest.mark.parametrize("one_hot", [True, False])
def test_two_halves_are_one_sequence(cell: str, one_hot: bool, rng) -> None:
    """To the bit for ids. BLAS may round a product of more rows otherwise: then to rounding."""
    layer = random_layer(cell, D, H)
    x = rng.integers(D, size=(T, B)) if one_hot else rng.standard_normal((T, B, D))
    state = random_state(B, H, rng)
    whole, whole_end = layer.forward(x, state, layer.tape(T, B))
    first, middle = layer.forward(x[:3], state, layer.tape(3, B))
    second, end = layer.forward(x[3:], middle, layer.tape(T - 3, B))
    rtol = 0 if one_hot else 1e-12
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=rtol)
    np.testing.assert_allclose(end, whole_end, rtol=rtol)


@every_cell
def test_gradients_of_two_halves_are_those_of_one_sequence(cell: str, rng) -> None:
    layer = random_layer(cell, D, H)
    x, state, dout = (
        rng.standard_normal((T, B, D)),
        random_state(B, H, rng),
        rng.standard_normal((T, B, H)),
    )
    whole = both_ways(layer, x, state, dout)
    first_tape = layer.tape(3, B)
    _, middle = layer.forward(x[:3], state, first_tape)
    second = both_ways(layer, x[3:], middle, dout[3:])
    dx, dstart = layer.backward(dout[:3], first_tape, second.dstart)
    np.testing.assert_allclose(np.concatenate([dx, second.dx]), whole.dx, rtol=1e-12)
    np.testing.assert_allclose(dstart, whole.dstart, rtol=1e-12)
    for name, parameter in layer.parameters().items():
        total = parameter.grad + second.gradients[name]
        np.testing.assert_allclose(total, whole.gradients[name], rtol=1e-11, atol=1e-13)


@every_cell
def test_a_used_tape_changes_nothing(cell: str, rng) -> None:
    layer, mask = random_layer(cell, D, H), masks(cell, rng)
    x, state, dout = (
        rng.standard_normal((T, B, D)),
        random_state(B, H, rng),
        rng.standard_normal((T, B, H)),
    )
    fresh = both_ways(layer, x, state, dout, mask=mask)
    tape = layer.tape(T, B)
    both_ways(layer, 10 * x[::-1], random_state(B, H, rng), dout + 5, mask=mask, tape=tape)
    used = both_ways(layer, x, state, dout, mask=mask, tape=tape)
    np.testing.assert_array_equal(used.out, fresh.out)
    np.testing.assert_array_equal(used.dx, fresh.dx)
    np.testing.assert_array_equal(used.end, fresh.end)
    np.testing.assert_array_equal(used.dstart, fresh.dstart)
    for name in fresh.gradients:
        np.testing.assert_array_equal(used.gradients[name], fresh.gradients[name], err_msg=name)


@every_cell
def test_ids_are_one_hot_rows(cell: str, rng) -> None:
    layer = random_layer(cell, D, H)
    ids, state, dout = (
        rng.integers(D, size=(T, B)),
        random_state(B, H, rng),
        rng.standard_normal((T, B, H)),
    )
    dense, gathered = (both_ways(layer, x, state, dout) for x in (np.eye(D)[ids], ids))
    np.testing.assert_allclose(gathered.out, dense.out, rtol=1e-13)
    assert gathered.dx is None
    for name in dense.gradients:
        np.testing.assert_allclose(
            gathered.gradients[name], dense.gradients[name], rtol=1e-11, atol=1e-13, err_msg=name
        )


@every_cell
def test_states_that_go_in_and_out_belong_to_the_caller(cell: str, rng) -> None:
    layer = random_layer(cell, D, H)
    x, state, dout = (
        rng.standard_normal((T, B, D)),
        random_state(B, H, rng),
        rng.standard_normal((T, B, H)),
    )
    before, dstate = [a.copy() for a in state], random_state(B, H, rng)
    dstate_before = [a.copy() for a in dstate]
    tape = layer.tape(T, B)
    end = both_ways(layer, x, state, dout, dstate=dstate, tape=tape).end
    end_before = [a.copy() for a in end]
    both_ways(layer, x + 1, end, dout, tape=tape)
    np.testing.assert_array_equal(state, before)
    np.testing.assert_array_equal(dstate, dstate_before)
    np.testing.assert_array_equal(end, end_before)


def batch_first(a: np.ndarray) -> np.ndarray:
    return np.swapaxes(np.swapaxes(a, 0, 1).copy(), 0, 1)


def every_other(a: np.ndarray) -> np.ndarray:
    return np.repeat(a, 2, axis=-1)[..., ::2]


def backwards(a: np.ndarray) -> np.ndarray:
    return a[::-1].copy()[::-1]


@every_cell
@pytest.mark.parametrize("lay", [batch_first, np.asfortranarray, every_other, backwards])
@pytest.mark.parametrize("one_hot", [True, False])
def test_how_an_array_lies_in_memory_changes_nothing(cell: str, lay, one_hot: bool, rng) -> None:
    """The input, what comes back from above, the states and the mask."""
    layer, mask = random_layer(cell, D, H), masks(cell, rng)
    x = rng.integers(D, size=(T, B)) if one_hot else rng.standard_normal((T, B, D))
    state, dstate = random_state(B, H, rng), random_state(B, H, rng)
    dout = rng.standard_normal((T, B, H))
    straight = both_ways(layer, x, state, dout, dstate=dstate, mask=mask)
    assert not lay(x).flags.c_contiguous
    laid = both_ways(
        layer,
        lay(x),
        State(*map(lay, state)),
        lay(dout),
        dstate=State(*map(lay, dstate)),
        mask=None if mask is None else lay(mask),
    )
    close = {"rtol": 1e-12, "atol": 1e-13}
    np.testing.assert_allclose(laid.out, straight.out, **close)
    np.testing.assert_allclose(laid.end, straight.end, **close)
    np.testing.assert_allclose(laid.dstart, straight.dstart, **close)
    if not one_hot:
        np.testing.assert_allclose(laid.dx, straight.dx, **close)
    for name, gradient in straight.gradients.items():
        np.testing.assert_allclose(laid.gradients[name], gradient, **close, err_msg=name)


@every_cell
def test_float32_is_float64_rounded(cell: str, rng) -> None:
    exact, rounded = (random_layer(cell, D, H, dtype=dtype) for dtype in (np.float64, np.float32))
    for p, q in zip(exact.parameters().values(), rounded.parameters().values(), strict=True):
        p.value[...] = q.value
    x, dout = (rng.standard_normal(shape).astype(np.float32) for shape in ((T, B, D), (T, B, H)))
    state = random_state(B, H, rng, np.float32)
    ours = both_ways(rounded, x, state, dout)
    reference = both_ways(
        exact, x.astype(float), State(*(a.astype(float) for a in state)), dout.astype(float)
    )
    assert ours.out.dtype == ours.dx.dtype == ours.dstart.c.dtype == np.float32
    np.testing.assert_allclose(ours.out, reference.out, atol=5e-6)
    for name, gradient in ours.gradients.items():
        assert gradient.dtype == np.float32
        assert relative_error(gradient, reference.gradients[name]) < 1e-4, name


@every_cell
def test_the_start_of_a_cell_is_a_function_of_the_generator(cell: str) -> None:
    first, again, other = (random_layer(cell, D, H, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.W_h.value, again.W_h.value)
    assert np.all(first.W_h.value != other.W_h.value)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cap_lowers_some_input_gates_and_none_else(cell: str, rng) -> None:
    """Without what came before, i and f are those of the free cell."""
    x, state, mask = rng.standard_normal((1, B, D)), random_state(B, H, rng), None
    gates = []
    for name in (cell, f"{cell} capped"):
        layer = random_layer(name, D, H)
        tape = layer.tape(1, B)
        layer.forward(x, state, tape, mask)
        gates.append(tape.gates[:, 0].copy())
    (o, i, f, g), (_, capped, _, _) = gates
    np.testing.assert_array_equal(gates[1][[0, 2, 3]], [o, f, g])
    np.testing.assert_array_equal(capped, np.minimum(i, 1 - f))
    assert 0 < np.count_nonzero(capped < i) < i.size


def test_a_capped_cell_stays_within_its_bounds(rng) -> None:
    """However large its weights: what the simple cell needs, whose h is c times o."""
    ends = []
    for name in ("simple", "simple capped"):
        layer = random_layer(name, D, H)
        for parameter in layer.parameters().values():
            parameter.value *= 30
        x = np.repeat(rng.standard_normal((1, B, D)), 100, axis=0)
        ends.append(layer.forward(x, layer.zero_state(B), layer.tape(100, B))[1])
    free, capped = ends
    assert np.abs(free.c).max() > 20
    assert np.abs(capped.c).max() <= 1


def test_start_reaches_every_cell() -> None:
    start = Start(forget_bias=0.25, norm_epsilon=1e-3, dtype=np.float64)
    for cell in ("lstm", "simple"):
        layer = CELLS[cell].build(D, H, np.random.default_rng(5), start)
        np.testing.assert_array_equal(layer.b.value[2], 0.25)
    layer = CELLS["layer-norm"].build(D, H, np.random.default_rng(5), start)
    assert (layer.forget_bias, layer.epsilon) == (0.25, 1e-3)
    assert layer.W_x.value.dtype == np.float64
