"""What a run writes down, and the warning that it is going wrong."""

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import TEXT, metrics, newest, tiny_config, train

from charlstm.nn.sampling import Choice, generate
from charlstm.saved.progress import Progress
from charlstm.saved.run_folder import RunFolder
from charlstm.system.comm import Alone
from charlstm.system.files import LineWriter
from charlstm.training import run
from charlstm.training.console import Silence
from charlstm.training.dataset import read_dataset
from charlstm.training.recorder import Identity, LossWatch, RunRecorder
from charlstm.training.resuming import Options
from charlstm.training.setup import prepare
from charlstm.training.trainer import Requests, StepResult


class Listening(Silence):
    def __init__(self) -> None:
        self.curious = False
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def reported(self, line: str) -> None:
        self.lines.append(line)

    def noted(self, text: str) -> None:
        self.lines.append(text)

    def wants_sample(self) -> bool:
        return self.curious

    def warned(self, line: str) -> None:
        self.warnings.append(line)


class Setup:
    """A recorder, and all that its methods are called with."""

    def __init__(
        self,
        folder: Path,
        progress: Progress | None = None,
        bits: float | None = None,
        **settings: Any,
    ) -> None:
        self.config = tiny_config(folder, **settings)
        dataset = read_dataset(self.config)
        self.trainer, _ = prepare(dataset, Alone(), None)
        self.progress = progress or Progress()
        self.vocabulary = dataset.corpus.vocabulary
        self.folder = RunFolder(folder / "run")
        self.folder.create()
        self.display = Listening()
        identity = Identity(
            self.config,
            dataset.corpus.vocabulary,
            dataset.identity,
            "f" * 64,
            source_bits=bits,
        )
        self.recorder = RunRecorder(self.folder, identity, self.display, self.progress, 40)

    def report(self, loss: float, step: int = 8, **others: Any) -> None:
        self.progress.step, self.progress.window_loss, self.progress.window_steps = (
            step,
            loss * 4,
            4,
        )
        self.progress.window_clipped = 1
        numbers = {"loss": 1.0, "grad_norm": 2.5, "clipped": False, "learning_rate": 0.02}
        result = StepResult(**numbers | others, requests=Requests())  # type: ignore[arg-type]
        self.recorder.report(self.trainer, self.progress, result)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = iter([100.0, 102.0, 105.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    made = Setup(tmp_path, Progress(step=4, seconds=7.0))
    made.progress.epoch = 1.25
    made.report(2.0, clipped=True)
    assert lines_of(made.folder.metrics) == [
        {
            "step": 8,
            "epoch": 1.25,
            "train_loss": 2.0,
            "train_bits_per_char": 2.0 / math.log(2),
            "learning_rate": 0.02,
            "grad_norm": 2.5,
            "clipped": True,
            "clipped_share": 0.25,
            "chars_per_second": 4 * 12 / 2.0,  # 4 steps of 3 x 4 characters in 2 seconds
            "seconds": 9.0,
        }
    ]
    assert made.display.lines == ["step      8/40  loss 2.000  24 char/s  eta 16 s"]
    made.report(1.0, step=10)  # the next window begins where this one ended
    assert lines_of(made.folder.metrics)[1]["chars_per_second"] == 2 * 12 / 3.0


@pytest.mark.parametrize("bits", [None, 1.5])
def test_an_evaluation(tmp_path: Path, bits: float | None):
    made = Setup(tmp_path, bits=bits)
    made.progress.val_loss, made.progress.step = 2.0, 5
    made.progress.best_val_loss, made.progress.best_step = 1.75, 3
    made.recorder.evaluated(made.trainer, made.progress, improved=False)
    (line,) = lines_of(made.folder.metrics)
    above = 2.0 / math.log(2) - 1.5
    assert line["val_bits_per_char"] == 2.0 / math.log(2)
    assert line["improved"] is False
    assert line.get("bits_above_source") == (None if bits is None else above)
    (told,) = made.display.lines
    assert told.startswith("step      5/40  val 2.0000 nats, 2.8854 bits/char")
    assert told.endswith("  (best: 1.7500 at step 3)")
    assert (f", {above:.3f} above the best" in told) == (bits is not None)


def test_a_lost_loss_is_told_in_few_digits(tmp_path: Path):
    made = Setup(tmp_path)
    made.progress.val_loss = 1e30
    made.recorder.evaluated(made.trainer, made.progress, improved=False)
    made.report(1e31)
    assert "val 1e+30 nats, 1.44e+30 bits/char" in made.display.lines[0]
    assert "loss 1e+31  val 1e+30  " in made.display.lines[1]


def test_numbers_are_written_in_full_and_what_is_no_number_as_null(tmp_path: Path):
    made = Setup(tmp_path)
    made.report(1 / 3, grad_norm=math.inf, learning_rate=0.1 + 0.2)
    (line,) = lines_of(made.folder.metrics)
    assert (line["train_loss"], line["learning_rate"]) == (1 / 3, 0.1 + 0.2)
    assert line["grad_norm"] is None
    text = made.folder.metrics.read_text()
    assert not {"NaN", "Infinity"} & set(text.replace(":", " ").replace(",", " ").split())


def test_a_saved_run(tmp_path: Path):
    made = Setup(tmp_path, **{"output.sample_every": 1})
    for _ in range(3):
        made.trainer.step(Requests())
    made.report(2.0)
    made.recorder.sample(made.trainer, made.progress)
    made.progress.step = 3
    made.recorder.save(made.trainer, made.progress, best=True)
    assert made.recorder.last_saved_step == 3
    saved = newest(made.folder.path)
    assert saved.progress.metrics_length == made.folder.metrics.stat().st_size > 0
    assert saved.progress.samples_length == made.folder.samples.stat().st_size > 0
    assert saved.optimizer_steps == 3
    for name, parameter in made.trainer.model.parameters().items():
        np.testing.assert_array_equal(saved.parameters[name], parameter.value)
    np.testing.assert_array_equal(saved.states, made.trainer.gathered_states())
    assert made.folder.best.samefile(made.folder.checkpoint_path(3))


def test_the_lines_are_safe_before_the_checkpoint_that_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = Setup(tmp_path, **{"output.sample_every": 1})
    made.recorder.sample(made.trainer, made.progress)
    made.report(2.0)
    order: list[str] = []
    real = RunFolder.save

    def save(self: RunFolder, *args: Any, **others: Any) -> Path:
        order.append("checkpoint")
        return real(self, *args, **others)

    monkeypatch.setattr(LineWriter, "sync", lambda self: order.append(self.path.name))
    monkeypatch.setattr(RunFolder, "save", save)
    made.recorder.save(made.trainer, made.progress, best=False)
    assert order == ["metrics.jsonl", "samples.txt", "checkpoint"]


def test_lines_after_the_checkpoint_are_dropped(tmp_path: Path):
    made = Setup(tmp_path)
    made.report(3.0, step=4)
    length = made.folder.metrics.stat().st_size
    made.report(2.0, step=8)
    made.recorder.close()
    again = Setup(tmp_path, Progress(step=4, metrics_length=length))
    assert again.display.warnings == []
    again.report(2.0, step=8)
    assert [line["step"] for line in lines_of(made.folder.metrics)] == [4, 8]


def test_missing_lines_are_told(tmp_path: Path):
    again = Setup(tmp_path, Progress(step=4, metrics_length=500))
    (warning,) = again.display.warnings
    assert warning == f"{again.folder.metrics} lacks 500 bytes of earlier reports"


def test_samples(tmp_path: Path):
    made = Setup(tmp_path, **{"output.sample_every": 1, "output.sample_length": 9})
    made.progress.step = 5
    for _ in range(2):  # the run's seed: two samples of one model are the same text
        made.recorder.sample(made.trainer, made.progress)
    first, second = made.folder.samples.read_text().split("--- step 5\n")[1:]
    assert first == second
    assert len(first) == 9 + 1
    vocabulary = made.vocabulary
    expected = generate(
        made.trainer.model,
        vocabulary.encode("\n"),
        count=1,
        length=9,
        choice=Choice(),
        seed=made.config.seed,
    )
    assert first[:9] == "".join(vocabulary.decode(ids) for ids in expected)


def test_a_sample_on_the_screen_disturbs_nothing(tmp_path: Path):
    for name in "ab":
        (tmp_path / name).mkdir()
    made, other = Setup(tmp_path / "a"), Setup(tmp_path / "b")
    made.display.curious = True
    for _ in range(5):
        for setup in (made, other):
            result = setup.trainer.step(Requests())
            setup.recorder.stepped(setup.trainer, result)
    assert [text.partition("\n")[0] for text in made.display.lines] == [
        f"--- step {step}" for step in range(1, 6)
    ]
    assert len({text.partition("\n")[2] for text in made.display.lines}) > 1
    assert other.display.lines == []
    np.testing.assert_array_equal(made.trainer.model.values, other.trainer.model.values)
    np.testing.assert_array_equal(made.trainer.gathered_states(), other.trainer.gathered_states())
    assert not made.folder.samples.exists()


def test_a_sample_that_cannot_be_made_ends_nothing(tmp_path: Path):
    made = Setup(tmp_path)
    made.display.curious = True
    result = made.trainer.step(Requests())
    made.trainer.model.values[...] = np.inf
    made.recorder.stepped(made.trainer, result)
    assert made.display.lines == []


# Going wrong


def diverges(losses: list[float], vocabulary_size: int = 50) -> list[int]:
    watch = LossWatch(vocabulary_size)
    return [place for place, loss in enumerate(losses) if watch.diverges(loss)]


LN50 = math.log(50)


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([4.1, 3.0, 2.0, 1.5, 1.2, 1.1], []),
        ([4.1, 3.0, 2.0, 3.5, 3.9], []),  # much worse than before, but better than guessing
        ([4.1, 3.9, 4.2, 4.4], []),  # worse than guessing, but no worse than it was
        ([4.1, 2.0, 3.9, 4.0], [3]),
        ([4.1, 2.0, 40.0, 1.0, 40.0], [2]),  # once
        ([LN50 * 1.49], []),
        ([LN50 * 1.51], [0]),  # from the start
        ([1e6, 2e6], [0]),
    ],
)
def test_when_a_loss_diverges(losses: list[float], told: list[int]):
    assert diverges(losses) == told


def test_a_text_of_one_character_never_diverges():
    assert diverges([0.0, 0.0], vocabulary_size=1) == []


def test_the_warning(tmp_path: Path):
    made = Setup(tmp_path)
    for step, loss in ((4, 2.5), (8, 80.0), (12, 90.0)):
        made.report(loss, step=step)
    (warning,) = made.display.warnings
    uniform = math.log(len(set(TEXT)))
    assert warning == (
        f"the training loss rose to 80 at step 8, above the {uniform:.4g} of guessing blindly;"
        " a learning rate of 0.02 may be too high"
    )


def test_a_healthy_run_warns_of_nothing_and_a_wild_one_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for rate, warned in ((0.02, 0), (1e6, 1)):
        config = tiny_config(tmp_path, **{"training.learning_rate": rate})
        folder = tmp_path / str(rate)
        options = Options()
        run.run_training(config, folder, options, lambda line: None)
        assert capsys.readouterr().err.count("Warning: the training loss rose") == warned


def test_metrics_of_a_run(tmp_path: Path):
    train(tiny_config(tmp_path), tmp_path / "run")
    rows = metrics(tmp_path / "run")
    assert [row["step"] for row in rows if "train_loss" in row] == [3, 6, 9, 12, 15, 18]
    assert [row["step"] for row in rows if "val_loss" in row] == [5, 10, 15, 20]
