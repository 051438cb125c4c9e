"""Which lines a picture shows, and where on it: for every way of drawing them."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from charlstm.errors import ConfigError
from charlstm.messages import did_you_mean, shorten
from charlstm.saved.history import Axis, Curve, History


class Metric(NamedTuple):
    """What a number in metrics.jsonl is called, and its unit."""

    label: str
    unit: str


METRICS = {
    "train_loss": Metric("training loss", "nats per character"),
    "val_loss": Metric("validation loss", "nats per character"),
    "train_bits_per_char": Metric("training loss", "bits per character"),
    "val_bits_per_char": Metric("validation loss", "bits per character"),
    "bits_above_source": Metric("above the text's source", "bits per character"),
    "learning_rate": Metric("learning rate", ""),
    "grad_norm": Metric("gradient norm before clipping", ""),
    "clipped_share": Metric("share of gradients clipped", ""),
    "chars_per_second": Metric("speed", "characters per second"),
}
AXES: dict[Axis, str] = {"step": "step", "epoch": "epoch", "seconds": "seconds of training"}


class Line(NamedTuple):
    label: str
    curve: Curve


@dataclass(frozen=True)
class Panel:
    """One pair of axes. Some line has a point that can be shown."""

    title: str
    x_label: str
    lines: list[Line]
    logarithmic: bool = False

    @property
    def xs(self) -> "Scale":
        return Scale.around(x for line in self.lines for x in line.curve.x)

    @property
    def ys(self) -> "Scale":
        values = (y for line in self.lines for y in line.curve.y if self.shows(y))
        return Scale.around(values, logarithmic=self.logarithmic)

    def shows(self, y: float) -> bool:
        return y > 0 if self.logarithmic else not math.isnan(y)

    def strokes(self, line: Line) -> Iterator[list[tuple[float, float]]]:
        """The line, interrupted by its gaps: points from 0 to 1, y upwards."""
        xs, ys = self.xs, self.ys
        points = zip(line.curve.x, line.curve.y, strict=True)
        for shown, stroke in itertools.groupby(points, lambda point: self.shows(point[1])):
            if shown:
                yield [(xs.position(x), ys.position(y)) for x, y in stroke]


def metric_names(text: str) -> list[str]:
    """The metrics in ``train_loss,val_loss``. Raises `ConfigError` for a name that is none."""
    names = list(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
    for name in names:
        if name not in METRICS:
            advice = did_you_mean(name, METRICS, otherwise=f"there are {', '.join(METRICS)}")
            raise ConfigError(f"--metric: found {shorten(name)}; {advice}")
    if not names:
        raise ConfigError(f"--metric: name at least one of {', '.join(METRICS)}")
    return names


def panels_of(
    histories: Mapping[str, History],
    metrics: Sequence[str],
    axis: Axis = "step",
    *,
    logarithmic: bool = False,
) -> list[Panel]:
    """Panels for runs by name; what none of them has is left out.

    Several runs: a panel for each metric, with a line for each run. A single one: its metrics of
    the same unit share a panel, so that training and validation loss can be compared.
    """
    groups = _groups(histories, metrics)
    panels = []
    for title, members in groups.items():
        lines = [Line(label, histories[run].curve(m, axis)) for label, run, m in members]
        panel = Panel(title, AXES[axis], lines, logarithmic)
        shown = [line for line in lines if any(map(panel.shows, line.curve.y))]
        if shown:
            panels.append(Panel(title, AXES[axis], shown, logarithmic))
    return panels


def _groups(
    histories: Mapping[str, History], metrics: Sequence[str]
) -> dict[str, list[tuple[str, str, str]]]:
    """Title of a panel: its lines, as label, run and metric."""
    if len(histories) > 1:
        return {_title(METRICS[name]): [(run, run, name) for run in histories] for name in metrics}
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for name in metrics:
        metric = METRICS[name]
        alike = [other for other in metrics if METRICS[other].unit == metric.unit]
        title = _title(metric)
        if metric.unit and len(alike) > 1:
            title = f"loss, {metric.unit}"  # nothing else shares a unit
        groups.setdefault(title, []).extend((metric.label, run, name) for run in histories)
    return groups


def _title(metric: Metric) -> str:
    return f"{metric.label}, {metric.unit}" if metric.unit else metric.label


@dataclass(frozen=True)
class Scale:
    """Maps ``low`` to 0 and ``high`` to 1; ``low < high``, and both above 0 if logarithmic."""

    low: float
    high: float
    logarithmic: bool = False

    @staticmethod
    def around(values: Iterable[float], *, logarithmic: bool = False) -> "Scale":
        """All of the values, of which there is one at least; wider if they are all the same."""
        known = list(values)
        low, high = min(known), max(known)
        if logarithmic:
            return Scale(low, high if high > low else low * 1.1, logarithmic)
        room = 0.0 if high > low else abs(low) or 1.0
        return Scale(low - room / 2, high + room / 2)

    def position(self, value: float) -> float:
        if self.logarithmic:
            low = math.log(self.low)
            return (math.log(value) - low) / (math.log(self.high) - low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, count: int = 5) -> list[float]:
        """At most about ``count`` round numbers, and rarely fewer than half as many."""
        if not self.logarithmic:
            return _linear_ticks(self.low, self.high, count)
        for digits in ((1,), (1, 3), (1, 2, 5)):
            ticks = _decimal_ticks(self.low, self.high, digits)
            if len(ticks) >= 3:
                return ticks[:: math.ceil(len(ticks) / count)]
        return _linear_ticks(self.low, self.high, count)


def _linear_ticks(low: float, high: float, count: int) -> list[float]:
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _decimal_ticks(low: float, high: float, digits: Sequence[int]) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in digits]
    return [tick for tick in ticks if low <= tick <= high]


def tick_text(value: float) -> str:
    """A round number as it is written: 12,000 and 0.5 and 1e-05."""
    if 1000 <= abs(value) < 1e9:
        return f"{value:,.6g}" if value != round(value) else f"{value:,.0f}"
    return f"{value:.6g}"
