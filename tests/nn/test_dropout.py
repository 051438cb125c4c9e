import numpy as np
import pytest

from charlstm.nn.dropout import dropout_mask


def mask(rate: float = 0.3, *, seed: int = 1, step: int = 2, place: int = 3, shape=(40, 50, 60)):
    return dropout_mask(shape, rate, np.dtype(np.float32), seed=seed, step=step, place=place)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_what_is_kept_is_scaled_up(rate: float) -> None:
    drawn = mask(rate)
    assert drawn.dtype == np.float32
    values = np.unique(drawn)
    np.testing.assert_allclose(values, [0.0, 1 / (1 - rate)], rtol=1e-6)
    # 120,000 draws: five standard deviations, and half a step of the rate's rounding
    dropped = (drawn == 0).mean()
    assert abs(dropped - rate) < 5 * np.sqrt(rate * (1 - rate) / drawn.size) + 1 / 131072


def test_a_mask_is_a_function_of_where_it_is_used() -> None:
    np.testing.assert_array_equal(mask(), mask())
    np.testing.assert_array_equal(mask(seed=2**64 + 1), mask())


@pytest.mark.parametrize("change", [{"seed": 2}, {"step": 3}, {"place": 4}])
def test_masks_of_two_places_are_independent(change: dict[str, int]) -> None:
    here, there = mask() == 0, mask(**change) == 0
    both = (here & there).mean()
    assert abs(both - 0.09) < 5 * np.sqrt(0.09 * 0.91 / here.size)


def test_units_and_steps_are_dropped_alike() -> None:
    dropped = mask(shape=(200, 20, 30)) == 0
    for axis in ((0, 1), (0, 2), (1, 2)):
        share = dropped.mean(axis=axis)
        n = dropped.size / share.size
        assert np.abs(share - 0.3).max() < 5 * np.sqrt(0.21 / n)


def test_sizes_that_no_power_of_two_divides() -> None:
    assert mask(shape=(1, 1, 1)).shape == (1, 1, 1)
    assert mask(shape=(3, 5, 7)).shape == (3, 5, 7)


@pytest.mark.parametrize("change", [{"seed": 2}, {"step": 3}, {"place": 4}])
def test_no_mask_is_another_one_moved(change: dict[str, int]) -> None:
    """As it would be if the step counted draws: 16 of them are made at a time."""
    here, there = mask().ravel(), mask(**change).ravel()
    for distance in range(0, 161, 16):
        for early, late in ((here, there), (there, here)):
            same = (early[distance:] == late[: late.size - distance]).mean()
            assert same < 0.65  # 0.3^2 + 0.7^2 = 0.58 by chance


def test_recorded_masks() -> None:
    """A run that is resumed under a newer version must go on with the same masks."""
    drawn = mask(0.5, seed=1, step=2, place=3, shape=(2, 3, 4))
    assert "".join("01"[int(kept)] for kept in drawn.ravel() > 0) == "001000101010010011001111"
