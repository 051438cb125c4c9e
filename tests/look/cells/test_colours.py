import re

import pytest

from charlstm.look.cells.colours import (
    DARK,
    LEVELS,
    LIGHT,
    Theme,
    contrast,
    hexadecimal,
    level_of,
    style_sheet,
)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_text_can_be_read_on_every_background(theme: Theme) -> None:
    worst = min(
        contrast(theme.ink, theme.background(level)) for level in range(-LEVELS, LEVELS + 1)
    )
    assert worst >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_more_is_further_from_zero(theme: Theme) -> None:
    """Without any colour vision, strength still shows as lightness."""
    for sign in (-1, 1):
        ratios = [
            contrast(theme.background(0), theme.background(sign * n)) for n in range(LEVELS + 1)
        ]
        assert ratios == sorted(ratios)
        assert ratios[-1] > 2


@pytest.mark.parametrize(("value", "level"), [(0, 0), (1, 16), (-1, -16), (0.5, 8), (-7, -16)])
def test_levels(value: float, level: int) -> None:
    assert level_of(value) == level


def test_style_sheet_has_both_themes() -> None:
    first, last = f"--v0:{hexadecimal(LIGHT.low)};", f"--v32:{hexadecimal(LIGHT.high)};"
    light, dark = style_sheet().split("@media")
    assert first in light
    assert last in light
    assert f"--v32:{hexadecimal(DARK.high)};" in dark
    assert len(re.findall(r"^\.v\d+\{", dark, re.MULTILINE)) == 2 * LEVELS + 1
