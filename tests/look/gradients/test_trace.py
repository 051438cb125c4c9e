"""The readable passes against the fast ones."""

from itertools import product

import numpy as np
import pytest
from layers import CELL_NAMES, SKIPPING, shape_of

from charlstm.look.gradients import trace as trace_module
from charlstm.look.gradients.trace import FallOff, Trace, trace
from charlstm.nn.gate_names import by_gate
from charlstm.nn.gates import GATES
from charlstm.nn.model import CharLM

V, H, E, T = 6, 5, 4, 8


def traced(cell: str, layers: int = 2, embedding_size: int = E, dtype: str = "float64"):
    rng = np.random.default_rng(8)
    model = CharLM(shape_of(V, cell, layers, H, embedding_size, 0.5, dtype=dtype), seed=4)
    model.values += (0.3 * rng.standard_normal(model.values.shape)).astype(dtype)
    ids = rng.integers(V, size=T + 1)
    return model, ids, trace(model, ids)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(
    ("cell", "embedding_size"), [*product(CELL_NAMES, [0, E]), *product(SKIPPING, [E])]
)
def test_agrees_with_the_fast_path(cell: str, layers: int, embedding_size: int) -> None:
    model, ids, passes = traced(cell, layers, embedding_size)
    tape = model.tape(T, 1)
    logits, _ = model.forward(ids[:-1, None], model.zero_states(1), tape)
    close = {"rtol": 1e-11, "atol": 1e-13}
    np.testing.assert_allclose([q.logits for q in passes.output], logits, **close)
    for number, layer_tape in enumerate(tape.layers):
        for name in ("h", "c"):
            ours = [getattr(step[number], name) for step in passes.forward]
            np.testing.assert_allclose(ours, getattr(layer_tape, name)[1:, 0], **close)
        for k, gate in enumerate(GATES):
            ours = [getattr(step[number], gate) for step in passes.forward]
            np.testing.assert_allclose(ours, layer_tape.gates[k, :, 0], **close)

    loss, _ = model.loss_and_gradients(
        ids[:-1, None], ids[1:, None], model.zero_states(1), tape, characters=1
    )
    assert passes.loss == pytest.approx(loss, rel=1e-13)
    gradients = by_gate({name: p.grad for name, p in model.parameters().items()})
    assert set(passes.gradients) == set(gradients)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(passes.gradients[name], gradient, **close, err_msg=name)
    for number, layer_tape in enumerate(tape.layers):  # which now holds da
        for k, gate in enumerate(GATES):
            ours = [getattr(step[number], f"da_{gate}") for step in passes.backward]
            np.testing.assert_allclose(ours, layer_tape.gates[k, :, 0], **close)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_float32_model_is_traced_in_float64(cell: str) -> None:
    model, ids, passes = traced(cell, dtype="float32")
    exact = CharLM(shape_of(V, cell, 2, H, E, 0.5, dtype="float64"))
    exact.values[:] = model.values
    again = trace(exact, ids)
    for name, gradient in passes.gradients.items():
        assert gradient.dtype == np.float64
        np.testing.assert_array_equal(gradient, again.gradients[name])


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_what_leaves_a_step_arrives_at_the_one_before(cell: str) -> None:
    _, _, passes = traced(cell)
    for t in range(T):
        for number in range(2):
            d = passes.backward[t][number]
            np.testing.assert_array_equal(d.dh, d.dh_above + d.dh_next)
            if t + 1 < T:
                after = passes.backward[t + 1][number]
                np.testing.assert_array_equal(d.dh_next, after.dh_prev)
                np.testing.assert_array_equal(d.dc_next, after.dc_prev)
            else:
                assert not d.dh_next.any()
                assert not d.dc_next.any()
        np.testing.assert_array_equal(passes.backward[t][0].dh_above, passes.backward[t][1].dx)
        np.testing.assert_array_equal(
            passes.backward[t][1].dh_above, passes.output_backward[t].dh_from_loss
        )


def test_parameters_have_the_names_of_their_gradients() -> None:
    for cell in CELL_NAMES:
        _, _, passes = traced(cell)
        values = passes.network.parameters()
        assert set(values) == set(passes.gradients)
        for name, gradient in passes.gradients.items():
            assert values[name].shape == gradient.shape, name


def test_extreme_logits_do_not_overflow() -> None:
    model, ids, _ = traced("lstm")
    model.linear.b_y.value[...] = np.linspace(-1e5, 1e5, V)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        passes = trace(model, ids)
    assert passes.loss == pytest.approx(sum(1e5 * 2 * (V - 1 - n) / (V - 1) for n in ids[1:]), 1e-3)


def one_loss_alone(passes: Trace, step: int) -> list[list]:
    """The steps' gradients of the loss of one step: the recursion run once more for it."""
    H = passes.forward[0][-1].h.size
    dh = [np.zeros(H) for _ in range(T)]
    dh[step] = passes.output_backward[step].dh_from_loss
    return list(trace_module._backwards(passes.network, passes.forward, dh[::-1]))[::-1]


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_fall_off_is_the_mean_over_the_losses(cell: str) -> None:
    _, _, passes = traced(cell)
    alone = [one_loss_alone(passes, step) for step in range(T)]
    decay = FallOff.of(passes)
    assert decay.dh.shape == decay.dc.shape == (2, T)
    for number in range(2):
        for distance in range(T):
            pairs = [alone[step][step - distance][number] for step in range(distance, T)]
            for name in ("dh", "dc"):
                norms = [np.linalg.norm(getattr(d, name)) for d in pairs]
                ours = getattr(decay, name)[number, distance]
                assert ours == pytest.approx(np.mean(norms), rel=1e-12)


def test_losses_apart_add_up() -> None:
    _, _, passes = traced("layer-norm")
    alone = [one_loss_alone(passes, step) for step in range(T)]
    for t in range(T):
        for number in range(2):
            total = sum(steps[t][number].dc for steps in alone)
            np.testing.assert_allclose(total, passes.backward[t][number].dc, rtol=1e-10)


def test_a_forgetful_model_s_gradient_vanishes_and_a_remembering_one_s_does_not() -> None:
    model, ids, _ = traced("simple", layers=1)
    for parameter in (model.layers[0].W_x, model.layers[0].W_h):
        parameter.value *= 0.01
    decay = {}
    for bias in (-5.0, 5.0):
        model.layers[0].b.value[GATES.index("f")] = bias
        decay[bias] = FallOff.of(trace(model, ids)).dc[0]
    assert decay[-5.0][T - 1] < 1e-10 * decay[-5.0][0]
    assert decay[5.0][T - 1] > 0.5 * decay[5.0][0]
