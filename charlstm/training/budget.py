"""A run that ends on time: its speed is measured for a moment, and its length follows from that."""

import math
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import NamedTuple

from charlstm.config.auto import SIZES, settled, sizes_of
from charlstm.config.fitting import NOMINAL_SPEED, work_per_character
from charlstm.config.schema import value_of, with_values
from charlstm.config.settings import AUTO, Config
from charlstm.from_config import total_steps_of
from charlstm.saved.progress import Progress
from charlstm.saved.run_folder import RunFolder
from charlstm.system.comm import Alone
from charlstm.system.mpi_launcher import launched, ranks_started
from charlstm.training.dataset import Dataset, cut
from charlstm.training.loop import Plan, train
from charlstm.training.ranks import ranks_for
from charlstm.training.recorder import NoRecorder
from charlstm.training.setup import prepare
from charlstm.training.trainer import Requests, StepResult, Trainer

MOMENT = 1.5
"""Seconds of steps that tell how fast they are, until the warm-up tells it better."""
WARM_UP = ENOUGH_STEPS = 3
FAR_OFF = 1.5
"""Another machine than the rule knows by this factor wants another size of model."""
EVALUATION = 1.5
"""How many times as fast as training an evaluation reads: it has no backward pass, but begins with
what it does not count. Measured with 448 units: 1.3 in batches of 16, 1.6 in batches of 32.
"""
AFTERWARDS = 5.0
"""Seconds for the comparison with simple methods and the sample, or a fortieth of the time."""
NOT_LEARNED = {
    "training.minutes": None,
    "training.steps": 1_000_000_000,
    "training.early_stopping": 0,
    "schedule.kind": "constant",
    "evaluation.every": 0,
    "output.checkpoint_every": 0,
    "output.sample_every": 0,
}
"""Settings of a training that is only timed."""


class Timed(NamedTuple):
    """A dataset whose run takes as long as it may, and the speed that was measured.

    Training may take ``until`` then, of `time.monotonic`, and ``most_steps`` in all, however much
    time there is.
    """

    dataset: Dataset
    characters_per_second: float
    until: float
    most_steps: int


def is_due(asked: Config, known: Config | None) -> bool:
    """Whether there is a budget that the run so far was not made for."""
    minutes = asked.training.minutes
    if minutes is None or asked.training.steps is not None:
        return False
    return known is None or known.training.minutes != minutes


def fit_to_time(dataset: Dataset, folder: RunFolder | None, started: float) -> Timed:
    """Sizes that were left open, and a length, with which the run takes ``training.minutes``.

    The time runs from ``started``, of `time.monotonic`. ``folder``: as of `ranks_for`.
    """
    seconds, text = 60 * (dataset.asked.training.minutes or 0), dataset.text
    asked = with_values(dataset.asked, {"training.epochs": AUTO})
    config = settled(asked, text, work=seconds * NOMINAL_SPEED)
    speed = _characters_per_second(cut(dataset, config), folder)
    work = speed * work_per_character(sizes_of(config), text.symbols)
    if not 1 / FAR_OFF < work / NOMINAL_SPEED < FAR_OFF:
        other = settled(asked, text, work=seconds * work)
        if sizes_of(other) != sizes_of(config):
            config, speed = other, _characters_per_second(cut(dataset, other), folder)
            work = speed * work_per_character(sizes_of(config), text.symbols)
    fixed = with_values(asked, {path: value_of(config, path) for path in SIZES})
    afterwards = min(AFTERWARDS, seconds / 40)
    until = started + seconds - afterwards
    found = _filling(max(1.0, until - time.monotonic()), cut(dataset, config), fixed, speed, work)
    longest = settled(fixed, text, work=math.inf)
    most = total_steps_of(longest, found.batches.steps_per_epoch)
    return Timed(replace(found, asked=asked), speed, until, most)


class Correction:
    """Of the length of a run, by the speed of its warm-up.

    Up to the end of that no step depends on how many there will be, so the run stays the one that
    its configuration describes. With a mean of the weights some do, and nothing is corrected.
    """

    def __init__(self, timed: Timed | None) -> None:
        has_mean = timed is not None and timed.dataset.config.training.average != "none"
        self._timed = None if has_mean else timed
        self._began = 0.0

    def steps(self, progress: Progress) -> int:
        """How many there are to be in all; 0: as many as were planned."""
        if self._timed is None or progress.due:  # asked in the middle of an evaluation
            return 0
        if progress.step == 1:  # the first one waits for the other workers
            self._began = time.monotonic()
        at = self._timed.dataset.config.schedule.warmup_steps
        if progress.step != at or at < ENOUGH_STEPS:
            return 0
        return self._fitting(self._timed, at)

    def _fitting(self, timed: Timed, done: int) -> int:
        now, cost = time.monotonic(), _Cost(timed.dataset)
        took, left = now - self._began, timed.until - now
        if took < MOMENT:
            return 0
        speed = (cost.of_steps(done) - cost.of_steps(1)) / took
        left = left * speed - cost.at_the_end
        return min(timed.most_steps, done + max(1, int(left / cost.of_a_step)))


def _filling(left: float, dataset: Dataset, fixed: Config, speed: float, work: float) -> Dataset:
    """The length that comes nearest to ``left`` seconds.

    Evaluations take a part of them, and how many there are depends on the length in turn.
    """
    share, tried = 1.0, []
    for _ in range(8):
        found = cut(dataset, settled(fixed, dataset.text, work=left * share * work))
        tried.append(found)
        share = min(1.0, share * left / _seconds(found, speed))
    return min(tried, key=lambda found: abs(_seconds(found, speed) - left))


class _Cost:
    """Of a run, in characters trained on; evaluations are read that much faster."""

    def __init__(self, dataset: Dataset) -> None:
        training, evaluation = dataset.config.training, dataset.config.evaluation
        validation = dataset.text.validation
        self.batch = training.batch_size * training.sequence_length
        self.evaluation = (evaluation.characters or validation) / EVALUATION
        self.every = evaluation.every or math.inf
        whole_at_the_end = evaluation.characters or not evaluation.every
        self.at_the_end = validation / EVALUATION if whole_at_the_end else 0.0

    def of_steps(self, done: int) -> float:
        return done * self.batch + done // self.every * self.evaluation

    @property
    def of_a_step(self) -> float:
        """With its share of the evaluations."""
        return self.batch + self.evaluation / self.every


def _seconds(dataset: Dataset, speed: float) -> float:
    """What a run takes at so many characters a second, evaluations included."""
    cost = _Cost(dataset)
    return (dataset.total_steps * cost.of_a_step + cost.at_the_end) / speed


class _Clock(NoRecorder):
    """Notes when steps end, after the first few."""

    def __init__(self) -> None:
        self.steps = 0
        self.since = self.now = time.monotonic()

    def stepped(self, trainer: Trainer, result: StepResult) -> None:
        self.steps += 1
        self.now = time.monotonic()
        if self.steps == WARM_UP:
            self.since = self.now

    def requests(self) -> Requests:
        return Requests(stop=self.steps > WARM_UP and self.now - self.since > MOMENT)


def _characters_per_second(dataset: Dataset, folder: RunFolder | None) -> float:
    """Of training as it will be, with its workers; under MPI of this rank's share, times ranks."""
    config, ranks = with_values(dataset.config, NOT_LEARNED), 1
    if launched():
        ranks = max(1, ranks_started())
        lanes = max(1, config.training.batch_size // ranks)
        config = with_values(config, {"training.batch_size": lanes})
    trial, clock = cut(dataset, config), _Clock()
    plan = Plan(trial.total_steps, 1_000_000_000, 0, 0, 0, 0, 0)
    alone = nullcontext(Alone()) if launched() else None
    with alone or ranks_for(trial, folder, None) as comm:
        trainer, progress = prepare(trial, comm, None)
        train(trainer, None, plan, progress, recorder=clock, requests=clock.requests)
    steps = max(1, clock.steps - WARM_UP)
    return ranks * steps * trainer.characters_per_step / max(clock.now - clock.since, 1e-6)
