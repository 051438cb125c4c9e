"""Learning-rate schedules: the rate as a function of the step, from 0.

All but `Plateau` are pure functions of the step, so a resumed run needs nothing from them. Every
kind is multiplied by a linear warm-up: ``(step + 1) / warmup_steps`` until that reaches 1
(Goyal et al. 2017).
"""

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from charlstm.errors import FileError
from charlstm.messages import shorten


@dataclass(kw_only=True)
class Schedule(ABC):
    """``learning_rate(step)`` for the update number ``step``, counted from 0."""

    base: float
    warmup_steps: int

    def learning_rate(self, step: int) -> float:
        if step < self.warmup_steps:
            return self._after_warmup(step) * ((step + 1) / self.warmup_steps)
        return self._after_warmup(step)

    def lasts(self, total_steps: int) -> None:  # noqa: B027
        """The run is to be so long; only `Cosine` cares, and not before the warm-up has ended."""

    def observe(self, validation_loss: float) -> None:  # noqa: B027
        """Take note of an evaluation; only `Plateau` cares."""

    def state(self) -> dict[str, float | int | None]:
        """What must be saved to go on exactly: JSON numbers, or null."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Take back what `state` gave; an empty one (another schedule's) means a fresh start."""

    @abstractmethod
    def _after_warmup(self, step: int) -> float: ...


@dataclass(kw_only=True)
class Constant(Schedule):
    """The base rate throughout."""

    def _after_warmup(self, step: int) -> float:
        return self.base


@dataclass(kw_only=True)
class StepDecay(Schedule):
    """char-rnn's: base decay^k, with a first k after ``start_epoch`` whole epochs.

    k grows by one every ``every_epochs`` epochs: with start 10 and every 1, the first ten epochs
    run at base, the eleventh at base decay, the twelfth at base decay^2. Never below ``minimum``.
    Both may be parts of an epoch.
    """

    decay: float
    start_epoch: float
    every_epochs: float
    steps_per_epoch: int
    minimum: float

    def _after_warmup(self, step: int) -> float:
        epochs = step / self.steps_per_epoch
        if epochs < self.start_epoch:
            return self.base
        k = math.floor((epochs - self.start_epoch) / self.every_epochs) + 1
        return max(self.minimum, self.base * math.pow(self.decay, k))


@dataclass(kw_only=True)
class Exponential(Schedule):
    """base decay^(step / decay_steps), without stairs, never below ``minimum``."""

    decay: float
    decay_steps: int
    minimum: float

    def _after_warmup(self, step: int) -> float:
        return max(self.minimum, self.base * math.pow(self.decay, step / self.decay_steps))


@dataclass(kw_only=True)
class Cosine(Schedule):
    """Half a cosine from base to ``minimum`` (Loshchilov & Hutter 2017, without restarts).

    minimum + (base - minimum) (1 + cos(pi p)) / 2, where p goes from 0 at the end of the warm-up
    to 1 at ``total_steps``, and stays there.
    """

    total_steps: int
    minimum: float

    def lasts(self, total_steps: int) -> None:
        self.total_steps = total_steps

    def _after_warmup(self, step: int) -> float:
        if step <= self.warmup_steps:
            return self.base
        if step >= self.total_steps:
            return self.minimum
        progress = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return self.minimum + (self.base - self.minimum) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(kw_only=True)
class Plateau(Schedule):
    """Multiplied by ``decay`` when validation stops improving (Keras' ReduceLROnPlateau).

    An evaluation improves when its loss is below the best so far by more than ``threshold`` (in
    nats). After ``patience`` evaluations in a row without improvement the rate falls and the
    count starts again. Never below ``minimum``. A loss that is not a number does not improve.
    """

    decay: float
    patience: int
    threshold: float
    minimum: float
    factor: float = field(default=1.0, init=False)
    best: float | None = field(default=None, init=False)
    waiting: int = field(default=0, init=False)

    def _after_warmup(self, step: int) -> float:
        return max(self.minimum, self.base * self.factor)

    def observe(self, validation_loss: float) -> None:
        if self._improves(validation_loss):
            self.best = validation_loss
            self.waiting = 0
            return
        self.waiting += 1
        if self.waiting >= self.patience:
            self.factor *= self.decay
            self.waiting = 0

    def state(self) -> dict[str, float | int | None]:
        return {"factor": self.factor, "best": self.best, "waiting": self.waiting}

    def restore(self, state: Mapping[str, Any]) -> None:
        if not state:
            return
        factor, best, waiting = state.get("factor"), state.get("best"), state.get("waiting")
        if not (
            _is_number(factor)
            and (best is None or _is_number(best))
            and type(waiting) is int
            and waiting >= 0
        ):
            raise FileError(f"schedule state: is not a plateau schedule's: {shorten(dict(state))}")
        self.factor, self.best, self.waiting = float(factor or 0), best, waiting

    def _improves(self, loss: float) -> bool:
        if self.best is None:
            return math.isfinite(loss)
        return loss < self.best - self.threshold


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": StepDecay,
    "exponential": Exponential,
    "cosine": Cosine,
    "plateau": Plateau,
}


def make_schedule(kind: str, numbers: Mapping[str, float]) -> Schedule:
    """A schedule of a kind in `SCHEDULES`; of ``numbers`` it takes those in its formula."""
    schedule = SCHEDULES[kind]
    needed: dict[str, Any] = {f.name: numbers[f.name] for f in fields(schedule) if f.init}
    return schedule(**needed)


def _is_number(value: object) -> bool:
    largest = sys.float_info.max  # a JSON integer may be larger
    return type(value) in (int, float) and abs(value) <= largest  # type: ignore[arg-type]
