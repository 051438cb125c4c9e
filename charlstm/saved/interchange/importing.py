"""A checkpoint from a safetensors file: one that `exporting` wrote, or anybody's with an LSTM."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from charlstm.config.auto import TYPICAL, settled
from charlstm.config.reading import config_from_dict
from charlstm.config.schema import with_values
from charlstm.config.settings import Config
from charlstm.errors import ConfigError, FileError
from charlstm.from_config import shape_of
from charlstm.messages import show
from charlstm.nn.model import parameter_shapes
from charlstm.nn.parameter import Array
from charlstm.saved.checkpoint import Checkpoint, TextIdentity, current_versions, expected_arrays
from charlstm.saved.interchange.description import (
    Ordered,
    described_config,
    described_label_counts,
    described_vocabulary,
)
from charlstm.saved.interchange.torch_names import Sizes, from_torch, reorder_characters
from charlstm.saved.progress import Progress
from charlstm.system.safetensors import read_tensors
from charlstm.text.vocabulary import Vocabulary


def import_checkpoint(path: Path, given: Ordered | None = None) -> Checkpoint:
    """The model in a file as a checkpoint of step 0: for use, or as a start (``init_from``).

    ``given`` is needed unless charlstm wrote the file. Raises `FileError`.
    """
    arrays, texts = read_tensors(path)
    try:
        if texts.get("format", "").startswith("charlstm-"):
            raise FileError("is a checkpoint of charlstm already; use it as it is")
        return _checkpoint(arrays, texts, given)
    except (FileError, ConfigError) as error:
        raise FileError(f"{show(path)}: {error}") from None


def _checkpoint(
    arrays: Mapping[str, Array], texts: Mapping[str, str], given: Ordered | None
) -> Checkpoint:
    if given is None and "charlstm" not in texts:
        raise FileError(
            "it does not say which characters the numbers stand for (charlstm did not write it);"
            " give --vocabulary, --vocabulary-from or --bytes"
        )
    vocabulary, order = given or described_vocabulary(texts)
    if "charlstm" in texts:
        config = described_config(texts)
        is_standard = shape_of(config, vocabulary.size).is_standard
        parameters = from_torch(arrays)[0] if is_standard else dict(arrays)
    else:
        parameters, sizes = from_torch(arrays)
        config = _config_for(parameters, sizes, vocabulary)
    config = with_values(settled(config, TYPICAL), {"training.average": "none"})
    _check_parameters(parameters, config, vocabulary)
    checkpoint = _at_start(config, vocabulary, reorder_characters(parameters, order))
    if given is not None:
        return checkpoint
    return replace(checkpoint, label_counts=described_label_counts(texts, vocabulary))


def _config_for(parameters: Mapping[str, Array], sizes: Sizes, vocabulary: Vocabulary) -> Config:
    model = {
        "layers": sizes.layers,
        "hidden_size": sizes.hidden_size,
        "embedding_size": sizes.embedding_size,
        "dtype": str(parameters["linear.b_y"].dtype),
    }
    data = {"files": "unknown", "unit": vocabulary.unit}
    return config_from_dict({"data": data, "model": model}, "the model")


def _check_parameters(
    parameters: Mapping[str, Array], config: Config, vocabulary: Vocabulary
) -> None:
    scores = parameters.get("linear.b_y", np.empty(0)).size
    if scores != vocabulary.size:
        raise FileError(
            f"the model knows {scores} characters, the vocabulary has {vocabulary.size}"
        )
    if config.data.unit != vocabulary.unit:
        raise FileError(
            f"its configuration is for {config.data.unit}, its vocabulary of {vocabulary.unit}"
        )
    expected = parameter_shapes(shape_of(config, vocabulary.size))
    if {name: array.shape for name, array in parameters.items()} != expected:
        raise FileError("its arrays are not those that its configuration describes")
    for name, array in parameters.items():
        if not np.isfinite(array).all():  # the file's were, before two of them were added
            raise FileError(f"{name} is the sum of two arrays, and too large")
        if array.dtype != config.model.dtype:
            raise FileError(f"{name} is {array.dtype}, but the model {config.model.dtype}")


def _at_start(config: Config, vocabulary: Vocabulary, parameters: dict[str, Array]) -> Checkpoint:
    zeros = {
        name: np.zeros(shape, dtype)
        for name, (shape, dtype) in expected_arrays(config, vocabulary).items()
        if not name.startswith("param/")
    }
    optimizer = {n.removeprefix("optimizer/"): a for n, a in zeros.items() if "/" in n}
    return Checkpoint(
        config=config,
        vocabulary=vocabulary,
        progress=Progress(),
        parameters={name: np.ascontiguousarray(array) for name, array in parameters.items()},
        optimizer=optimizer,
        optimizer_steps=0,
        states=zeros["state"],
        corpus=TextIdentity("", 0),
        fingerprint="",
        versions=current_versions(),
    )
