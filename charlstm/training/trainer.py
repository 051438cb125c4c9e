"""One step of truncated backpropagation through time, on one process's lanes of the batch."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from charlstm.errors import DivergedError
from charlstm.nn.averaging import Average
from charlstm.nn.cells import State
from charlstm.nn.dropout import Dropout
from charlstm.nn.model import CharLM
from charlstm.nn.optim import Optimizer, clip_by_norm, clip_by_value
from charlstm.nn.parameter import Array
from charlstm.nn.schedule import Schedule
from charlstm.system.comm import Comm, lane_range
from charlstm.text.batches import Batches
from charlstm.text.packing import ItemBatches


@dataclass(frozen=True)
class StepSettings:
    """The numbers a step needs beside its objects."""

    clip_norm: float
    clip_value: float
    dropout: Dropout


class Requests(NamedTuple):
    """What this process would like all of them to do after the step."""

    stop: bool = False
    save: bool = False
    steps: int = 0
    """How long the run is to be from now on; 0: as it is. Only one rank may say so."""


class StepResult(NamedTuple):
    """``loss`` in nats a character, over the whole batch; ``grad_norm`` before clipping."""

    loss: float
    grad_norm: float
    clipped: bool
    learning_rate: float
    requests: Requests


class Trainer:
    """Everything that changes while a model learns: parameters, optimizer, state and step.

    Every rank has one and runs the same steps; each keeps the state of its own lanes, and all
    apply the same update to their own copy of the parameters.
    """

    def __init__(
        self,
        model: CharLM,
        batches: Batches | ItemBatches,
        *,
        optimizer: Optimizer,
        schedule: Schedule,
        settings: StepSettings,
        comm: Comm,
        average: Average | None = None,
    ) -> None:
        self.model = model
        self.average = average
        self.optimizer = optimizer
        self.schedule = schedule
        self.settings = settings
        self.comm = comm
        self.batch_size = batches.batch_size
        self.lanes = slice(*lane_range(batches.batch_size, comm.rank, comm.size))
        self.batches = batches.lanes(self.lanes.start, self.lanes.stop)
        T, B = batches.sequence_length, self.batches.batch_size
        self.steps_per_epoch = batches.steps_per_epoch
        self.characters_per_step = T * self.batch_size
        self.step_number = 0
        self.states: list[State] = model.zero_states(B)
        self._tape = model.tape(T, B)
        self._x = np.empty((T, B), np.intp)
        self._y = np.empty((T, B), np.intp)

    @property
    def epoch(self) -> float:
        return self.step_number / self.steps_per_epoch

    @property
    def usable(self) -> CharLM:
        """The model that is evaluated, sampled from and handed on: the average, if there is one."""
        return self.model if self.average is None else self.average.model

    def step(self, requests: Requests) -> StepResult:
        """One batch: forward, backward, sum over ranks, clip, update.

        Raises `DivergedError`, on every rank and before the update is applied, when loss or
        gradient is not finite.
        """
        if self.step_number % self.steps_per_epoch == 0:
            self.states = self.model.zero_states(self.batches.batch_size)
        begins = self.batches.batch(self.step_number, self._x, self._y)
        if begins is not None:
            self._tape.begin_at(begins)
        T, B, dropout = len(self._x), self.batch_size, self.settings.dropout
        masks = self.model.draw_masks(dropout, self.step_number, T, B, self.lanes)
        loss, states = self.model.loss_and_gradients(
            self._x,
            self._y,
            self.states,
            self._tape,
            masks=masks,
            characters=self.characters_per_step,
        )
        shared = np.array([loss, *requests], np.float64)
        self.comm.all_reduce(self.model.grads, shared)
        loss = float(shared[0])
        learning_rate = self.schedule.learning_rate(self.step_number)
        norm, clipped = self._clip()
        self._refuse_what_is_not_finite(loss, norm, learning_rate)
        self.optimizer.step(self.model.values, self.model.grads, learning_rate)
        self.states = states
        self.step_number += 1
        if self.average is not None:
            self.average.take(self.model, self.step_number)
        asked = Requests(bool(shared[1]), bool(shared[2]), int(shared[3]))
        return StepResult(loss, norm, clipped, learning_rate, asked)

    def gathered_states(self) -> Array:
        """The state of all lanes, ``(layers, 2, B, H)`` with h before c, on rank 0."""
        own = np.stack([np.stack(state) for state in self.states])
        return self.comm.gather(own, axis=2)

    def restore(self, states: Array, step_number: int) -> None:
        """Take up the state of all lanes at a step; ``states`` as from `gathered_states`."""
        own = states[:, :, self.lanes]
        self.states = [State(h.copy(), c.copy()) for h, c in own]
        self.step_number = step_number

    def _clip(self) -> tuple[float, bool]:
        if self.settings.clip_value:
            norm = clip_by_value(self.model.grads, self.settings.clip_value)
            return norm, bool(np.abs(self.model.grads).max() >= self.settings.clip_value)
        limit = self.settings.clip_norm or math.inf
        norm = clip_by_norm(self.model.grads, limit)
        return norm, norm > limit

    def _refuse_what_is_not_finite(self, loss: float, norm: float, learning_rate: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        what = "loss" if not math.isfinite(loss) else "gradient"
        value = loss if what == "loss" else norm
        raise DivergedError(
            f"{what} became {value} at step {self.step_number + 1} (gradient norm {norm:.3g},"
            f" learning rate {learning_rate:.3g}); the update was not applied"
        )
