"""A trace as rows: chosen, summarised, printed, as JSON, and as a picture."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from charlstm.errors import ConfigError, UserError
from charlstm.look.gradients.reference import Quantities
from charlstm.look.gradients.trace import FallOff, Trace
from charlstm.messages import did_you_mean, shorten, show
from charlstm.nn.finite import quiet
from charlstm.nn.parameter import Array
from charlstm.system.files import write_named

Phase = Literal["forward", "backward", "parameters"]
TITLES: dict[Phase, str] = {
    "forward": "Forward, step by step",
    "backward": "Backward, from the last step to the first",
    "parameters": "Parameters, and their gradients summed over the steps",
}


@dataclass(frozen=True)
class Row:
    """One named array. ``layer`` is None outside the LSTM layers, ``step`` None for a sum."""

    phase: Phase
    step: int | None
    layer: int | None
    name: str
    value: Array

    @property
    def place(self) -> str:
        if self.layer is not None:
            return f"layer {self.layer}"
        return "embedding" if self.name in ("E", "dE") else "output"

    @quiet()
    def summary(self) -> dict[str, Any]:
        value = self.value
        return {
            "phase": self.phase,
            "step": self.step,
            "layer": self.layer,
            "name": self.name,
            "shape": list(value.shape),
            "norm": float(np.linalg.norm(value)),
            "min": float(value.min()),
            "max": float(value.max()),
        }


def rows_of(trace: Trace) -> list[Row]:
    """Everything, in the order in which it is computed."""
    return [*_forward_rows(trace), *_backward_rows(trace), *_parameter_rows(trace)]


def _forward_rows(trace: Trace) -> Iterator[Row]:
    for t, (layers, output) in enumerate(zip(trace.forward, trace.output, strict=True)):
        for number, q in enumerate(layers):
            yield from _named("forward", t, number, q)
        yield from _named("forward", t, None, output)


def _backward_rows(trace: Trace) -> Iterator[Row]:
    for t in reversed(range(len(trace.backward))):
        yield from _named("backward", t, None, trace.output_backward[t])
        for number in reversed(range(len(trace.backward[t]))):
            yield from _named("backward", t, number, trace.backward[t][number])


def _named(phase: Phase, step: int, layer: int | None, quantities: Quantities) -> Iterator[Row]:
    for name, value in vars(quantities).items():
        yield Row(phase, step, layer, name, np.asarray(value))


def _parameter_rows(trace: Trace) -> Iterator[Row]:
    values = trace.network.parameters()
    for full_name, gradient in trace.gradients.items():
        part, *_, name = full_name.split(".")
        layer = int(full_name.split(".")[1]) if part == "lstm" else None
        yield Row("parameters", None, layer, name, values[full_name])
        yield Row("parameters", None, layer, f"d{name}", gradient)


# Choosing -----------------------------------------------------------------------------------------


def choose(
    rows: Sequence[Row],
    *,
    layers: Sequence[int] = (),
    steps: str | None = None,
    only: str | None = None,
) -> list[Row]:
    """The rows of these layers, steps (``0-3,7``) and names (``dh,dc``); everything where nothing
    is said. Sums over all steps belong to no step, and stay. Raises `ConfigError`.
    """
    chosen_steps = None if steps is None else _parse_steps(steps)
    names = None if only is None else _parse_names(only, {row.name for row in rows})
    _require_known("--layer", layers, {row.layer for row in rows if row.layer is not None})
    _require_known(
        "--steps", chosen_steps or (), {row.step for row in rows if row.step is not None}
    )
    return [
        row
        for row in rows
        if (not layers or row.layer in layers)
        and (chosen_steps is None or row.step is None or row.step in chosen_steps)
        and (names is None or row.name in names)
    ]


def _parse_steps(text: str) -> list[int]:
    steps: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not _is_count(first) or (dash and not _is_count(last)):
            raise ConfigError(f"--steps: found {shorten(part)}; write numbers like 0-3,7")
        if dash and int(last) < int(first):
            raise ConfigError(f"--steps: found {shorten(part)}; the lower number comes first")
        steps += range(int(first), int(last or first) + 1)
    return steps


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 7


def _parse_names(text: str, known: set[str]) -> set[str]:
    names = set(text.split(","))
    for name in sorted(names - known):
        advice = did_you_mean(name, known, otherwise=f"there are {', '.join(sorted(known))}")
        raise ConfigError(f"--only: nothing here is called {shorten(name)}; {advice}")
    return names


def _require_known(option: str, wanted: Iterable[int], known: set[int]) -> None:
    for number in wanted:
        if number not in known:
            raise ConfigError(f"{option}: there is no {number}; they go from 0 to {max(known)}")


# Printing -----------------------------------------------------------------------------------------


def lines(
    rows: Iterable[Row], trace: Trace, name_of: Callable[[int], str], *, full: bool = False
) -> Iterator[str]:
    """For a terminal; ``name_of`` shows the character of an id. ``full``: every number."""
    phase, step, place = None, None, None
    for row in rows:
        if row.phase != phase:
            yield from ([] if phase is None else [""])
            yield TITLES[row.phase]
            phase, step, place = row.phase, None, None
        if row.step is not None and row.step != step:
            yield _step_title(row.step, trace, name_of)
            step, place = row.step, None
        if row.place != place:
            yield f"  {row.place}"
            place = row.place
        yield from _row_lines(row, full)


def _step_title(step: int, trace: Trace, name_of: Callable[[int], str]) -> str:
    character, following = name_of(trace.ids[step]), name_of(trace.targets[step])
    output = trace.output[step]
    odds = f"probability {output.probability:.6f}, loss {output.loss:.6f} nats"
    return f"step {step}: {character} -> {following}, {odds}"


def _row_lines(row: Row, full: bool) -> Iterator[str]:
    facts = row.summary()
    shape = "x".join(str(n) for n in facts["shape"]) or "number"
    if not row.value.ndim:
        yield f"    {row.name:<13} {shape:>9}   {float(row.value):.6g}"
        return
    sizes = "   ".join(f"{key} {facts[key]:12.5g}" for key in ("norm", "min", "max"))
    yield f"    {row.name:<13} {shape:>9}   {sizes}"
    if full:
        text = np.array2string(row.value, precision=8, threshold=row.value.size, max_line_width=96)
        yield from (f"      {line}" for line in text.splitlines())


def as_dict(rows: Iterable[Row], trace: Trace, text: str, *, full: bool = False) -> dict[str, Any]:
    """For JSON; with ``full`` each row has its ``values``."""
    decay = FallOff.of(trace)
    return {
        "text": text,
        "loss": trace.loss,
        "rows": [row.summary() | ({"values": row.value.tolist()} if full else {}) for row in rows],
        "fall_off": {"dh": decay.dh.tolist(), "dc": decay.dc.tolist()},
    }


# The picture --------------------------------------------------------------------------------------


def plot(decay: FallOff, path: Path) -> None:
    """A PNG: the norms of dh and dc against the distance in time, one line per layer."""
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--plot {show(path)}: the name must end in .png")
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 (optional, and slow to import)
    except ImportError:
        raise UserError(
            "--plot needs matplotlib, which is not installed: pip install 'charlstm[plot]'"
        ) from None
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, name, norms in ((left, "dh", decay.dh), (right, "dc", decay.dc)):
        for number, layer in enumerate(norms):
            axes.semilogy(layer, label=f"layer {number}")
        axes.set_title(f"norm of {name}")
        axes.set_xlabel("steps back from the loss")
        axes.grid(alpha=0.3)
    left.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    write_named(path, [picture.getbuffer()])
