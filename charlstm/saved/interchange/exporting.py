"""A model in the formats of other programs."""

import io
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from charlstm.errors import ConfigError
from charlstm.messages import shorten
from charlstm.nn.parameter import Array
from charlstm.saved.checkpoint import LoadedModel
from charlstm.saved.interchange.description import describe
from charlstm.saved.interchange.onnx_graph import onnx_bytes
from charlstm.saved.interchange.torch_module import write_module
from charlstm.saved.interchange.torch_names import to_module, to_torch
from charlstm.saved.writer.page import page
from charlstm.system.files import write_named
from charlstm.system.safetensors import tensor_chunks

Chunks = list[bytes | memoryview]

SUFFIXES = {
    ".html": "html",
    ".safetensors": "safetensors",
    ".pt": "torch",
    ".onnx": "onnx",
    ".npz": "npz",
}


def export(
    loaded: LoadedModel, path: Path, format_name: str | None = None, weights: str | None = None
) -> str:
    """Write the model to ``path``, whole or not at all; returns the format.

    Without a ``format_name`` the suffix decides. ``weights``, for ``html`` alone: ``float16`` or
    ``int8``. Raises `ConfigError` for a format that cannot hold this model or needs a package that
    is not installed, `SystemRefusedError` as files do.
    """
    format_name = format_name or format_of(path)
    if weights is not None and format_name != "html":
        raise ConfigError(f"{format_name} holds the weights as they are; only html rounds them")
    content = FORMATS[format_name](loaded) if weights is None else _html(loaded, weights)
    if format_name == "torch":
        write_module(loaded, path)
    write_named(path, content)
    return format_name


def format_of(path: Path) -> str:
    """By its suffix. Raises `ConfigError`."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"{shorten(path.name)}: which format? End the name in one of"
            f" {', '.join(SUFFIXES)}, or give --format"
        )
    return SUFFIXES[path.suffix]


def _safetensors(loaded: LoadedModel) -> Chunks:
    """An LSTM under PyTorch's names; other cells, which it does not have, under ours."""
    arrays = _state_dict(loaded) if loaded.model.shape.is_standard else _parameters(loaded)
    try:
        return tensor_chunks(arrays, describe(loaded))
    except ValueError:
        raise ConfigError("the vocabulary is too large for a safetensors file; use npz") from None


def _torch(loaded: LoadedModel) -> Chunks:
    arrays = _state_dict(loaded)
    torch = _needs("torch", "or use safetensors, which PyTorch reads too")
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, buffer)
    return [buffer.getbuffer()]


def _onnx(loaded: LoadedModel) -> Chunks:
    return [onnx_bytes(loaded, _needs("onnx", "or use safetensors or npz"))]


DESCRIBED = {"config", "specials", "label_counts"}


def _npz(loaded: LoadedModel) -> Chunks:
    """Our own names and layout, with ``vocabulary`` (code points) and ``config`` (JSON); of a list,
    ``specials`` and ``label_counts`` (JSON), which come after those in the rows of the weights.
    """
    arrays = _parameters(loaded) | {"vocabulary": loaded.vocabulary.to_array()}
    arrays |= {name: np.array(text) for name, text in describe(loaded).items() if name in DESCRIBED}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            # ZipInfo dates from 1980: the same model gives the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), _npy(array))
    return [buffer.getbuffer()]


def _html(loaded: LoadedModel, weights: str = "float16") -> Chunks:
    return [page(loaded, weights).encode("utf-8")]


FORMATS: dict[str, Callable[[LoadedModel], Chunks]] = {
    "html": _html,
    "safetensors": _safetensors,
    "torch": _torch,
    "onnx": _onnx,
    "npz": _npz,
}


def _state_dict(loaded: LoadedModel) -> dict[str, Array]:
    shape = loaded.model.shape
    to_names = to_torch if shape.is_standard else to_module
    return to_names(_parameters(loaded), shape.layers)


def _parameters(loaded: LoadedModel) -> dict[str, Array]:
    return {name: parameter.value for name, parameter in loaded.model.parameters().items()}


def _npy(array: Array) -> memoryview:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getbuffer()


def _needs(package: str, otherwise: str) -> ModuleType:
    try:
        return import_module(package)
    except ImportError:
        raise ConfigError(
            f"this format needs the package {package}, which is not installed:"
            f" pip install {package}, {otherwise}"
        ) from None
