"""Arrays and JSON in one file that vouches for itself: safetensors with a checksum over all of it.

    8 bytes   length of the header, little-endian
    header    {"__metadata__":{"sha256":"<64 hex>","format":"charlstm-1","state":"<JSON>"},
               "<name>":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},...}   and spaces
    data      the arrays in the order of the header: C order, little-endian, no gaps

Any reader of safetensors opens such a file. The SHA-256 is that of the whole file with its own
64 characters as zeros, and stands at a fixed place, so that it is verified before anything is
parsed. A checksum is no signature: a hostile file can carry a right one, hence every rule of the
format is checked as well, and no size that a file merely declares is ever allocated.
"""

import hashlib
import json
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import DivergedError, FileError, SystemRefusedError, shorten
from charlstm.files import read_exactly, reading, show

_TYPES = {"F64": "<f8", "I64": "<i8", "F32": "<f4", "U32": "<u4", "U16": "<u2", "U8": "u1"}

FORMAT = 1
MAX_HEADER = 2**20  # JSON takes up to twenty times its length in memory once it is parsed
MAX_BRACKETS = 2**14  # and many small objects even more
MAX_RANK = 8
MAX_FILE = 64 * 2**30  # a sparse file of any size costs nothing to make

_PREFIX = b'{"__metadata__":{"sha256":"'
_DIGEST = slice(8 + len(_PREFIX), 8 + len(_PREFIX) + 64)
_NO_DIGEST = b"0" * 64
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}(/[A-Za-z0-9_.-]{1,100}){0,7}")
_FORMAT = re.compile(r"charlstm-([0-9]{1,6})")
_FOREIGN = {
    b"\x80": "is a pickle; charlstm never loads pickles",
    b"PK": "is a zip archive (.npz, or a PyTorch file); charlstm loads only its own checkpoints",
    b"\x93NUMPY": "is an .npy array; charlstm loads only its own checkpoints",
    b"\x1f\x8b": "is compressed with gzip; unpack it first",
    b"<": "is a web page or XML, perhaps a download that went wrong",
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself; run git lfs pull",
}


class _RefusedError(Exception):
    """Why a file cannot be used, as the end of a sentence that starts with its name."""


def seal(arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> list[bytes | memoryview]:
    """The chunks of a file, in order; all but the first are views of the arrays, not copies.

    ``state`` is anything that JSON can say. Raises ``DivergedError`` if an array is not finite,
    for such a file could never be read again; ``ValueError`` for what the format cannot hold.
    """
    # Large elements first: with no gaps allowed, this alone keeps every array aligned.
    ordered = sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize)
    for name, array in ordered:
        if not _is_finite(array):
            raise DivergedError(f"{name} holds NaN or infinite numbers; it is not saved")
    header = _header(ordered, json.dumps(dict(state), allow_nan=False))
    views = [_bytes_of(array) for _, array in ordered]
    head = len(header).to_bytes(8, "little") + header
    digest = _digest(head, views)
    return [head[: _DIGEST.start] + digest + head[_DIGEST.stop :], *filter(len, views)]


def unseal(
    data: bytes | bytearray | memoryview, source: str = "the data"
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays (writable copies) and the state of a sealed file.

    Takes at most twice the size of ``data`` and 20 MB in memory. Raises ``FileError``, and nothing
    else, for any bytes that ``seal`` cannot have made.
    """
    view = memoryview(data).cast("B")
    try:
        _check_start(bytes(view[: _DIGEST.start]), len(view))
        _check_digest(view)
        end = 8 + int.from_bytes(view[:8], "little")
        header = _parse(bytes(view[8:end]))
        state = _state(header.pop("__metadata__"))
        return _arrays(header, view[end:]), state
    except _RefusedError as reason:
        raise FileError(f"{source} {reason}") from None


def read_sealed(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """What ``unseal`` makes of the file at ``path``.

    Raises ``FileError`` naming path and reason, ``SystemRefusedError`` if memory runs out.
    """
    try:
        with reading(path) as (stream, size):
            _check_start(bytes(read_exactly(stream, min(size, _DIGEST.start))), size)
            stream.seek(0)
            content = read_exactly(stream, size)
        return unseal(content, show(path))
    except _RefusedError as reason:
        raise FileError(f"{show(path)} {reason}") from None
    except MemoryError:
        raise SystemRefusedError(f"not enough memory to read {show(path)}") from None


def _header(arrays: list[tuple[str, NDArray[Any]]], state: str) -> bytes:
    metadata = {"sha256": _NO_DIGEST.decode(), "format": f"charlstm-{FORMAT}", "state": state}
    entries: dict[str, Any] = {"__metadata__": metadata}
    position = 0
    for name, array in arrays:
        if not _NAME.fullmatch(name) or name in entries:
            raise ValueError(f"no name for an array: {shorten(name)}")
        if array.ndim > MAX_RANK:
            raise ValueError(f"{name} has more than {MAX_RANK} axes")
        entries[name] = {
            "dtype": _type_name(array),
            "shape": list(array.shape),
            "data_offsets": [position, position + array.nbytes],
        }
        position += array.nbytes
    text = json.dumps(entries, separators=(",", ":")).encode("ascii")
    header = text + b" " * (-len(text) % 8)
    if len(header) > MAX_HEADER or _brackets(header) > MAX_BRACKETS:
        raise ValueError("the state is too large for a header; store it as an array")
    return header


def _type_name(array: NDArray[Any]) -> str:
    for name, letters in _TYPES.items():
        if array.dtype.newbyteorder("=") == np.dtype(letters).newbyteorder("="):
            return name
    raise ValueError(f"a sealed file cannot hold {array.dtype}")


def _bytes_of(array: NDArray[Any]) -> memoryview:
    little = array.dtype.newbyteorder("<")
    return np.ascontiguousarray(array, little).reshape(-1).view(np.uint8).data


def _is_finite(array: NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _digest(head: bytes | memoryview, rest: list[memoryview]) -> bytes:
    """Hex digits of the SHA-256 of a file whose own digest counts as zeros."""
    hasher = hashlib.sha256(head[: _DIGEST.start])
    hasher.update(_NO_DIGEST)
    hasher.update(head[_DIGEST.stop :])
    for view in rest:
        hasher.update(view)
    return hasher.hexdigest().encode()


def _check_start(start: bytes, size: int) -> None:
    """Refuse at once, after a few bytes, what is not a sealed file at all."""
    if not start:
        raise _RefusedError("is empty")
    if start[8:] != _PREFIX:
        raise _RefusedError(_foreign(start))
    length = int.from_bytes(start[:8], "little")
    if not len(_PREFIX) + 64 < length <= MAX_HEADER:
        raise _RefusedError(f"is damaged (a header of {length:,} bytes)")
    if 8 + length > size:
        raise _RefusedError(f"is damaged (cut off after {size:,} bytes)")
    if size > MAX_FILE:
        raise _RefusedError(f"is too large ({size:,} bytes)")


def _foreign(start: bytes) -> str:
    for magic, verdict in _FOREIGN.items():
        if start.lstrip().startswith(magic):
            return verdict
    if start[8:9] == b"{":
        return "is a safetensors file, but charlstm did not write it (or it is damaged)"
    return "is not a charlstm checkpoint (or its first bytes are damaged)"


def _check_digest(data: memoryview) -> None:
    if bytes(data[_DIGEST]) != _digest(data, []):
        raise _RefusedError(f"is damaged (checksum differs, {len(data):,} bytes)")


def _parse(text: bytes) -> dict[str, Any]:
    """A JSON object, read strictly: no duplicate keys, no NaN, no infinity, valid Unicode."""
    if _brackets(text) > MAX_BRACKETS:
        raise _RefusedError("is malformed (too many brackets in its header)")
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_float=_finite_float,
            parse_constant=_finite_float,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # finds lone surrogates
    except UnicodeError:
        raise _RefusedError("is malformed (header: not valid Unicode)") from None
    except RecursionError:
        raise _RefusedError("is malformed (header: nested too deeply)") from None
    except ValueError as error:
        raise _RefusedError(f"is malformed (header: {shorten(str(error))})") from None
    if not isinstance(value, dict):
        raise _RefusedError("is malformed (its state is no JSON object)")
    return value


def _brackets(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("duplicate keys")
    return result


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number")
    return value


def _state(metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, dict):
        raise _RefusedError("is malformed (no metadata)")
    match = _FORMAT.fullmatch(str(metadata.get("format")))
    if match and int(match[1]) > FORMAT:
        raise _RefusedError(
            f"was written by a newer charlstm (format {int(match[1])}; this one reads up to "
            f"{FORMAT}). Upgrade charlstm."
        )
    if metadata.get("format") != f"charlstm-{FORMAT}":
        raise _RefusedError(f"has the unknown format {shorten(metadata.get('format'))}")
    if metadata.keys() != {"sha256", "format", "state"} or not isinstance(metadata["state"], str):
        raise _RefusedError("is malformed (metadata)")
    return _parse(metadata["state"].encode())


def _arrays(entries: dict[str, Any], data: memoryview) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    position = 0
    for name, entry in entries.items():
        if not _NAME.fullmatch(name):
            raise _RefusedError(f"is malformed (array name {shorten(name)})")
        letters, shape = _declared(name, entry)
        end = position + math.prod(shape) * np.dtype(letters).itemsize
        if not _is_pair(entry["data_offsets"], position, end) or end > len(data):
            raise _RefusedError(f"is malformed ({name}: offsets do not fit its shape and place)")
        # numpy multiplies the other axes even where one is 0
        if math.prod(max(size, 1) for size in shape) > sys.maxsize // 8:
            raise _RefusedError(f"is malformed ({name}: absurd shape)")
        view = np.frombuffer(data[position:end], letters).reshape(shape)
        arrays[name] = view.astype(view.dtype.newbyteorder("="))
        if not _is_finite(arrays[name]):
            raise _RefusedError(f"contains NaN or infinite numbers in {name}")
        position = end
    if position != len(data):
        raise _RefusedError(f"is malformed ({len(data) - position:,} bytes belong to no array)")
    return arrays


def _declared(name: str, entry: Any) -> tuple[str, list[int]]:
    """The element type and the shape that an array's entry declares."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _RefusedError(f"is malformed (entry of {name})")
    dtype, shape = entry["dtype"], entry["shape"]
    if not isinstance(dtype, str) or dtype not in _TYPES:
        raise _RefusedError(f"is malformed ({name}: type {shorten(dtype)})")
    if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(map(_is_size, shape)):
        raise _RefusedError(f"is malformed ({name}: shape {shorten(shape)})")
    return _TYPES[dtype], shape


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= sys.maxsize


def _is_pair(value: Any, begin: int, end: int) -> bool:
    """Whether ``value`` is ``[begin, end]``, written as integers."""
    return isinstance(value, list) and value == [begin, end] and all(map(_is_size, value))
