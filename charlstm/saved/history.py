"""What metrics.jsonl says of a run: its reports and evaluations, line by line and as curves."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from charlstm.messages import printable
from charlstm.system.files import read_exactly, reading

Axis = Literal["step", "epoch", "seconds"]
Row = dict[str, Any]

LONGEST_REASON = 300
LARGEST = 1e300  # beyond, differences and ratios of finite numbers need not be finite
SMALLEST = 1e-300


class Curve(NamedTuple):
    """``y`` is NaN where the run had no finite number: a gap."""

    x: list[float]
    y: list[float]


@dataclass(frozen=True)
class History:
    """The lines in their order; ``damaged`` are the numbers, from 1, of those left out."""

    rows: list[Row] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)

    def curve(self, metric: str, axis: Axis = "step") -> Curve:
        points = [
            (x, number(row[metric]))
            for row in self.rows
            if metric in row and math.isfinite(x := number(row.get(axis)))
        ]
        return Curve([x for x, _ in points], [y for _, y in points])

    def finite(self, metric: str) -> list[float]:
        return [y for y in self.curve(metric).y if not math.isnan(y)]

    @property
    def last_step(self) -> int | None:
        return self.rows[-1]["step"] if self.rows else None

    @property
    def failure(self) -> str | None:
        """Why the training ended, if its numbers went wrong and it was not resumed: one line."""
        reason = self.rows[-1].get("failed") if self.rows else None
        if not isinstance(reason, str):
            return None
        return printable(reason[:LONGEST_REASON])


def read_history(path: Path) -> History:
    """Read metrics.jsonl, which a trainer may be writing; a run that has none has no history yet.

    What comes after the last line end is a line being written, or torn by a kill, and no loss.
    Raises `FileError` for a file that cannot be read.
    """
    if not path.exists():
        return History()
    with reading(path) as (stream, size):
        lines = bytes(read_exactly(stream, size)).split(b"\n")[:-1]
    rows = [_row(line) for line in lines]
    return History(
        rows=[row for row in rows if row is not None],
        damaged=[place for place, row in enumerate(rows, start=1) if row is None],
    )


def number(value: object) -> float:
    """A float to reckon with: NaN for null, for what is no number, for infinities and what is near
    them; 0 for what is nearly that.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        result = float(value)
    except OverflowError:
        return math.nan
    if abs(result) < SMALLEST:
        return 0.0
    return result if abs(result) <= LARGEST else math.nan


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    has_step = isinstance(row, dict) and type(row.get("step")) is int
    return row if has_step else None
