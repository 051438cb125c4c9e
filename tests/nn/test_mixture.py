"""Several models as one."""

import numpy as np
import pytest

from charlstm.look.score import exact_losses
from charlstm.nn.finite import OverflowedError
from charlstm.nn.mixture import Mixture, log_mean
from charlstm.nn.model import CharLM, Shape
from charlstm.nn.sampling import Choice, generate
from charlstm.nn.stepper import PlainStepper, stepper_for

V = 7
IDS = np.random.default_rng(2).integers(0, V, 300)


def models(dtype: str = "float64") -> list[CharLM]:
    """Of different cells, depths and inputs; they share the vocabulary alone."""
    shapes = [
        Shape(V, "lstm", layers=2, hidden_size=5, dtype=dtype),
        Shape(V, "layer-norm", layers=1, hidden_size=4, embedding_size=3, dtype=dtype),
        Shape(V, "simple", layers=3, hidden_size=6, dtype=dtype),
    ]
    return [CharLM(shape, seed=seed) for seed, shape in enumerate(shapes, 1)]


def nats(model: CharLM | Mixture) -> np.ndarray:
    return np.concatenate(list(exact_losses(model, IDS)))


def test_losses_are_those_of_mean_probabilities():
    each = np.stack([nats(model) for model in models()])
    np.testing.assert_allclose(nats(Mixture(models())), -np.log(np.exp(-each).mean(axis=0)))
    np.testing.assert_allclose(nats(Mixture(models()[:1])), each[0])


@pytest.mark.parametrize("count", [1, 4])
def test_one_character_at_a_time_is_the_same(count: int):
    mixture = Mixture(models())
    states = mixture.zero_states(count)
    fast, plain = stepper_for(mixture, states), PlainStepper(mixture, states)
    for row in IDS[: 5 * count].reshape(5, count):
        expected = plain.step(row)
        np.testing.assert_allclose(fast.step(row), expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(np.exp(expected).sum(axis=1), 1, rtol=1e-12)


def test_written_by_all_of_them():
    """The likeliest character by the mean probability, each time, all models having read it."""
    mixture, start = Mixture(models()), np.array([3])
    made = generate(mixture, start, count=1, length=12, choice=Choice(temperature=0), seed=1)
    text = np.concatenate([start, *made])
    states, tape = mixture.zero_states(1), mixture.tape(12, 1)
    scores, _ = mixture.forward(text[:-1, None], states, tape)
    np.testing.assert_array_equal(scores.argmax(axis=1), text[1:])


def test_what_is_impossible_for_one_is_not_for_all():
    scores = [np.array([[0.0, -np.inf]]), np.array([[0.0, 0.0]])]
    np.testing.assert_allclose(np.exp(log_mean(scores)), [[0.75, 0.25]])
    large = [np.array([[1e4, 0.0]]), np.array([[-1e4, 0.0]])]
    np.testing.assert_allclose(log_mean(large), np.log([[0.5, 0.5]]))


def test_one_that_overflows_names_all():
    wild = models("float32")
    for number, model in enumerate(wild):
        model.name = f"{number}.ckpt"
    wild[1].values[...] = 3e38
    with pytest.raises(OverflowedError, match=r"0\.ckpt, 1\.ckpt, 2\.ckpt"):
        nats(Mixture(wild))
