"""A run at one step, as a sealed file: enough to go on bit for bit, or to use the model alone.

Arrays are named ``param/...``, ``optimizer/...``, ``state`` and ``vocabulary``; everything else is
JSON. Nothing is believed: the arrays must be exactly those that the validated configuration
implies, and this is checked before a model is built.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from charlstm import __version__
from charlstm.config.auto import unsettled
from charlstm.config.reading import config_from_dict
from charlstm.config.schema import with_values
from charlstm.config.settings import Config
from charlstm.config.writing import config_to_dict
from charlstm.errors import ConfigError, FileError
from charlstm.from_config import items_fit, model_of, shape_of
from charlstm.messages import shorten, show
from charlstm.nn.adaptation import Adapted, mixed_losses
from charlstm.nn.mixture import Mixture
from charlstm.nn.model import CharLM, parameter_shapes
from charlstm.nn.optim import OPTIMIZERS
from charlstm.nn.pace import Pace
from charlstm.nn.predictor import Predictor
from charlstm.saved.adaptations import Adaptation, adaptation, checked_adaptations
from charlstm.saved.progress import Progress, checked_progress
from charlstm.saved.run_folder import resolve_checkpoint
from charlstm.system.safetensors import Array, Arrays, JsonObject
from charlstm.system.sealed import read_sealed, seal
from charlstm.text.vocabulary import Ids, Unit, Vocabulary

Read = TypeVar("Read")


class TextIdentity(NamedTuple):
    """What a run learned from: the SHA-256 of the bytes of its files, and its length; the same of
    texts that were ``held_out`` in files of their own, by part.
    """

    sha256: str
    characters: int
    held_out: Mapping[str, "TextIdentity"] = MappingProxyType({})

    def stated(self) -> dict[str, Any]:
        """As JSON."""
        stated: dict[str, Any] = {"sha256": self.sha256, "characters": self.characters}
        if self.held_out:
            stated["held_out"] = {name: text.stated() for name, text in self.held_out.items()}
        return stated


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds, checked."""

    config: Config
    vocabulary: Vocabulary
    progress: Progress
    parameters: Arrays
    optimizer: Arrays
    optimizer_steps: int
    states: Array
    corpus: TextIdentity
    fingerprint: str
    versions: dict[str, str]
    averages: Arrays = field(default_factory=dict)
    adaptations: tuple[Adaptation, ...] = ()
    label_counts: tuple[int, ...] = ()
    """Of the training items, how many have each label of the vocabulary."""

    @property
    def usable(self) -> Arrays:
        """The weights to use: their average, if the run made one; ``parameters`` are to resume."""
        return self.averages or self.parameters


BESIDE_THE_SETTINGS = 1 << 17
"""Bytes of a header, at most, that are for names of arrays, and of labels."""


def require_room(config: Config) -> None:
    """Raises `ConfigError` where checkpoints could not hold the settings: before the first step."""
    try:
        seal({}, {"config": config_to_dict(config), "and more": " " * BESIDE_THE_SETTINGS})
    except ValueError:
        raise ConfigError(
            f"data.files: {len(config.data.files):,} names are more than a checkpoint holds; join"
            " the texts into one file, or name them by a glob in quotes, 'texts/*.txt'"
        ) from None


def checkpoint_chunks(checkpoint: Checkpoint) -> list[bytes | memoryview]:
    """The bytes of a checkpoint's file. Raises `DivergedError` if a number is not finite."""
    arrays: Arrays = {f"param/{name}": value for name, value in checkpoint.parameters.items()}
    arrays |= {f"average/{name}": value for name, value in checkpoint.averages.items()}
    arrays |= {f"optimizer/{name}": value for name, value in checkpoint.optimizer.items()}
    arrays["state"] = checkpoint.states
    arrays["vocabulary"] = checkpoint.vocabulary.to_array()
    state: JsonObject = {
        "config": config_to_dict(checkpoint.config),
        "unit": checkpoint.vocabulary.unit,
        **({"specials": list(specials)} if (specials := checkpoint.vocabulary.specials) else {}),
        **({"label_counts": list(counts)} if (counts := checkpoint.label_counts) else {}),
        "progress": checkpoint.progress.stated(),
        "optimizer_steps": checkpoint.optimizer_steps,
        "corpus": checkpoint.corpus.stated(),
        "fingerprint": checkpoint.fingerprint,
        "versions": checkpoint.versions,
    }
    if checkpoint.adaptations:
        state["adaptations"] = [it.stated() for it in checkpoint.adaptations]
    return seal(arrays, state)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a file. Raises `FileError` naming the file and what is wrong with it."""
    arrays, state = read_sealed(path)
    try:
        return _checked(arrays, state)
    except (FileError, ConfigError) as error:
        raise FileError(f"{show(path)} is no usable checkpoint: {error}") from None


def current_versions() -> dict[str, str]:
    return {"charlstm": __version__, "numpy": np.__version__}


@dataclass(frozen=True)
class LoadedModel:
    """A trained model with all that is needed to use it."""

    path: Path
    model: CharLM
    vocabulary: Vocabulary
    config: Config
    progress: Progress
    corpus: TextIdentity
    label_counts: tuple[int, ...] = ()
    others: tuple["LoadedModel", ...] = ()

    @property
    def predictor(self) -> Predictor:
        """What is asked for what comes next: the model, or with ``others`` all of them as one."""
        if not self.others:
            return self.model
        return Mixture([each.model for each in self.all])

    @property
    def all(self) -> tuple["LoadedModel", ...]:
        return replace(self, others=()), *self.others

    def stated(self) -> dict[str, Any]:
        """Whose figures are told, as JSON."""
        stated: dict[str, Any] = {"checkpoint": str(self.path), "step": self.progress.step}
        if self.others:
            stated["mixed_with"] = [str(other.path) for other in self.others]
        return stated

    def adapting(self, pace: Pace) -> list[Adapted]:
        """Copies of the models that learn from what they read."""
        if self.config.data.items != "none":
            raise FileError("a model of a list cannot adapt to a text; train it on, with init_from")
        start = self.vocabulary.default_start()
        return [Adapted(each.model, start, pace) for each in self.all]

    def adapted_losses(self, ids: Ids, pace: Pace) -> Iterator[NDArray[np.float64]]:
        """Those of dynamic evaluation, as `mixed_losses`."""
        return mixed_losses(self.adapting(pace), ids)

    def adapted(self, ids: Ids, pace: Pace) -> "LoadedModel":
        """With the models as they are after they have read and learned from a text."""
        adapting = self.adapting(pace)
        for _ in mixed_losses(adapting, ids):
            pass
        first, *others = (
            replace(each, model=learned.model)
            for each, learned in zip(self.all, adapting, strict=True)
        )
        return replace(first, others=tuple(others))


def load_model(path: Path) -> LoadedModel:
    """The model of a checkpoint, or of a run folder's best checkpoint. Raises `FileError`."""
    return load_checkpoint(path)[0]


READ_BY = ("items", "labels", "newlines", "normalize")


def load_mixture(paths: Sequence[Path]) -> LoadedModel:
    """Of several models the first, with the others. Raises `FileError` if they do not all know the
    same characters, or do not read alike.
    """
    first, *others = map(load_model, paths)
    for other in others:
        for name in READ_BY:
            ours, theirs = (getattr(one.config.data, name) for one in (other, first))
            if ours != theirs:
                raise FileError(
                    f"{show(other.path)}: reads with data.{name} {shorten(ours)}, and"
                    f" {show(first.path)} with {shorten(theirs)}; models that read alike can be"
                    " mixed"
                )
        if other.vocabulary != first.vocabulary:
            raise FileError(
                f"{show(other.path)}: knows other characters than {show(first.path)}; models of one"
                " vocabulary can be mixed"
            )
    return replace(first, others=tuple(others))


def load_checkpoint(path: Path) -> tuple[LoadedModel, Checkpoint]:
    """As `load_model`, with all else that the file holds."""
    file, checkpoint = read_current(path, lambda file: (file, read_checkpoint(file)))
    model = model_of(checkpoint.config, checkpoint.vocabulary.size)
    load_parameters(model, checkpoint.usable)
    model.name = show(file)
    loaded = LoadedModel(
        path=file,
        model=model,
        vocabulary=checkpoint.vocabulary,
        config=checkpoint.config,
        progress=checkpoint.progress,
        corpus=checkpoint.corpus,
        label_counts=checkpoint.label_counts,
    )
    return loaded, checkpoint


def adapted_checkpoint(
    checkpoint: Checkpoint, loaded: LoadedModel, adapting: Adapted, name: str, ids: Ids
) -> Checkpoint:
    """The checkpoint with the weights of ``adapting``, which has read the text ``name``."""
    text = name, loaded.vocabulary.to_bytes(ids), len(ids)
    made = adaptation(loaded.model, str(loaded.path), text, adapting.pace)
    weights = values_of(adapting.model)
    averages = weights if checkpoint.averages else {}
    history = (*checkpoint.adaptations, made)
    return replace(checkpoint, parameters=weights, averages=averages, adaptations=history)


def read_current(path: Path, read: Callable[[Path], Read]) -> Read:
    """``read`` of the file that ``path`` means.

    Looks again when a trainer has removed it in between, for then there is a newer one.
    """
    while True:
        file = resolve_checkpoint(path)
        try:
            return read(file)
        except (FileError, FileNotFoundError):
            if file == path or os.path.lexists(file):
                raise


def values_of(model: CharLM) -> Arrays:
    return {name: parameter.value for name, parameter in model.parameters().items()}


def load_parameters(model: CharLM, parameters: Mapping[str, Array]) -> None:
    for name, parameter in model.parameters().items():
        parameter.value[...] = parameters[name]


_ENTRIES = {"config", "unit", "progress", "optimizer_steps", "corpus", "fingerprint", "versions"}
_LATER = {"specials", "adaptations", "label_counts"}  # which not every file has


def _checked(arrays: Arrays, state: JsonObject) -> Checkpoint:
    unexpected = sorted(state.keys() - _ENTRIES - _LATER)
    if unexpected:
        raise FileError(f"unexpected entry {shorten(unexpected[0])}")
    config = _config(_mapping(state, "config"))
    vocabulary = _vocabulary(arrays, state, config)
    _check_arrays(arrays, config, vocabulary)
    progress = checked_progress(_mapping(state, "progress"))
    return Checkpoint(
        config=config,
        vocabulary=vocabulary,
        progress=progress,
        parameters=_under("param/", arrays),
        averages=_under("average/", arrays),
        optimizer=_under("optimizer/", arrays),
        optimizer_steps=_count(state, "optimizer_steps"),
        states=arrays["state"],
        corpus=_corpus(_mapping(state, "corpus")),
        fingerprint=_text(state, "fingerprint"),
        versions={str(k): str(v) for k, v in _mapping(state, "versions").items()},
        adaptations=checked_adaptations(state.get("adaptations", [])),
        label_counts=checked_label_counts(state.get("label_counts", []), vocabulary),
    )


def _config(stated: JsonObject) -> Config:
    config = config_from_dict(stated, "its configuration")
    if "characters" not in _mapping(stated, "evaluation"):  # older than this setting
        config = with_values(config, {"evaluation.characters": 0})
    if open_ones := unsettled(config):
        raise FileError(f"{open_ones[0]}: expected a number, found auto")
    return config


def _vocabulary(arrays: Arrays, state: JsonObject, config: Config) -> Vocabulary:
    unit = state.get("unit")
    if unit not in ("characters", "bytes"):
        raise FileError(f"unit: expected characters or bytes, found {shorten(unit)}")
    if "vocabulary" not in arrays:
        raise FileError("it holds no vocabulary")
    checked_unit: Unit = unit
    specials = _texts(state.get("specials", []))
    vocabulary = Vocabulary.from_array(arrays["vocabulary"], checked_unit, specials)
    known = len(vocabulary.code_points)
    if unit == "bytes" and config.data.byte_values != "observed" and known != 256:
        raise FileError("vocabulary: a bytes vocabulary must hold exactly the values 0 to 255")
    if unit != config.data.unit:
        raise FileError(f"unit: its configuration is for {config.data.unit}, found {unit}")
    if not items_fit(config, vocabulary):
        raise FileError("specials: not those of its configuration's data.items and data.labels")
    return vocabulary


def expected_arrays(
    config: Config, vocabulary: Vocabulary
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name, shape and dtype of every array of a checkpoint, computed without taking memory."""
    shape = shape_of(config, vocabulary.size)
    shapes = parameter_shapes(shape)
    size = sum(int(np.prod(sizes, dtype=object)) for sizes in shapes.values())
    remembers = OPTIMIZERS[config.training.optimizer][0].remembers
    layers, B, H = config.model.layers, config.training.batch_size, config.model.hidden_size
    expected = {f"param/{name}": (sizes, shape.dtype) for name, sizes in shapes.items()}
    if config.training.average != "none":
        expected |= {f"average/{name}": (sizes, shape.dtype) for name, sizes in shapes.items()}
    expected |= {f"optimizer/{name}": ((size,), shape.dtype) for name in remembers}
    expected["state"] = ((layers, 2, B, H), shape.dtype)
    expected["vocabulary"] = (vocabulary.code_points.shape, "uint32")
    return expected


def _check_arrays(arrays: Arrays, config: Config, vocabulary: Vocabulary) -> None:
    expected = expected_arrays(config, vocabulary)
    for name, (shape, dtype) in expected.items():
        if name not in arrays:
            raise FileError(f"array {name} is missing")
        found = arrays[name]
        if found.shape != shape or found.dtype != dtype:
            raise FileError(
                f"array {name}: expected {dtype} {shape}, found {found.dtype} {found.shape}"
            )
    unexpected = sorted(arrays.keys() - expected.keys())
    if unexpected:
        raise FileError(f"unexpected array {shorten(unexpected[0])}")


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}


def _corpus(stated: JsonObject) -> TextIdentity:
    held_out = _mapping(stated, "held_out") if "held_out" in stated else {}
    others = {name: _text_identity(_mapping(held_out, name)) for name in held_out}
    own = {name: value for name, value in stated.items() if name != "held_out"}
    return _text_identity(own)._replace(held_out=others)


def _text_identity(stated: JsonObject) -> TextIdentity:
    sha256 = stated.get("sha256")
    if stated.keys() != {"sha256", "characters"} or not isinstance(sha256, str):
        raise FileError("corpus: expected sha256 and characters")
    return TextIdentity(sha256, _count(stated, "characters"))


def _texts(stated: object) -> list[str]:
    if not isinstance(stated, list) or not all(isinstance(name, str) for name in stated):
        raise FileError(f"specials: expected a list of texts, found {shorten(stated)}")
    return stated


def checked_label_counts(stated: object, vocabulary: Vocabulary) -> tuple[int, ...]:
    counts = stated if isinstance(stated, list) else [stated]
    fit = all(type(count) is int and 0 <= count < 2**63 for count in counts)
    if not fit or len(counts) not in {0, len(vocabulary.labels)}:
        raise FileError(f"label_counts: expected one for each label, found {shorten(stated)}")
    return tuple(counts)


def _text(state: JsonObject, name: str) -> str:
    value = state.get(name)
    if not isinstance(value, str):
        raise FileError(f"{name}: expected a text, found {shorten(value)}")
    return value


def _mapping(state: JsonObject, name: str) -> JsonObject:
    value = state.get(name)
    if not isinstance(value, dict):
        raise FileError(f"{name}: expected a mapping, found {shorten(value)}")
    return value


def _count(state: JsonObject, name: str) -> int:
    value = state.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise FileError(f"{name}: expected a count, found {shorten(value)}")
    return value
