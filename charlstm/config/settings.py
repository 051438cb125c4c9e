"""Every setting, with its default and one line on what it does.

The classes are the schema: names, types and choices come from their annotations, the rest from
``setting(...)``. The loader, the commented file that ``charlstm config`` prints and the shell
completion are made from them (see `schema`), so none of the three can go stale.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, Literal

AUTO = "auto"
LARGEST_INTEGER = 2**63 - 1
PRODUCT = re.compile("{0}x{0}x{0}:{0}x{0}".format("([1-9][0-9]{0,8})"))
SMALLEST_EPSILON = 1e-30  # well above the smallest float32, below which it would be 0


def setting(default: Any, comment: str, *, may_change: bool = False, **limits: Any) -> Any:
    """A field with the comment a user reads.

    ``may_change``: a resumed run may have another value than its checkpoint.
    ``limits``: ``low <= value <= high``, ``above < value < below``; ``is_path``.
    """
    metadata = {"comment": comment, "may_change": may_change, **limits}
    return field(default=default, metadata=metadata)


def fitted(comment: str, *, may_change: bool = False, **limits: Any) -> Any:
    """A number that is ``auto`` until `config.auto` fits it to a text, at the start of a run.

    Its annotation is what it is from then on, in a run and in every checkpoint.
    """
    return setting(AUTO, comment, may_change=may_change, auto=True, **limits)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The text and how it is read."""

    files: tuple[str, ...] = setting(
        MISSING,
        "required: text file, list, or glob; relative to this file",
        is_path=True,
        may_change=True,  # the same text may have moved; its hash decides
    )
    validation_fraction: float = setting(
        0.1, "last part of the text, for the validation loss", low=0, below=1
    )
    test_fraction: float = setting(
        0.0, "part after it, kept for a final evaluation", low=0, below=1
    )
    validation_files: tuple[str, ...] | None = setting(
        None, "text of its own for the validation loss, instead", is_path=True, may_change=True
    )
    test_files: tuple[str, ...] | None = setting(
        None, "text of its own for a final evaluation", is_path=True, may_change=True
    )
    items: Literal["none", "lines", "paragraphs"] | str = setting(
        "none", "kind of list, or what parts its items"
    )
    labels: bool = setting(False, "each item begins with a label and a tab")
    unit: Literal["characters", "bytes"] = setting("characters", "what the model reads and writes")
    byte_values: Literal["all", "observed"] = setting(
        "all", "the bytes that a model of bytes knows"
    )
    newlines: Literal["keep", "normalize"] = setting("keep", "CR and CRLF line ends")
    normalize: Literal["none", "NFC"] = setting("none", "Unicode normalization")
    min_count: int = setting(1, "rarer characters are replaced", low=1)
    replacement: str = setting("\ufffd", "the character that replaces them")
    new_characters: Literal["refuse", "grow", "replace"] = setting(
        "refuse", "unknown to the model of init_from"
    )

    @property
    def fractions(self) -> tuple[float, float]:
        """Of the text, for validation and test, where these have no files of their own."""
        return (
            0.0 if self.validation_files else self.validation_fraction,
            0.0 if self.test_files else self.test_fraction,
        )

    @property
    def validates(self) -> bool:
        """Whether anything is kept for the validation loss."""
        return bool(self.validation_files) or self.validation_fraction > 0


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network."""

    cell: Literal["lstm", "simple", "layer-norm"] = setting("lstm", "kind of LSTM")
    input_gate: Literal["free", "capped"] = setting("free", "capped: at most 1 - forget gate")
    layers: int = fitted("LSTM layers, one on top of the other", low=1, high=1000)
    skips: bool = setting(False, "input to every layer, all their outputs to the softmax")
    hidden_size: int = fitted("units in each layer", low=1, high=1_000_000)
    embedding_size: int = fitted("learned input vectors; 0: one-hot input", low=0, high=1_000_000)
    dropout: float = fitted("share of each layer's output dropped in training", low=0, below=1)
    recurrent_dropout: float = setting(
        0.0, "share of new cell input g dropped (layer-norm only)", low=0, below=1
    )
    forget_bias: float = setting(1.0, "forget gate's bias at the start", low=-100, high=100)
    norm_epsilon: float = setting(
        1e-5, "added to the variance (layer-norm only)", low=SMALLEST_EPSILON, high=1
    )
    dtype: Literal["float32", "float64"] = setting("float32", "precision of all numbers")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How it learns."""

    epochs: float = fitted(
        "passes over the text; ignored when steps or minutes is set",
        above=0,
        high=1_000_000_000,
        may_change=True,
    )
    steps: int | None = setting(
        None, "length in steps instead (batches; one update each)", low=1, may_change=True
    )
    minutes: float | None = setting(
        None,
        "length in minutes, as measured; ignored when steps is set",
        above=0,
        high=1_000_000,
        may_change=True,
    )
    batch_size: int = fitted("streams of text read side by side", low=1, high=1_000_000)
    sequence_length: int = fitted(
        "characters per step: truncated backpropagation", low=1, high=1_000_000
    )
    optimizer: Literal["sgd", "momentum", "rmsprop", "adagrad", "adam", "adamw"] = setting(
        "adam", "update rule"
    )
    learning_rate: float = fitted("step size of an update", above=0, may_change=True)
    momentum: float = setting(0.9, "momentum: share of the last update kept", low=0, below=1)
    rmsprop_decay: float = setting(0.95, "rmsprop: memory of squared gradients", low=0, below=1)
    beta1: float = setting(0.9, "adam, adamw: memory of gradients", low=0, below=1)
    beta2: float = setting(0.999, "adam, adamw: memory of squared gradients", low=0, below=1)
    epsilon: float = setting(
        1e-8, "all but sgd and momentum: keeps divisors off 0", low=SMALLEST_EPSILON, high=1
    )
    weight_decay: float = setting(
        0.0, "adamw: pull of the weights towards 0", low=0, may_change=True
    )
    clip_norm: float = setting(
        5.0, "longest gradient, by its global norm; 0: off", low=0, may_change=True
    )
    clip_value: float = setting(
        0.0, "largest entry of the gradient instead; 0: off", low=0, may_change=True
    )
    average: Literal["none", "ema", "last-fraction"] = setting(
        "none", "mean of the weights, used instead"
    )
    average_fraction: float = setting(
        0.1, "share of all steps that the mean is over", above=0, high=1
    )
    early_stopping: int = fitted(
        "stop after this many evaluations without a new best; 0: off", low=0, may_change=True
    )
    workers: int | Literal["auto"] = setting(
        "auto",
        "processes that share a batch; decides the rounding",
        low=1,
        may_change=True,
    )
    blas_threads: int | Literal["auto"] = setting(
        "auto", "threads of each process's matrix products", low=1, may_change=True
    )
    products: str = setting(
        "auto", "how matrix products are cut: auto is measured; whole: not", may_change=True
    )
    rank_timeout: float = setting(
        60.0, "seconds to wait for a rank on another machine; 0: for ever", low=0, may_change=True
    )


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How the learning rate changes."""

    kind: Literal["constant", "step", "exponential", "cosine", "plateau"] = setting(
        "cosine", "shape", may_change=True
    )
    warmup_steps: int = fitted("steps of linear rise at the start", low=0, may_change=True)
    decay: float = setting(
        0.97, "step, exponential, plateau: factor of a decay", above=0, high=1, may_change=True
    )
    start_epoch: float = setting(
        10.0, "step: epochs before the first decay", low=0, high=1_000_000_000, may_change=True
    )
    every_epochs: float = setting(
        1.0, "step: epochs between decays", low=0.001, high=1_000_000_000, may_change=True
    )
    decay_steps: int = setting(1000, "exponential: steps for one factor", low=1, may_change=True)
    minimum: float = fitted("all but constant: lowest learning rate", low=0, may_change=True)
    patience: int = fitted(
        "plateau: evaluations without improvement before a decay", low=1, may_change=True
    )
    threshold: float = setting(
        0.0, "plateau: least fall of the loss that counts", low=0, may_change=True
    )


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """When the validation loss is computed."""

    every: int = fitted("steps; 0: only at the end", low=0, may_change=True)
    characters: int = fitted("of the validation part, read each time; 0: all of it", low=0)


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What is written, and where."""

    directory: str | None = setting(
        None, "run folder; null: runs/<name of this file>", may_change=True
    )
    report_every: int = setting(100, "steps between lines of metrics.jsonl", low=1, may_change=True)
    checkpoint_every: int = setting(
        1000, "steps between checkpoints; 0: only at the end", low=0, may_change=True
    )
    checkpoint_minutes: float = setting(
        0.0, "also after so many minutes; 0: off", low=0, may_change=True
    )
    keep: int = setting(2, "newest checkpoints kept, besides the best", low=1, may_change=True)
    milestone_every: int = setting(
        0, "steps between checkpoints that are never deleted; 0: off", low=0, may_change=True
    )
    sample_every: int = setting(
        0, "steps between samples in samples.txt; 0: off", low=0, may_change=True
    )
    sample_length: int = setting(200, "characters in such a sample", low=1, may_change=True)

    @property
    def folder(self) -> Path | None:
        """As ``directory``, with the home of a user in the place of its ~."""
        name = self.directory
        return None if name is None else Path(os.path.expanduser(name))  # noqa: PTH111 - never raises


@dataclass(frozen=True, kw_only=True)
class Config:
    """One experiment. Made by ``load_config`` or ``config_from_dict``, which check it."""

    seed: int = setting(1, "of the initial weights, dropout and samples", low=0)
    init_from: str | None = setting(
        None, "start from the weights of this checkpoint or run", is_path=True
    )
    data: DataConfig
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    @property
    def evaluates(self) -> bool:
        return self.data.validates and self.evaluation.every != 0


def _numbers(*values: object) -> bool:
    """Whether all of them are settled: no ``auto`` among them."""
    return AUTO not in values


def conflicts(config: Config) -> Iterator[tuple[str, str]]:
    """Settings that are right alone but not together: (path to blame, problem)."""
    model, training, schedule = config.model, config.training, config.schedule
    evaluates = config.evaluates
    yield from _conflicts_of_data(config.data)
    if model.recurrent_dropout > 0 and model.cell != "layer-norm":
        yield "model.recurrent_dropout", f"needs cell: layer-norm, found {model.cell}"
    if model.skips and model.layers in ((1, AUTO) if config.init_from is None else (1,)):
        yield "model.skips", f"needs layers: 2 or more, found {model.layers} (auto takes 1)"
    if model.skips and model.embedding_size == 0:
        yield "model.skips", "needs embedding_size above 0, found 0 (one-hot)"
    if training.weight_decay > 0 and training.optimizer != "adamw":
        yield "training.weight_decay", f"needs optimizer: adamw, found {training.optimizer}"
    if training.clip_norm > 0 and training.clip_value > 0:
        yield "training.clip_value", "clip by norm or by value: set clip_norm or clip_value to 0"
    if training.early_stopping not in (AUTO, 0) and not evaluates:
        yield "training.early_stopping", "needs validation_fraction and evaluation.every above 0"
    yield from _conflicts_of_products(training.products)
    if schedule.kind == "plateau" and not evaluates:
        yield "schedule.kind", "plateau needs validation_fraction and evaluation.every above 0"
    rates = schedule.minimum, training.learning_rate
    if schedule.kind != "constant" and _numbers(*rates) and rates[0] > rates[1]:
        yield "schedule.minimum", f"must not exceed learning_rate, {training.learning_rate:g}"
    steps, warmup = training.steps, schedule.warmup_steps
    if steps is not None and _numbers(warmup) and warmup >= steps:
        yield "schedule.warmup_steps", f"must be below training.steps, {training.steps}"


def _conflicts_of_products(products: str) -> Iterator[tuple[str, str]]:
    for word in products.split() if products not in (AUTO, "whole") else []:
        sizes = PRODUCT.fullmatch(word)
        if sizes is None:
            shown = repr(word[:40])
            problem = f"must be auto, whole, or words like 16x256x256:16x64, found {shown}"
            yield "training.products", problem
            return
        M, _, N, rows, columns = map(int, sizes.groups())
        if M % rows or N % columns:
            problem = f"{rows} x {columns} tiles do not divide {M} x {N}"
            yield "training.products", f"{word}: {problem}"


NOT_SEPARATORS = {
    **dict.fromkeys(("line", "newline", "newlines", "Lines"), "lines"),
    **dict.fromkeys(("paragraph", "Paragraphs", "blank", "blank lines"), "paragraphs"),
    **dict.fromkeys(("no", "off", "text", "None", "null"), "none"),
}


def _conflicts_of_data(data: DataConfig) -> Iterator[tuple[str, str]]:
    held_out = sum(data.fractions)
    if data.labels and data.items == "none":
        yield "data.labels", "needs data.items: lines, paragraphs, or what stands between them"
    for word, meant in NOT_SEPARATORS.items():
        if data.items == word:
            yield "data.items", f"would part the items at the word {word!r}; did you mean {meant}?"
    if held_out >= 1:
        yield "data.test_fraction", f"with validation_fraction makes {held_out:g}; must be below 1"
    if len(data.replacement) != 1:
        yield "data.replacement", f"must be one character, found {len(data.replacement)}"
    for name, neutral in {"newlines": "keep", "normalize": "none", "min_count": 1}.items():
        if data.unit == "bytes" and getattr(data, name) != neutral:
            yield f"data.{name}", f"bytes are taken as they are; use {neutral} or unit: characters"
    if data.unit == "bytes" and data.new_characters == "replace":
        yield "data.new_characters", "bytes are taken as they are; use grow or unit: characters"
    if data.unit != "bytes" and data.byte_values != "all":
        yield "data.byte_values", "needs unit: bytes; characters are always those of the text"
