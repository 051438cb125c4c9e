"""A model that learns from what it reads: the equation, and that nothing is learned too early."""

import numpy as np
import pytest

from charlstm.errors import DivergedError
from charlstm.nn import adaptation
from charlstm.nn.adaptation import EPSILON, LONGEST, Adapted, gradient_scale, mixed_losses
from charlstm.nn.cells import CELLS
from charlstm.nn.finite import OverflowedError
from charlstm.nn.model import CharLM, Shape
from charlstm.nn.pace import Pace

V = 7
START = np.array([2])
IDS = np.random.default_rng(5).integers(0, V, 40)


@pytest.fixture(autouse=True)
def less_to_measure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does not matter how well, in the place of a thousand segments."""
    if "scale" not in request.node.name:
        monkeypatch.setattr(adaptation, "OWN_SEGMENTS", 3)


def model_of(cell: str = "lstm", dtype: str = "float64", layers: int = 2) -> CharLM:
    shape = Shape(V, cell, layers=layers, hidden_size=5, embedding_size=3, dtype=dtype)
    return CharLM(shape, seed=3)


def test_a_certain_model_is_surprised():
    """Or the equation's last part would not have been tried."""
    model = model_of()
    model.linear.b_y.value[2] += 4
    model.loss_and_gradients(IDS[:8, None], IDS[1:9, None], model.zero_states(1), model.tape(8, 1))
    assert np.linalg.norm(model.grads) > LONGEST * np.linalg.norm(gradient_scale(model, START, 8))


def losses(model: CharLM, ids: np.ndarray, pace: Pace) -> np.ndarray:
    return np.concatenate(list(Adapted(model, START, pace).losses(ids)))


def by_the_equation(model: CharLM, ids: np.ndarray, pace: Pace) -> tuple[list[float], np.ndarray]:
    """Losses and final weights, each segment's gradient taken by the model's own training step."""
    r = gradient_scale(model, START, pace.segment)
    twin, states, found = model.copy(), model.zero_states(1), []
    for start in range(0, len(ids) - 1, pace.segment):
        x, y = ids[start : start + pace.segment][: len(ids) - 1 - start], None
        y = ids[start + 1 : start + 1 + len(x)]
        tape = twin.tape(len(x), 1)
        each, _ = twin.losses(x[:, None], y[:, None], states, tape)
        _, states = twin.loss_and_gradients(x[:, None], y[:, None], states, tape)
        found += each[:, 0].tolist()
        twin.grads *= min(1, LONGEST * np.linalg.norm(r) / np.linalg.norm(twin.grads))
        step = pace.rate / np.sqrt(r.size) * twin.grads / (r + EPSILON * r.mean())
        twin.values[...] += pace.pull * (model.values - twin.values) - step
    return found, twin.values


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("length", "certain"), [(40, 0), (33, 0), (40, 4), (2, 0)])
def test_the_equation(cell: str, length: int, certain: float):
    """Also of a model so certain of a character that others make the gradient very long."""
    model, pace = model_of(cell), Pace(rate=0.2, pull=0.1, segment=8)
    model.linear.b_y.value[2] += certain
    before = model.values.copy()
    adapting = Adapted(model, START, pace)
    found = np.concatenate(list(adapting.losses(IDS[:length])))
    expected, weights = by_the_equation(model, IDS[:length], pace)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(adapting.model.values, weights, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(model.values, before)


def test_a_character_is_scored_before_it_is_learned_from():
    """What comes later changes nothing before it, nor within its segment."""
    model, pace = model_of(), Pace(rate=0.3, segment=8)
    other = IDS.copy()
    other[21] = (other[21] + 1) % V  # in the third segment, as input of its last five
    a, b = losses(model, IDS, pace), losses(model, other, pace)
    np.testing.assert_array_equal(a[:20], b[:20])
    assert (a[21:] != b[21:]).all()


def test_without_a_rate_nothing_is_learned():
    model = model_of()
    tape = model.tape(39, 1)
    static, _ = model.losses(IDS[:-1, None], IDS[1:, None], model.zero_states(1), tape)
    np.testing.assert_allclose(losses(model, IDS, Pace(rate=0)), static[:, 0], rtol=1e-12)


def test_a_habit_of_the_text_is_learned_and_a_full_pull_forgets_it():
    model, habit = model_of(dtype="float32"), np.tile([1, 4, 4, 6], 100)
    adapted = losses(model, habit, Pace(rate=0.3, pull=0, segment=10))
    static = losses(model, habit, Pace(rate=0, segment=10))
    assert adapted[-100:].mean() < 0.5 * static[-100:].mean()
    held = losses(model, habit, Pace(rate=0.3, pull=1, segment=10))
    assert held[-100:].mean() > 0.8 * static[-100:].mean()


def test_the_same_every_time():
    model = model_of(dtype="float32")
    np.testing.assert_array_equal(losses(model, IDS, Pace()), losses(model, IDS, Pace()))


def test_the_scale_is_that_of_single_segments():
    """Measured on many texts at once, it is the root mean square over texts one by one."""
    model, T = model_of(layers=1), 6
    rng, tape = np.random.default_rng(1), model.tape(T, 1)
    squares, rounds = np.zeros(model.values.size), 300
    for _ in range(rounds):
        states, x, xs, ys = model.zero_states(1), START, [], []
        for _ in range(T):  # a text that the model writes, by the plain forward pass
            logits, states = model.forward(x[:, None], states, model.tape(1, 1))
            p = np.exp(logits[0] - logits[0].max())
            xs.append(x)
            x = rng.choice(V, 1, p=p / p.sum())
            ys.append(x)
        model.loss_and_gradients(np.array(xs), np.array(ys), model.zero_states(1), tape)
        squares += model.grads**2
    expected = np.sqrt(squares / rounds)
    found = gradient_scale(model, START, T)
    assert found.mean() == pytest.approx(expected.mean(), rel=0.1)
    large = expected > expected.mean() / 2
    assert np.abs(np.log(found[large] / expected[large])).mean() < 0.2


def test_a_vocabulary_of_one():
    model = CharLM(Shape(1, hidden_size=4), seed=1)
    found = np.concatenate(list(Adapted(model, np.array([0]), Pace()).losses(np.zeros(50, int))))
    np.testing.assert_allclose(found, 0, atol=1e-7)


@pytest.mark.parametrize("rate", [1e6, 1e38])
def test_what_diverges_is_told_with_its_place(rate: float):
    with pytest.raises(DivergedError, match=r"its way after \d+ characters; use a rate below"):
        losses(model_of(dtype="float32"), np.tile(IDS, 10), Pace(rate=rate, segment=8))


def test_a_model_that_overflows_by_itself_is_named():
    model = model_of(dtype="float32")
    model.name = "wild.ckpt"
    model.values[...] = 3e38
    with pytest.raises(OverflowedError, match=r"wild\.ckpt: its weights are so large"):
        losses(model, IDS, Pace())


@pytest.mark.parametrize("cell", CELLS)
def test_a_model_whose_gradients_overflow_is_named_without_a_warning(cell: str):
    """What it computes forward is finite."""
    model = CharLM(Shape(5, cell, layers=1, hidden_size=4, embedding_size=2), seed=1)
    model.parameters()["embedding.E"].value *= 1e25
    model.parameters()["lstm.0.W_x"].value *= 1e-25
    with pytest.raises(OverflowedError, match="its weights are so large"):
        Adapted(model, np.array([1]), Pace())


def test_several_learn_each_by_itself_and_their_probabilities_are_mixed():
    pace, models = Pace(rate=2, segment=8), [model_of(), model_of("simple", layers=1)]
    alone = [losses(model, IDS, pace) for model in models]
    adapted = [Adapted(model, START, pace) for model in models]
    mixed = np.concatenate(list(mixed_losses(adapted, IDS)))
    np.testing.assert_allclose(mixed, -np.log((np.exp(-alone[0]) + np.exp(-alone[1])) / 2))
    for model, learned in zip(models, adapted, strict=True):
        by_itself = Adapted(model, START, pace)
        list(by_itself.losses(IDS))
        np.testing.assert_array_equal(learned.model.values, by_itself.model.values)


def test_one_mixed_is_itself_to_the_bit():
    one = np.concatenate(list(mixed_losses([Adapted(model_of(), START, Pace())], IDS)))
    np.testing.assert_array_equal(one, losses(model_of(), IDS, Pace()))


def test_no_probability_is_lost_where_all_are_tiny():
    class Sure:
        def __init__(self, nats: float) -> None:
            self.nats = nats

        def losses(self, ids: np.ndarray) -> list[np.ndarray]:
            return [np.full(3, self.nats)]

    (found,) = mixed_losses([Sure(2000.0), Sure(3000.0)], IDS)
    np.testing.assert_allclose(found, 2000 + np.log(2))
