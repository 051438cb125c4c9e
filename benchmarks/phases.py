"""Where the time of our training step goes: one process, one thread, phase by phase.

    python benchmarks/phases.py [B T H L]...

Each function is timed where it is called; what is called inside another is taken off it.
"""

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from shapes import SHAPES, Shape

import charlstm.nn.lstm as lstm_module
import charlstm.nn.model as model_module
from charlstm.nn.cuts import Cuts, Sizes, quickest
from charlstm.nn.linear import Linear
from charlstm.nn.lstm import LSTM, Factors
from charlstm.nn.model import CharLM
from charlstm.nn.model import Shape as ModelShape
from charlstm.nn.optim import Adam, clip_by_norm

PHASES: list[tuple[Any, str, str]] = [
    (lstm_module, "project", "gather, W_x x"),
    (LSTM, "forward", "recurrence forward"),
    (LSTM, "backward", "recurrence backward"),
    (Factors, "compute", "factors out of the recurrence"),
    (lstm_module, "weight_gradients", "weight gradients and dx"),
    (lstm_module, "project_backward", "weight gradients and dx"),
    (Linear, "forward", "linear and softmax"),
    (Linear, "backward", "linear and softmax"),
    (model_module, "softmax_cross_entropy", "linear and softmax"),
    (model_module, "softmax_cross_entropy_backward", "linear and softmax"),
]


class Stopwatch:
    """Self times by phase: a phase inside another stops the outer one's clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = time.perf_counter()

    def wrap(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            self._switch()
            self._running.append(phase)
            try:
                return function(*arguments, **named)
            finally:
                self._switch()
                self._running.pop()

        return timed

    def _switch(self) -> None:
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


def measure(shape: Shape, steps: int) -> dict[str, float]:
    """Median milliseconds of every phase."""
    product = Sizes(shape.B, shape.H, shape.H)
    cuts = Cuts({product: quickest(product, shape.T, np.dtype(np.float32))})
    model = CharLM(ModelShape(shape.V, layers=shape.L, hidden_size=shape.H), cuts=cuts)
    adam = Adam(model.values.size, np.float32, beta1=0.9, beta2=0.999, epsilon=1e-8)
    tape, states = model.tape(shape.T, shape.B), model.zero_states(shape.B)
    x, y = np.random.default_rng(1).integers(0, shape.V, (2, shape.T, shape.B))
    samples: dict[str, list[float]] = defaultdict(list)
    for _ in range(steps):
        watch = Stopwatch()
        originals = [(owner, name, getattr(owner, name)) for owner, name, _ in PHASES]
        for owner, name, phase in PHASES:
            setattr(owner, name, watch.wrap(phase, getattr(owner, name)))
        try:
            _, states = model.loss_and_gradients(x, y, states, tape)
        finally:
            for owner, name, original in originals:
                setattr(owner, name, original)
        watch.wrap("clipping", clip_by_norm)(model.grads, 5.0)
        watch.wrap("optimizer", adam.step)(model.values, model.grads, 1e-3)
        for phase, seconds in watch.seconds.items():
            samples[phase].append(1e3 * seconds)
    return {phase: float(np.median(values)) for phase, values in samples.items()}


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:]]
    shapes = [Shape(*numbers[i : i + 4]) for i in range(0, len(numbers), 4)] or SHAPES[:3]
    for shape in shapes:
        phases = measure(shape, steps=max(5, int(4e10 / shape.flops)))
        total = sum(phases.values())
        print(f"\n{shape.name}: {total:.2f} ms on one core")
        for phase, value in sorted(phases.items(), key=lambda item: -item[1]):
            print(f"  {phase:<30} {value:9.3f} ms  {value / total:6.1%}")


if __name__ == "__main__":
    main()
