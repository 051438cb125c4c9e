"""The training loop: steps, and what happens between them. Every rank runs the same one."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np

from charlstm.errors import DivergedError
from charlstm.nn.finite import OverflowedError, quiet
from charlstm.saved.progress import AFTER_A_STEP, Progress
from charlstm.training.evaluation import Evaluation
from charlstm.training.pacing import Stop, StoppedError
from charlstm.training.trainer import Requests, StepResult, Trainer

Reason = Literal["finished", "no improvement", "stopped"]


@dataclass(frozen=True)
class Plan:
    """When things happen, in steps; 0: never (or, for ``evaluate_every``, only at the end)."""

    total_steps: int
    report_every: int
    evaluate_every: int
    checkpoint_every: int
    milestone_every: int
    sample_every: int
    early_stopping: int


class Recorder(Protocol):
    """What the world gets to see of a training. Ranks other than 0 record nothing."""

    def stepped(self, trainer: Trainer, result: StepResult) -> None: ...
    def lasts(self, trainer: Trainer, total_steps: int) -> None: ...
    def report(self, trainer: Trainer, progress: Progress, result: StepResult) -> None: ...
    def evaluated(self, trainer: Trainer, progress: Progress, improved: bool) -> None: ...
    def sample(self, trainer: Trainer, progress: Progress, stop: Stop) -> None: ...
    def save(self, trainer: Trainer, progress: Progress, *, best: bool) -> None: ...


@quiet()  # what overflows is found, and ends the training
def train(
    trainer: Trainer,
    evaluation: Evaluation | None,
    plan: Plan,
    progress: Progress,
    *,
    recorder: Recorder,
    requests: Callable[[], Requests],
) -> Reason:
    """Train until the plan is done or somebody wants to stop; returns why it ended.

    What a request to stop kept from being done after the last step is left in ``progress.due``, and
    comes first here.
    """
    loop = _Loop(trainer, evaluation, plan, progress, recorder, _Questions(requests))
    reason = loop.finish_step(Requests()) if progress.due else None
    while not reason:
        reason = loop.step()
    return reason


class _Questions:
    """Asks at any time; a request to save is kept until a step can grant it."""

    def __init__(self, requests: Callable[[], Requests]) -> None:
        self._requests = requests
        self._save = False

    def stop(self) -> bool:
        asked = self._requests()
        self._save |= asked.save
        return asked.stop

    def take(self) -> Requests:
        asked = self._requests()
        save, self._save = asked.save or self._save, False
        return asked._replace(save=save)


@dataclass
class _Loop:
    trainer: Trainer
    evaluation: Evaluation | None
    plan: Plan
    progress: Progress
    recorder: Recorder
    questions: _Questions
    last: StepResult | None = field(default=None, init=False)

    def step(self) -> Reason | None:
        """One step with all that is due after it. Returns why it was the last, if it was."""
        trainer, progress = self.trainer, self.progress
        self.last = result = trainer.step(self.questions.take())
        _note(progress, trainer, result)
        self.recorder.stepped(trainer, result)
        if result.requests.steps:
            self._change_length(result.requests.steps)
        if _due(progress.step, self.plan.report_every):
            self.recorder.report(trainer, progress, result)
            _clear_window(progress)
        progress.due = self._due_after_this_step()
        return self.finish_step(result.requests)

    def _change_length(self, total_steps: int) -> None:
        self.plan = replace(self.plan, total_steps=total_steps)
        self.trainer.schedule.lasts(total_steps)
        self.recorder.lasts(self.trainer, total_steps)

    def finish_step(self, asked: Requests) -> Reason | None:
        """All that is due; if somebody wants to stop before that is done, the rest stays due."""
        due, improved = self.progress.due, False
        reason: Reason | None
        try:
            if "evaluation" in due:
                improved = self._evaluate()
                due.remove("evaluation")
            if "sample" in due:
                self._sample()
                due.remove("sample")
            reason = self._reason_to_end(asked)
        except StoppedError:
            reason = "stopped"
        self.progress.finished = reason in ("finished", "no improvement")
        if reason or improved or asked.save or self._is_to_be_saved():
            self._save(best=improved)
        return reason

    def _due_after_this_step(self) -> list[str]:
        step, plan = self.progress.step, self.plan
        evaluate = self._is_last() or _due(step, plan.evaluate_every)
        wanted = {
            "evaluation": self.evaluation is not None and evaluate,
            "sample": _due(step, plan.sample_every),
        }
        return [event for event in AFTER_A_STEP if wanted[event]]

    def _evaluate(self) -> bool:
        """Whether the model is the best so far."""
        if self.evaluation is None:  # not so in a file that we have written
            return False
        loss = self.evaluation.mean_loss(self.questions.stop)
        self._refuse_what_is_not_finite("the validation loss", loss)
        improved = _observe(self.progress, loss)
        self.trainer.schedule.observe(loss)
        self.recorder.evaluated(self.trainer, self.progress, improved)
        return improved

    def _sample(self) -> None:
        """Rank 0 samples, and the others wait to hear whether it was told to stop."""
        if not self.plan.sample_every:  # any more
            return
        stopped = np.zeros(1, np.float64)
        try:
            self.recorder.sample(self.trainer, self.progress, self.questions.stop)
        except StoppedError:
            stopped[0] = 1
        except OverflowedError:
            self._refuse_what_is_not_finite("a score of the sample", math.inf)
        self.trainer.comm.all_reduce(np.zeros(0), stopped)
        if stopped[0]:
            raise StoppedError

    def _save(self, *, best: bool) -> None:
        self._refuse_what_is_not_finite("a weight", _largest(self.trainer))
        self.progress.schedule = self.trainer.schedule.state()
        self.recorder.save(self.trainer, self.progress, best=best)

    def _is_to_be_saved(self) -> bool:
        step, plan = self.progress.step, self.plan
        return _due(step, plan.checkpoint_every) or _due(step, plan.milestone_every)

    def _is_last(self) -> bool:
        return self.progress.step >= self.plan.total_steps

    def _reason_to_end(self, asked: Requests) -> Reason | None:
        if self._is_last():
            return "finished"
        if 0 < self.plan.early_stopping <= self.progress.evaluations_since_best:
            return "no improvement"
        return "stopped" if asked.stop else None

    def _refuse_what_is_not_finite(self, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        how = ""
        if self.last is not None:
            norm, rate = self.last.grad_norm, self.last.learning_rate
            how = f" (gradient norm {norm:.3g}, learning rate {rate:.3g})"
        raise DivergedError(
            f"{what} became {value} at step {self.progress.step}{how}; this state is not saved"
        )


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


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
