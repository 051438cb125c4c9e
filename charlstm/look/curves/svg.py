"""Curves as HTML: an SVG that stretches with the page, and labels that keep their size."""

import math
from collections.abc import Iterator, Sequence
from html import escape

from charlstm.look.curves.panels import Line, Panel, Scale, tick_text

SIZE = 1000  # of the SVG's own coordinates, in both directions
MOST_POINTS = 1200
COLOURS = 4

Stroke = Sequence[tuple[float, float]]


def figure(panel: Panel) -> str:
    """The lines use the colours ``line-0``, ``line-1``, ... of the style sheet."""
    many = len(panel.lines) > 1
    keys = "".join(
        f'<span class="key line-{place % COLOURS}">{escape(line.label)}</span>'
        for place, line in enumerate(panel.lines)
        if many
    )
    return (
        f'<figure><figcaption><b>{escape(panel.title)}</b>{keys}</figcaption><div class="plot">'
        f'<svg viewBox="0 0 {SIZE} {SIZE}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(description(panel))}">{_grid(panel)}{"".join(_paths(panel))}</svg>'
        f'{_labels(panel)}</div><p class="axis">{escape(panel.x_label)}</p></figure>\n'
    )


def description(panel: Panel) -> str:
    """For those who cannot see it: where each line begins and ends."""
    return "; ".join(f"{line.label} {_from_to(line)}" for line in panel.lines)


def _from_to(line: Line) -> str:
    shown = [y for y in line.curve.y if not math.isnan(y)]
    return f"from {shown[0]:.4g} to {shown[-1]:.4g}"


def thinned(stroke: Stroke, most: int = MOST_POINTS) -> Stroke:
    """At most about ``most`` points, in which no peak is lost: of each stretch the lowest and the
    highest, and the first and last of all.
    """
    if len(stroke) <= most:
        return stroke
    length = -(-len(stroke) // (most // 2))
    kept = {0, len(stroke) - 1}
    for start in range(0, len(stroke), length):
        places = range(start, min(start + length, len(stroke)))
        kept |= {min(places, key=lambda n: stroke[n][1]), max(places, key=lambda n: stroke[n][1])}
    return [stroke[n] for n in sorted(kept)]


def _paths(panel: Panel) -> Iterator[str]:
    for place, line in enumerate(panel.lines):
        strokes = list(panel.strokes(line))
        pieces = "".join(_path(thinned(stroke)) for stroke in strokes)
        yield f'<path class="line-{place % COLOURS}" d="{pieces}"/>'
        lonely = "".join(_path(stroke) for stroke in strokes if len(stroke) == 1)
        if lonely:
            yield f'<path class="line-{place % COLOURS} dots" d="{lonely}"/>'


def _path(stroke: Stroke) -> str:
    """A single point becomes a line of no length, whose round ends make it a dot."""
    points = [f"{x * SIZE:.1f} {(1 - y) * SIZE:.1f}" for x, y in stroke]
    return f"M{points[0]}L{' '.join(points[1:] or points)}"


def _grid(panel: Panel) -> str:
    heights = (f"{(1 - share) * SIZE:.1f}" for share, _ in _ticks(panel.ys, 5))
    lines = "".join(f"M0 {height}H{SIZE}" for height in heights)
    return f'<path class="grid" d="{lines}"/>'


def _labels(panel: Panel) -> str:
    of_y = (
        f'<span class="y" style="top:{100 - 100 * share:.2f}%">{text}</span>'
        for share, text in _ticks(panel.ys, 5)
    )
    of_x = (
        f'<span class="x" style="left:{100 * share:.2f}%">{text}</span>'
        for share, text in _ticks(panel.xs, 4)
    )
    return "".join((*of_y, *of_x))


def _ticks(scale: Scale, count: int) -> list[tuple[float, str]]:
    return [(scale.position(value), tick_text(value)) for value in scale.ticks(count)]
