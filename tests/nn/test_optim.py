"""Optimizers against their papers' formulas, one number at a time; clipping."""

from collections.abc import Callable
from math import inf, isnan, nan, sqrt
from typing import Any

import numpy as np
import pytest

from charlstm.errors import FileError
from charlstm.nn.optim import BLOCK, OPTIMIZERS, clip_by_norm, clip_by_value, make_optimizer

NUMBERS = {
    "momentum": 0.8,
    "decay": 0.93,
    "beta1": 0.85,
    "beta2": 0.97,
    "epsilon": 1e-3,
    "weight_decay": 0.07,
}
RATES = [0.1, 0.05, 0.2, 0.01, 0.3]
KINDS = list(OPTIMIZERS)


def literal_sgd(x: float, g: float, lr: float, t: int, memory: dict) -> float:
    return x - lr * g


def literal_momentum(x: float, g: float, lr: float, t: int, memory: dict) -> float:
    memory["v"] = 0.8 * memory.get("v", 0.0) - lr * g
    return x + memory["v"]


def literal_rmsprop(x: float, g: float, lr: float, t: int, memory: dict) -> float:
    memory["s"] = 0.93 * memory.get("s", 0.0) + (1 - 0.93) * g**2
    return x - lr * g / (sqrt(memory["s"]) + 1e-3)


def literal_adagrad(x: float, g: float, lr: float, t: int, memory: dict) -> float:
    memory["s"] = memory.get("s", 0.0) + g**2
    return x - lr * g / (sqrt(memory["s"]) + 1e-3)


def literal_adam(x: float, g: float, lr: float, t: int, memory: dict) -> float:
    memory["m"] = 0.85 * memory.get("m", 0.0) + (1 - 0.85) * g
    memory["v"] = 0.97 * memory.get("v", 0.0) + (1 - 0.97) * g**2
    unbiased_m = memory["m"] / (1 - 0.85**t)
    unbiased_v = memory["v"] / (1 - 0.97**t)
    return x - lr * unbiased_m / (sqrt(unbiased_v) + 1e-3)


def literal_adamw(x: float, g: float, lr: float, t: int, memory: dict) -> float:
    return literal_adam(x, g, lr, t, memory) - lr * 0.07 * x


LITERAL: dict[str, Callable[..., float]] = {
    "sgd": literal_sgd,
    "momentum": literal_momentum,
    "rmsprop": literal_rmsprop,
    "adagrad": literal_adagrad,
    "adam": literal_adam,
    "adamw": literal_adamw,
}


def some_gradients(size: int, dtype: Any = np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    return [rng.normal(size=size).astype(dtype) for _ in RATES]


def some_values(size: int, dtype: Any = np.float64) -> np.ndarray:
    return np.linspace(-1, 2, size).astype(dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_is_the_papers(kind: str) -> None:
    size = 6
    optimizer = make_optimizer(kind, size, np.float64, NUMBERS)
    values = some_values(size)
    expected = values.tolist()
    memories: list[dict] = [{} for _ in range(size)]
    for t, (rate, grads) in enumerate(zip(RATES, some_gradients(size), strict=True), start=1):
        optimizer.step(values, grads, rate)
        expected = [
            LITERAL[kind](x, g, rate, t, memory)
            for x, g, memory in zip(expected, grads.tolist(), memories, strict=True)
        ]
        np.testing.assert_allclose(values, expected, rtol=1e-13, atol=1e-15)
        assert optimizer.steps == t


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3])
def test_block_borders_do_not_show(kind: str, size: int) -> None:
    """Every entry moves as it would alone, wherever it lies; float32 stays float32."""
    watched = [i for i in (0, BLOCK - 2, BLOCK - 1, BLOCK, 2 * BLOCK, size - 1) if i < size]
    whole, few = some_values(size, np.float32), some_values(size, np.float32)[watched]
    optimizer = make_optimizer(kind, size, np.float32, NUMBERS)
    optimizer_of_few = make_optimizer(kind, len(watched), np.float32, NUMBERS)
    for rate, grads in zip(RATES, some_gradients(size, np.float32), strict=True):
        optimizer.step(whole, grads, rate)
        optimizer_of_few.step(few, grads[watched], rate)
    np.testing.assert_allclose(whole[watched], few, rtol=1e-6)
    assert all(array.dtype == np.float32 for array in optimizer.state.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_resumed_from_state_is_the_straight_run_bit_for_bit(kind: str, dtype: Any) -> None:
    size = BLOCK + 5
    gradients = some_gradients(size, dtype)
    straight, resumed = some_values(size, dtype), some_values(size, dtype)
    optimizer = make_optimizer(kind, size, dtype, NUMBERS)
    for rate, grads in zip(RATES, gradients, strict=True):
        optimizer.step(straight, grads, rate)

    first = make_optimizer(kind, size, dtype, NUMBERS)
    for rate, grads in zip(RATES[:2], gradients[:2], strict=True):
        first.step(resumed, grads, rate)
    second = make_optimizer(kind, size, dtype, NUMBERS)
    second.load(first.state, first.steps)
    for array in first.state.values():
        array[...] = nan  # what was loaded is a copy
    for rate, grads in zip(RATES[2:], gradients[2:], strict=True):
        second.step(resumed, grads, rate)

    assert resumed.tobytes() == straight.tobytes()
    assert second.steps == optimizer.steps == len(RATES)
    for name, array in optimizer.state.items():
        assert second.state[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_left_as_they_are(kind: str) -> None:
    grads = some_gradients(9)[0]
    kept = grads.copy()
    make_optimizer(kind, 9, np.float64, NUMBERS).step(some_values(9), grads, 0.1)
    assert np.array_equal(grads, kept)


def test_another_optimizers_state_is_refused() -> None:
    adam = make_optimizer("adam", 5, np.float32, NUMBERS)
    with pytest.raises(FileError, match="expected"):
        adam.load(make_optimizer("rmsprop", 5, np.float32, NUMBERS).state, 1)
    with pytest.raises(FileError, match=r"expected float32 \(5,\), found float32 \(6,\)"):
        adam.load(make_optimizer("adam", 6, np.float32, NUMBERS).state, 1)
    with pytest.raises(FileError, match="found float64"):
        adam.load(make_optimizer("adam", 5, np.float64, NUMBERS).state, 1)
    assert adam.steps == 0


def test_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch")
    makers = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1, alpha=0.93, eps=1e-3),
        "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1, eps=1e-3),
        "adam": lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.85, 0.97), eps=1e-3),
        "adamw": lambda p: torch.optim.AdamW(
            p, lr=0.1, betas=(0.85, 0.97), eps=1e-3, weight_decay=0.07
        ),
    }
    for kind, maker in makers.items():
        values = some_values(7)
        parameter = torch.tensor(values.copy(), requires_grad=True)
        ours, theirs = make_optimizer(kind, 7, np.float64, NUMBERS), maker([parameter])
        for grads in some_gradients(7):
            ours.step(values, grads, 0.1)
            parameter.grad = torch.tensor(grads)
            theirs.step()
        np.testing.assert_allclose(values, parameter.detach().numpy(), rtol=1e-12)


def test_clipping_by_norm_keeps_the_direction() -> None:
    grads = np.array([3.0, -4.0, 12.0], np.float32)
    assert clip_by_norm(grads, 6.5) == 13.0
    assert grads.tolist() == [1.5, -2.0, 6.0]


@pytest.mark.parametrize("limit", [13.0, 14.0, inf])
def test_a_norm_within_the_limit_changes_nothing(limit: float) -> None:
    grads = np.array([3.0, -4.0, 12.0], np.float32)
    assert clip_by_norm(grads, limit) == 13.0
    assert grads.tolist() == [3.0, -4.0, 12.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_gradients_do_not_overflow(dtype: Any) -> None:
    grads = np.full(3 * BLOCK + 1, 1e38, dtype)
    norm = clip_by_norm(grads, 5.0)
    assert norm == pytest.approx(1e38 * sqrt(grads.size), rel=1e-6)
    np.testing.assert_allclose(grads, 5.0 / sqrt(grads.size), rtol=1e-6)


def test_the_norm_of_many_small_ones_is_exact() -> None:
    grads = np.full(1_000_000, 0.1, np.float32)
    assert clip_by_norm(grads, inf) == pytest.approx(float(np.float32(0.1)) * 1000, rel=1e-12)


@pytest.mark.parametrize("clip", [clip_by_norm, clip_by_value])
@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_a_norm_that_is_not_finite_is_returned_and_nothing_clipped(
    clip: Callable[[np.ndarray, float], float], bad: float
) -> None:
    grads = np.array([1.0, bad, 100.0], np.float32)
    norm = clip(grads, 5.0)
    assert isnan(norm) if isnan(bad) else norm == inf
    assert grads[[0, 2]].tolist() == [1.0, 100.0]


def test_clipping_by_value_cuts_entries() -> None:
    grads = np.array([3.0, -4.0, 12.0, 0.5], np.float32)
    assert clip_by_value(grads, 3.5) == pytest.approx(sqrt(169.25), rel=1e-12)
    assert grads.tolist() == [3.0, -3.5, 3.5, 0.5]
