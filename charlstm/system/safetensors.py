"""Arrays and texts in one file: the safetensors format, read and written strictly.

    8 bytes   length of the header, little-endian
    header    {"__metadata__":{"<key>":"<text>",...},
               "<name>":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},...}   and spaces
    data      the arrays: C order, little-endian, no gaps

A file may be hostile: every rule of the format is checked, nothing in it is executed, and no size
that it merely declares is ever allocated.
"""

import json
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import DivergedError, FileError, SystemRefusedError
from charlstm.messages import shorten, show
from charlstm.system.files import read_exactly, reading

MAX_HEADER = 2**20  # JSON takes up to twenty times its length in memory once it is parsed
MAX_BRACKETS = 2**14  # and many small objects even more
MAX_DEPTH = 32  # what Python can read, and then cannot write, differs from version to version
MAX_RANK = 8
MAX_FILE = 64 * 2**30  # a sparse file of any size costs nothing to make
METADATA = "__metadata__"

_TYPES = {"F64": "<f8", "I64": "<i8", "F32": "<f4", "U32": "<u4", "U16": "<u2", "U8": "u1"}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}(/[A-Za-z0-9_.-]{1,100}){0,7}")
_FOREIGN = {
    b"\x80": "is a pickle; charlstm never loads pickles",
    b"PK": "is a zip archive (.npz, or a PyTorch file); charlstm loads only safetensors files",
    b"\x93NUMPY": "is an .npy array; charlstm loads only safetensors files",
    b"\x1f\x8b": "is compressed with gzip; unpack it first",
    b"<": "is a web page or XML, perhaps a download that went wrong",
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself; run git lfs pull",
}

Array = NDArray[Any]
Arrays = dict[str, Array]
JsonObject = dict[str, Any]


class RefusedError(Exception):
    """Why a file cannot be used, as the end of a sentence that starts with its name."""


def tensor_chunks(arrays: Mapping[str, Array], metadata: object) -> list[bytes | memoryview]:
    """The chunks of a file, in order; all but the first are views of the arrays, not copies.

    Raises ``DivergedError`` if an array is not finite, for such a file could never be read again;
    ``ValueError`` for what the format cannot hold.
    """
    # Large elements first: with no gaps allowed, this alone keeps every array aligned.
    ordered = sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize)
    for name, array in ordered:
        if not _is_finite(array):
            raise DivergedError(f"{name} holds NaN or infinite numbers; it is not saved")
    header = _header(ordered, metadata)
    views = [_bytes_of(array) for _, array in ordered]
    return [len(header).to_bytes(8, "little") + header, *filter(len, views)]


def read_tensors(path: Path) -> tuple[Arrays, dict[str, str]]:
    """The arrays (writable copies) and the metadata of any safetensors file of plain numbers.

    Raises ``FileError`` naming path and reason, ``SystemRefusedError`` if memory runs out.
    """
    try:
        with reading(path) as (stream, size):
            length = header_length(bytes(read_exactly(stream, min(size, 9))), size)
            header = parse_object(bytes(read_exactly(stream, length - 1)), opened=b"{")
            metadata = _texts(header.pop(METADATA, {}))
            entries = _in_order_of_data(header)
            data = memoryview(read_exactly(stream, size - 8 - length))
        return arrays_in(entries, data), metadata
    except RefusedError as reason:
        raise FileError(f"{show(path)} {reason}") from None
    except MemoryError:
        raise SystemRefusedError(f"not enough memory to read {show(path)}") from None


def header_length(start: bytes, size: int) -> int:
    """From the first nine bytes of a file of ``size`` bytes; refuses what is no such file."""
    if not start:
        raise RefusedError("is empty")
    if start[8:9] != b"{":
        raise RefusedError(what_else(start) or "is no safetensors file")
    length = int.from_bytes(start[:8], "little")
    if not 2 <= length <= MAX_HEADER:
        raise RefusedError(f"is damaged (a header of {length:,} bytes)")
    if 8 + length > size:
        raise RefusedError(f"is damaged (cut off after {size:,} bytes)")
    if size > MAX_FILE:
        raise RefusedError(f"is too large ({size:,} bytes)")
    return length


def what_else(start: bytes) -> str | None:
    """What a file is that begins with ``start``, if it is something well known."""
    for magic, verdict in _FOREIGN.items():
        if start.lstrip().startswith(magic):
            return verdict
    return None


def parse_object(text: bytes, opened: bytes = b"") -> JsonObject:
    """A JSON object, read strictly: no duplicate keys, no NaN, no infinity, valid Unicode.

    ``opened`` stands before ``text``.
    """
    text = opened + text
    if _brackets(text) > MAX_BRACKETS:
        raise RefusedError("is malformed (too many brackets in its header)")
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_float=_finite_float,
            parse_constant=_finite_float,
        )
        if _is_deeper(value, MAX_DEPTH):
            raise RecursionError
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # finds lone surrogates
    except UnicodeError:
        raise RefusedError("is malformed (header: not valid Unicode)") from None
    except RecursionError:
        raise RefusedError("is malformed (header: nested too deeply)") from None
    except ValueError as error:
        raise RefusedError(f"is malformed (header: {shorten(str(error))})") from None
    if not isinstance(value, dict):
        raise RefusedError("is malformed (its state is no JSON object)")
    return value


def arrays_in(entries: JsonObject, data: memoryview) -> Arrays:
    """The arrays of ``entries``, which must fill ``data`` one after another."""
    arrays: Arrays = {}
    position = 0
    for name, entry in entries.items():
        if not _NAME.fullmatch(name):
            raise RefusedError(f"is malformed (array name {shorten(name)})")
        letters, shape = _declared(name, entry)
        end = position + math.prod(shape) * np.dtype(letters).itemsize
        if not _is_pair(entry["data_offsets"], position, end) or end > len(data):
            raise RefusedError(f"is malformed ({name}: offsets do not fit its shape and place)")
        # numpy multiplies the other axes even where one is 0
        if math.prod(max(size, 1) for size in shape) > sys.maxsize // 8:
            raise RefusedError(f"is malformed ({name}: absurd shape)")
        view = np.frombuffer(data[position:end], letters).reshape(shape)
        arrays[name] = view.astype(view.dtype.newbyteorder("="))
        if not _is_finite(arrays[name]):
            raise RefusedError(f"contains NaN or infinite numbers in {name}")
        position = end
    if position != len(data):
        raise RefusedError(f"is malformed ({len(data) - position:,} bytes belong to no array)")
    return arrays


def _header(arrays: list[tuple[str, Array]], metadata: object) -> bytes:
    entries: JsonObject = {METADATA: metadata}
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


def _type_name(array: Array) -> str:
    for name, letters in _TYPES.items():
        if array.dtype.newbyteorder("=") == np.dtype(letters).newbyteorder("="):
            return name
    raise ValueError(f"a sealed file cannot hold {array.dtype}")


def _bytes_of(array: Array) -> memoryview:
    little = array.dtype.newbyteorder("<")
    return np.ascontiguousarray(array, little).reshape(-1).view(np.uint8).data


def _is_finite(array: Array) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _texts(metadata: object) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise RefusedError("is malformed (metadata)")
    return metadata


def _in_order_of_data(entries: JsonObject) -> JsonObject:
    """The format fixes no order of the entries; what is malformed is left for others to find."""

    def begin(item: tuple[str, object]) -> tuple[int, int]:
        offsets = item[1].get("data_offsets") if isinstance(item[1], dict) else None
        whole = isinstance(offsets, list) and len(offsets) == 2 and all(map(_is_size, offsets))
        return (offsets[0], offsets[1]) if whole and offsets else (0, 0)

    return dict(sorted(entries.items(), key=begin))


def _declared(name: str, entry: object) -> tuple[str, list[int]]:
    """The element type and the shape that an array's entry declares."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise RefusedError(f"is malformed (entry of {name})")
    dtype, shape = entry["dtype"], entry["shape"]
    if dtype in ("F16", "BF16"):
        raise RefusedError(f"holds numbers of type {dtype} ({name}); save them as float32")
    if not isinstance(dtype, str) or dtype not in _TYPES:
        raise RefusedError(f"is malformed ({name}: type {shorten(dtype)})")
    if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(map(_is_size, shape)):
        raise RefusedError(f"is malformed ({name}: shape {shorten(shape)})")
    return _TYPES[dtype], shape


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value <= sys.maxsize


def _is_pair(value: object, begin: int, end: int) -> bool:
    """Whether ``value`` is ``[begin, end]``, written as integers."""
    return isinstance(value, list) and value == [begin, end] and all(map(_is_size, value))


def _brackets(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def _is_deeper(value: object, depth: int) -> bool:
    """Whether lists and objects in ``value`` lie more than ``depth`` within each other."""
    level = [value]
    for _ in range(depth + 1):
        insides = [
            each.values() if isinstance(each, dict) else each
            for each in level
            if isinstance(each, dict | list)
        ]
        level = [inner for inside in insides for inner in inside]
    return bool(level)


def _without_duplicates(pairs: list[tuple[str, object]]) -> JsonObject:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("duplicate keys")
    return result


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number")
    return value
