"""What rank 0 writes down: metrics, samples and checkpoints in the run folder, talk on stderr."""

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from charlstm.config.schema import with_values
from charlstm.config.settings import Config
from charlstm.config.writing import dump_config
from charlstm.from_config import epochs_of, item_rules_of
from charlstm.messages import duration, figure, json_text, show
from charlstm.nn.finite import OverflowedError
from charlstm.nn.loss import bits
from charlstm.saved.checkpoint import (
    Checkpoint,
    TextIdentity,
    checkpoint_chunks,
    current_versions,
    values_of,
)
from charlstm.saved.progress import Progress
from charlstm.saved.run_folder import RunFolder
from charlstm.system.comm import Alone
from charlstm.system.files import LineWriter, write_atomically
from charlstm.text.vocabulary import Vocabulary
from charlstm.training.console import Display
from charlstm.training.pacing import Stop, never, paced
from charlstm.training.samples import at_a_glance, sample
from charlstm.training.trainer import StepResult, Trainer


@dataclass(frozen=True)
class Identity:
    """What does not change during a run, and goes into each of its checkpoints."""

    config: Config
    vocabulary: Vocabulary
    corpus: TextIdentity
    fingerprint: str
    source_bits: float | None = None
    label_counts: tuple[int, ...] = ()
    characters_per_item: float | None = None
    """Of the validation part of a list, the ends counted."""


class LossWatch:
    """Notices, once, a training loss that grows without ever becoming infinite.

    It has diverged when it is worse than that of a uniform guess, ln V, below which a training
    begins, and also ``GROWTH`` times the lowest seen in any report.
    """

    GROWTH = 1.5

    def __init__(self, vocabulary_size: int) -> None:
        self.uniform = math.log(vocabulary_size)
        self._lowest = self.uniform
        self._told = False

    def diverges(self, loss: float) -> bool:
        """Whether ``loss``, in nats, is the first one that is too high."""
        self._lowest = min(self._lowest, loss)
        if self._told or loss <= self.uniform or loss <= self.GROWTH * self._lowest:
            return False
        self._told = True
        return True


ON_SCREEN = 300
"""Characters at most in a sample that only a terminal is shown."""


class RunRecorder:
    """Writes into the run folder. Times are taken from a clock that cannot be set back."""

    def __init__(
        self,
        folder: RunFolder,
        identity: Identity,
        display: Display,
        progress: Progress,
        total_steps: int,
    ) -> None:
        self.folder = folder
        self._identity = identity
        self._display = display
        self._total_steps = total_steps
        self._metrics = LineWriter(folder.metrics)
        missing = self._metrics.truncate_to(progress.metrics_length)
        if missing:
            display.warned(f"{show(folder.metrics)} lacks {missing:,} bytes of earlier reports")
        self._samples = LineWriter(folder.samples) if identity.config.output.sample_every else None
        if self._samples:
            self._samples.truncate_to(progress.samples_length)
        self._seconds_before = progress.seconds
        self._started = time.perf_counter()
        self._window_started = self._started
        self._window_first_step = progress.step
        self._watch = LossWatch(identity.vocabulary.size)
        self.last_saved_step = progress.step

    def close(self) -> None:
        self._display.close()
        self._metrics.close()
        if self._samples:
            self._samples.close()

    def stepped(self, trainer: Trainer, result: StepResult) -> None:
        self._display.stepped(trainer.step_number, result.loss)
        if self._display.wants_sample():
            with suppress(OverflowedError):  # the training will find out by itself
                length = min(self._identity.config.output.sample_length, ON_SCREEN)
                text = at_a_glance(self._sample(trainer, length))
                self._display.noted(f"--- step {trainer.step_number}\n{text}")

    def lasts(self, trainer: Trainer, total_steps: int) -> None:
        """The run is to be so long, and what is written of it from now on says so."""
        epochs = epochs_of(total_steps, trainer.steps_per_epoch)
        config = with_values(self._identity.config, {"training.epochs": epochs})
        self._identity = replace(self._identity, config=config)
        write_atomically(self.folder.config, [dump_config(config).encode()])
        self._total_steps = total_steps
        self._display.lasts(total_steps)

    def report(self, trainer: Trainer, progress: Progress, result: StepResult) -> None:
        now = time.perf_counter()
        loss = progress.window_loss / progress.window_steps
        steps_here = progress.step - self._window_first_step
        speed = steps_here * trainer.characters_per_step / max(now - self._window_started, 1e-9)
        self._window_started, self._window_first_step = now, progress.step
        seconds = self._seconds(now)
        self._write(
            {
                "step": progress.step,
                "epoch": progress.epoch,
                "train_loss": loss,
                "train_bits_per_char": bits(loss),
                "learning_rate": result.learning_rate,
                "grad_norm": result.grad_norm,
                "clipped": result.clipped,
                "clipped_share": progress.window_clipped / progress.window_steps,
                "chars_per_second": round(speed, 1),
                "seconds": round(seconds, 3),
            }
        )
        left = (self._total_steps - progress.step) * trainer.characters_per_step / max(speed, 1e-9)
        validation = "" if progress.val_loss is None else f"  val {figure(progress.val_loss, 3)}"
        self._display.reported(
            f"step {progress.step:>6}/{self._total_steps}  loss {figure(loss, 3)}{validation}"
            f"  {speed:,.0f} char/s  eta {duration(left)}"
        )
        if self._watch.diverges(loss):
            self._display.warned(
                f"the training loss rose to {loss:.4g} at step {progress.step:,}, above the"
                f" {self._watch.uniform:.4g} of guessing blindly; a learning rate of"
                f" {result.learning_rate:.3g} may be too high"
            )

    def evaluated(self, trainer: Trainer, progress: Progress, improved: bool) -> None:
        loss = progress.val_loss
        assert loss is not None
        line: dict[str, Any] = {
            "step": progress.step,
            "epoch": progress.epoch,
            "val_loss": loss,
            "val_bits_per_char": bits(loss),
        }
        source = self._identity.source_bits
        above = ""
        if source is not None:
            line["source_bits_per_char"] = source
            line["bits_above_source"] = bits(loss) - source
            above = f", {bits(loss) - source:.3f} above the best that any model could reach"
        of_items = ""
        if self._identity.characters_per_item is not None:
            line["val_bits_per_item"] = bits(loss) * self._identity.characters_per_item
            of_items = f", {figure(line['val_bits_per_item'], 2)} bits/item"
        line["improved"] = improved
        line["seconds"] = round(self._seconds(time.perf_counter()), 3)
        self._write(line)
        best = loss if progress.best_val_loss is None else progress.best_val_loss
        self._display.evaluated(loss, best)
        lower = "" if improved else f"  (best: {figure(best, 4)} at step {progress.best_step})"
        self._display.noted(
            f"step {progress.step:>6}/{self._total_steps}  val {figure(loss, 4)} nats,"
            f" {figure(bits(loss), 4)} bits/char{of_items}{above}{lower}"
        )

    def sample(self, trainer: Trainer, progress: Progress, stop: Stop = never) -> None:
        """Raises `StoppedError`, having written nothing, if told to ``stop``."""
        assert self._samples is not None
        length = self._identity.config.output.sample_length
        pieces = paced(self._sample(trainer, length), Alone(), stop)
        text = f"--- step {progress.step}\n{''.join(pieces)}"
        self._samples.append(text)
        self._display.noted(text)

    def _sample(self, trainer: Trainer, length: int) -> Iterator[str]:
        config, vocabulary = self._identity.config, self._identity.vocabulary
        return sample(trainer.usable, vocabulary, item_rules_of(config), length, config.seed)

    def failed(self, progress: Progress, reason: str) -> None:
        """The last line of a run whose numbers went wrong; resuming takes it back."""
        self._write({"step": progress.step, "failed": reason})

    def save(self, trainer: Trainer, progress: Progress, *, best: bool) -> None:
        states = trainer.gathered_states()
        saved = self._with_lengths(progress)
        checkpoint = Checkpoint(
            config=self._identity.config,
            vocabulary=self._identity.vocabulary,
            progress=saved,
            parameters=values_of(trainer.model),
            averages={} if trainer.average is None else values_of(trainer.average.model),
            optimizer=dict(trainer.optimizer.state),
            optimizer_steps=trainer.optimizer.steps,
            states=states,
            corpus=self._identity.corpus,
            fingerprint=self._identity.fingerprint,
            versions=current_versions(),
            label_counts=self._identity.label_counts,
        )
        output = self._identity.config.output
        self.folder.save(
            progress.step,
            checkpoint_chunks(checkpoint),
            keep=output.keep,
            keep_every=output.milestone_every,
        )
        if best:
            self.folder.mark_best(progress.step)
        self.last_saved_step = progress.step

    def _with_lengths(self, progress: Progress) -> Progress:
        """How long the reports are that are safely on disk, and the time so far."""
        self._metrics.sync()
        if self._samples:
            self._samples.sync()
        return replace(
            progress,
            metrics_length=self._metrics.length,
            samples_length=self._samples.length if self._samples else progress.samples_length,
            seconds=self._seconds(time.perf_counter()),
        )

    def _seconds(self, now: float) -> float:
        return self._seconds_before + now - self._started

    def _write(self, line: dict[str, Any]) -> None:
        self._metrics.append(json_text(line))


class NoRecorder:
    """For the ranks that only help: they take part in what needs all ranks, and write nothing."""

    def stepped(self, trainer: Trainer, result: StepResult) -> None:
        pass

    def lasts(self, trainer: Trainer, total_steps: int) -> None:
        pass

    def report(self, trainer: Trainer, progress: Progress, result: StepResult) -> None:
        pass

    def evaluated(self, trainer: Trainer, progress: Progress, improved: bool) -> None:
        pass

    def sample(self, trainer: Trainer, progress: Progress, stop: Stop = never) -> None:
        pass

    def save(self, trainer: Trainer, progress: Progress, *, best: bool) -> None:
        trainer.gathered_states()
