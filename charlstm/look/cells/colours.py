"""Colours of an activation: blue below zero, orange above, which every kind of eye tells apart.

Text stands on them, so each keeps a contrast of at least 4.5 to the text (WCAG 2.2, level AA).
"""

from dataclasses import dataclass

Colour = tuple[int, int, int]

LEVELS = 16  # on either side of zero


@dataclass(frozen=True)
class Theme:
    """``ink`` is the colour of the text on all of them."""

    ink: Colour
    low: Colour
    zero: Colour
    high: Colour

    def background(self, level: int) -> Colour:
        """``level`` from -LEVELS to LEVELS."""
        end = self.low if level < 0 else self.high
        share = abs(level) / LEVELS
        red, green, blue = (round(a + (b - a) * share) for a, b in zip(self.zero, end, strict=True))
        return red, green, blue


LIGHT = Theme(ink=(26, 28, 33), low=(74, 153, 222), zero=(255, 255, 255), high=(247, 148, 48))
DARK = Theme(ink=(244, 244, 242), low=(28, 98, 172), zero=(22, 25, 31), high=(166, 82, 0))


def level_of(value: float) -> int:
    """The level of a value between -1 and 1."""
    return max(-LEVELS, min(LEVELS, round(value * LEVELS)))


def contrast(a: Colour, b: Colour) -> float:
    """WCAG's contrast ratio, from 1 to 21."""
    darker, lighter = sorted((_luminance(a), _luminance(b)))
    return (lighter + 0.05) / (darker + 0.05)


def hexadecimal(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def style_sheet() -> str:
    """Classes ``v0`` (lowest) to ``v32``, in both themes."""
    classes = "".join(f".v{n}{{background-color:var(--v{n})}}\n" for n in range(2 * LEVELS + 1))
    return (
        f":root{{{_variables(LIGHT)}}}\n"
        f"@media (prefers-color-scheme: dark){{:root{{{_variables(DARK)}}}}}\n{classes}"
    )


def _variables(theme: Theme) -> str:
    backgrounds = (theme.background(level) for level in range(-LEVELS, LEVELS + 1))
    named = "".join(f"--v{n}:{hexadecimal(colour)};" for n, colour in enumerate(backgrounds))
    return f"--ink:{hexadecimal(theme.ink)};--zero:{hexadecimal(theme.zero)};{named}"


def _luminance(colour: Colour) -> float:
    red, green, blue = (_linear(channel / 255) for channel in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
