"""The training loop: steps, and what happens between them. Every rank runs the same one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from charlstm.errors import DivergedError
from charlstm.saved.progress import Progress
from charlstm.training.evaluation import LaneEvaluation
from charlstm.training.trainer import Requests, StepResult, Trainer

Reason = Literal["finished", "no improvement", "stopped"]


@dataclass(frozen=True)
class Plan:
    """When things happen, in steps; 0: never (or, for ``evaluate_every``, only at the end)."""

    total_steps: int
    report_every: int
    evaluate_every: int
    checkpoint_every: int
    sample_every: int
    early_stopping: int


class Recorder(Protocol):
    """What the world gets to see of a training. Ranks other than 0 record nothing."""

    def stepped(self, trainer: Trainer, result: StepResult) -> None: ...
    def report(self, trainer: Trainer, progress: Progress, result: StepResult) -> None: ...
    def evaluated(self, trainer: Trainer, progress: Progress, improved: bool) -> None: ...
    def sample(self, trainer: Trainer, progress: Progress) -> None: ...
    def save(self, trainer: Trainer, progress: Progress, *, best: bool) -> None: ...


@np.errstate(over="ignore", invalid="ignore")  # what overflows is found, and ends the training
def train(
    trainer: Trainer,
    evaluation: LaneEvaluation | None,
    plan: Plan,
    progress: Progress,
    *,
    recorder: Recorder,
    requests: Callable[[], Requests],
) -> Reason:
    """Train until the plan is done or somebody wants to stop; returns why it ended."""
    while True:
        result = trainer.step(requests())
        step = trainer.step_number
        _note(progress, trainer, result)
        recorder.stepped(trainer, result)
        if _due(step, plan.report_every):
            recorder.report(trainer, progress, result)
            _clear_window(progress)

        last = step >= plan.total_steps
        improved = False
        if evaluation is not None and (last or _due(step, plan.evaluate_every)):
            loss = evaluation.mean_loss()
            _refuse_what_is_not_finite("the validation loss", loss, result, step)
            improved = _observe(progress, loss)
            trainer.schedule.observe(loss)
            recorder.evaluated(trainer, progress, improved)
        if _due(step, plan.sample_every):
            recorder.sample(trainer, progress)

        reason = _reason_to_end(plan, progress, result, last)
        progress.finished = reason in ("finished", "no improvement")
        if reason or improved or result.requests.save or _due(step, plan.checkpoint_every):
            _refuse_what_is_not_finite("a weight", _largest(trainer), result, step)
            progress.schedule = trainer.schedule.state()
            recorder.save(trainer, progress, best=improved)
        if reason:
            return reason


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _reason_to_end(plan: Plan, progress: Progress, result: StepResult, last: bool) -> Reason | None:
    if last:
        return "finished"
    if 0 < plan.early_stopping <= progress.evaluations_since_best:
        return "no improvement"
    return "stopped" if result.requests.stop else None


def _note(progress: Progress, trainer: Trainer, result: StepResult) -> None:
    progress.step = trainer.step_number
    progress.epoch = trainer.epoch
    progress.window_loss += result.loss
    progress.window_clipped += result.clipped
    progress.window_steps += 1
    progress.train_loss = progress.window_loss / progress.window_steps


def _clear_window(progress: Progress) -> None:
    progress.window_loss = 0.0
    progress.window_steps = progress.window_clipped = 0


def _observe(progress: Progress, loss: float) -> bool:
    """Note a validation loss; whether it is the best so far."""
    progress.val_loss = loss
    if progress.best_val_loss is not None and loss >= progress.best_val_loss:
        progress.evaluations_since_best += 1
        return False
    progress.best_val_loss, progress.best_step = loss, progress.step
    progress.evaluations_since_best = 0
    return True


def _largest(trainer: Trainer) -> float:
    """The largest absolute weight; NaN if any is."""
    return float(np.abs(trainer.model.values).max())


def _refuse_what_is_not_finite(what: str, value: float, result: StepResult, step: int) -> None:
    if not math.isfinite(value):
        raise DivergedError(
            f"{what} became {value} at step {step} (gradient norm {result.grad_norm:.3g},"
            f" learning rate {result.learning_rate:.3g}); this state is not saved"
        )
