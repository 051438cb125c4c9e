"""Curves drawn: in a terminal with characters, and as a picture with matplotlib."""

import io
import math
import string
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlstm.errors import ConfigError, UserError
from charlstm.look.curves.panels import Line, Panel, tick_text
from charlstm.messages import shorten, show
from charlstm.system.files import write_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In a terminal -----------------------------------------------------------------------------------

ROWS = 12
NARROWEST = 24
COLOURS = (75, 214, 114, 211, 141, 80, 180, 250)  # of the 256: apart from each other, on any ground
LETTERS = string.ascii_letters
BRAILLE_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row, by column


@dataclass(frozen=True)
class Style:
    """What the terminal can show: ``unicode`` means Braille patterns and box drawing."""

    width: int = 80
    unicode: bool = True
    colours: bool = False


def style_of(environment: Mapping[str, str], encoding: str, width: int, is_terminal: bool) -> Style:
    """A NO_COLOR that is not empty means none (no-color.org)."""
    try:
        "⣿│┤└─".encode(encoding)
        unicode = True
    except (UnicodeEncodeError, LookupError):
        unicode = False
    dull = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    return Style(max(width, NARROWEST), unicode, is_terminal and not dull)


class Canvas:
    """Cells of characters. Each has a pattern of dots, and belongs to the line drawn last."""

    def __init__(self, columns: int, rows: int, *, braille: bool) -> None:
        self.columns, self.rows = columns, rows
        self._across, self._down = (2, 4) if braille else (1, 1)
        self._dots: dict[tuple[int, int], int] = {}
        self._owners: dict[tuple[int, int], int] = {}

    def draw(self, stroke: Sequence[tuple[float, float]], owner: int) -> None:
        """A polyline through points from 0 to 1, y upwards."""
        width, height = self.columns * self._across - 1, self.rows * self._down - 1
        points = [(round(x * width), round((1 - y) * height)) for x, y in stroke]
        for (x, y), (x_next, y_next) in zip(points, points[1:] or points, strict=False):
            steps = max(abs(x_next - x), abs(y_next - y), 1)
            for n in range(steps + 1):
                share = n / steps
                self._set(round(x + (x_next - x) * share), round(y + (y_next - y) * share), owner)

    def _set(self, x: int, y: int, owner: int) -> None:
        cell = (y // self._down, x // self._across)
        dot = BRAILLE_DOTS[y % self._down][x % self._across]
        self._dots[cell] = self._dots.get(cell, 0) | dot
        self._owners[cell] = owner

    def row(self, number: int, paint: Callable[[int, int], str]) -> str:
        """``paint``: dots and owner to a character."""
        cells = ((number, column) for column in range(self.columns))
        return "".join(
            paint(self._dots[cell], self._owners[cell]) if cell in self._dots else " "
            for cell in cells
        )


def terminal_chart(panel: Panel, style: Style) -> Iterator[str]:
    """The lines of a small chart.

    Braille patterns can only be told apart by colour; without it several lines are letters.
    """
    many = len(panel.lines) > 1
    braille = style.unicode and (not many or (style.colours and len(panel.lines) <= len(COLOURS)))
    ticks = _rows_of_ticks(panel)
    margin = max(map(len, ticks.values()))
    canvas = Canvas(style.width - margin - 2, ROWS, braille=braille)
    for owner, line in enumerate(panel.lines):
        for stroke in panel.strokes(line):
            canvas.draw(stroke, owner)
    paint = _painter(braille=braille, many=many, colours=style.colours)
    yield panel.title
    if many:
        yield from _legend(panel.lines, paint, style.width)
    bar, tick, corner, rule = "│┤└─" if style.unicode else "|++-"
    for row in range(ROWS):
        edge = tick if row in ticks else bar
        yield f"{ticks.get(row, ''):>{margin}} {edge}{canvas.row(row, paint)}".rstrip()
    yield f"{'':>{margin}} {corner}{rule * canvas.columns}"
    yield f"{'':>{margin}}  {_x_axis(panel, canvas.columns)}".rstrip()


def _rows_of_ticks(panel: Panel) -> dict[int, str]:
    ys = panel.ys
    ticks = {round((1 - ys.position(value)) * (ROWS - 1)): value for value in ys.ticks(4)}
    return {row: tick_text(value) for row, value in ticks.items()} or {0: tick_text(ys.high)}


def _x_axis(panel: Panel, columns: int) -> str:
    first, last = (tick_text(float(f"{end:.6g}")) for end in (panel.xs.low, panel.xs.high))
    room = columns - len(first) - len(last)
    middle = panel.x_label if len(panel.x_label) + 2 <= room else ""
    return first + middle.center(max(room, 1)) + last


def _painter(*, braille: bool, many: bool, colours: bool) -> Callable[[int, int], str]:
    def paint(dots: int, owner: int) -> str:
        letter = LETTERS[owner % len(LETTERS)] if many else "*"
        mark = chr(0x2800 + dots) if braille else letter
        return f"\x1b[38;5;{COLOURS[owner % len(COLOURS)]}m{mark}\x1b[0m" if colours else mark

    return paint


def _legend(lines: Sequence[Line], paint: Callable[[int, int], str], width: int) -> Iterator[str]:
    """The marks of the lines and their labels, as many side by side as there is room for."""
    row, used = "", 0
    for owner, line in enumerate(lines):
        mark = paint(0x12, owner)
        key = f"{mark}: " if mark in LETTERS else f"{mark} "
        needed = len(line.label) + 5
        if row and used + needed > width:
            yield row.rstrip()
            row, used = "", 0
        row += f"{key}{line.label}  "
        used += needed
    yield row.rstrip()


# As a picture ------------------------------------------------------------------------------------

FORMATS = ("png", "svg")


def format_of(path: Path) -> str:
    """By the end of the name. Raises `ConfigError` for one that is no picture's."""
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise ConfigError(
            f"-o {show(path)}: the name must end in .png or .svg, found {shorten(path.suffix)}"
        )
    return suffix


def save_picture(panels: Sequence[Panel], path: Path) -> None:
    """Draw the panels below each other. Raises a `UserError` without matplotlib."""
    kind = format_of(path)
    try:
        import matplotlib  # noqa: PLC0415 (optional, and slow to import)
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise UserError(
            "-o needs matplotlib, which is not installed: pip install 'charlstm[plot]'"
        ) from None
    picture = io.BytesIO()
    with (
        matplotlib.rc_context({"svg.hashsalt": "charlstm"}),
        warnings.catch_warnings(action="ignore"),  # of letters in names that its font lacks
    ):
        figure = Figure(figsize=(9, 0.4 + 3.4 * len(panels)), layout="constrained")
        _draw(figure, panels)
        metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
        figure.savefig(picture, format=kind, dpi=150, metadata=metadata)
    write_named(path, [picture.getbuffer()])


def _draw(figure: "Figure", panels: Sequence[Panel]) -> None:
    every_axes = figure.subplots(len(panels), squeeze=False, sharex=True).flat
    for axes, panel in zip(every_axes, panels, strict=True):
        for place, line in enumerate(panel.lines):
            axes.plot(*line.curve, color=_colour(place, len(panel.lines)), linewidth=1.4)
            _mark_lonely_points(axes, line)
        if panel.logarithmic:
            axes.set_yscale("log")
            axes.minorticks_off()
            axes.set_yticks(panel.ys.ticks(), labels=map(tick_text, panel.ys.ticks()))
        axes.set(title=panel.title, xlabel=panel.x_label)
        axes.label_outer()
        axes.grid(alpha=0.3)
        if len(panel.lines) > 1:
            _label(axes, panel.lines)


def _colour(place: int, count: int) -> Any:
    """One of the ten that are easy to tell apart, or of a scale where there are more lines."""
    import matplotlib  # noqa: PLC0415

    return f"C{place}" if count <= 10 else matplotlib.colormaps["viridis"](place / (count - 1))


def _mark_lonely_points(axes: "Axes", line: Line) -> None:
    """A point with gaps on both sides would not be seen."""
    gap = [True, *map(math.isnan, line.curve.y), True]
    lonely = [n for n, y in enumerate(line.curve.y) if gap[n] and not gap[n + 1] and gap[n + 2]]
    x, y = ([values[n] for n in lonely] for values in line.curve)
    axes.plot(x, y, ".", color=axes.lines[-1].get_color())


def _label(axes: "Axes", lines: Sequence[Line]) -> None:
    """Labels as they are: matplotlib would leave out _names, and read $ as mathematics."""
    handles = axes.lines[::2]
    legend = axes.legend(handles, ["?"] * len(handles), fontsize="small", loc="best")
    for text, line in zip(legend.get_texts(), lines, strict=True):
        text.set_parse_math(False)
        text.set_text(line.label)
