"""Arrays and JSON in one file that vouches for itself: safetensors with a checksum over all of it.

    header    {"__metadata__":{"sha256":"<64 hex>","format":"charlstm-1","state":"<JSON>"},...

Any reader of safetensors opens such a file (`charlstm.system.safetensors` has the format). The
SHA-256 is that of the whole file with its own 64 characters as zeros, and stands at a fixed place,
so that it is verified before anything is parsed. A checksum is no signature: a hostile file can
carry a right one, hence every rule of the format is checked as well.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from charlstm.errors import FileError, SystemRefusedError
from charlstm.messages import shorten, show
from charlstm.system.files import read_exactly, reading
from charlstm.system.safetensors import (
    METADATA,
    Array,
    Arrays,
    JsonObject,
    RefusedError,
    arrays_in,
    header_length,
    parse_object,
    tensor_chunks,
    what_else,
)

FORMAT = 1

_PREFIX = b'{"__metadata__":{"sha256":"'
_DIGEST = slice(8 + len(_PREFIX), 8 + len(_PREFIX) + 64)
_NO_DIGEST = b"0" * 64
_FORMAT = re.compile(r"charlstm-([0-9]{1,6})")


def seal(arrays: Mapping[str, Array], state: Mapping[str, object]) -> list[bytes | memoryview]:
    """The chunks of a file, in order; all but the first are views of the arrays, not copies.

    ``state`` is anything that JSON can say. Raises ``DivergedError`` if an array is not finite,
    for such a file could never be read again; ``ValueError`` for what the format cannot hold.
    """
    metadata = {
        "sha256": _NO_DIGEST.decode(),
        "format": f"charlstm-{FORMAT}",
        "state": json.dumps(dict(state), allow_nan=False),
    }
    head, *views = tensor_chunks(arrays, metadata)
    digest = _digest(head, views)
    return [b"".join([head[: _DIGEST.start], digest, head[_DIGEST.stop :]]), *views]


def unseal(
    data: bytes | bytearray | memoryview, source: str = "the data"
) -> tuple[Arrays, JsonObject]:
    """The arrays (writable copies) and the state of a sealed file.

    Takes at most twice the size of ``data`` and 20 MB in memory. Raises ``FileError``, and nothing
    else, for any bytes that ``seal`` cannot have made.
    """
    view = memoryview(data).cast("B")
    try:
        end = 8 + _checked_length(bytes(view[: _DIGEST.start]), len(view))
        _check_digest(view)
        header = parse_object(bytes(view[8:end]))
        state = _state(header.pop(METADATA))
        return arrays_in(header, view[end:]), state
    except RefusedError as reason:
        raise FileError(f"{source} {reason}") from None


def digest_of(data: bytes) -> str:
    """The SHA-256 that sealed data state of themselves: to be believed once they are unsealed."""
    return data[_DIGEST].decode("ascii")


def looks_sealed(path: Path) -> bool:
    """Whether a file begins as `seal` lets it; what it holds is not looked at."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(_DIGEST.start)[8:] == _PREFIX
    except (OSError, ValueError):
        return False


def read_sealed(path: Path) -> tuple[Arrays, JsonObject]:
    """What ``unseal`` makes of the file at ``path``.

    Raises ``FileError`` naming path and reason, ``SystemRefusedError`` if memory runs out.
    """
    try:
        with reading(path) as (stream, size):
            _checked_length(bytes(read_exactly(stream, min(size, _DIGEST.start))), size)
            stream.seek(0)
            content = read_exactly(stream, size)
        return unseal(content, show(path))
    except RefusedError as reason:
        raise FileError(f"{show(path)} {reason}") from None
    except MemoryError:
        raise SystemRefusedError(f"not enough memory to read {show(path)}") from None


def _digest(head: bytes | memoryview, rest: list[bytes | memoryview]) -> bytes:
    """Hex digits of the SHA-256 of a file whose own digest counts as zeros."""
    hasher = hashlib.sha256(head[: _DIGEST.start])
    hasher.update(_NO_DIGEST)
    hasher.update(head[_DIGEST.stop :])
    for view in rest:
        hasher.update(view)
    return hasher.hexdigest().encode()


def _checked_length(start: bytes, size: int) -> int:
    """The header's length; refuses at once, after a few bytes, what is no sealed file at all."""
    if start and start[8:] != _PREFIX:
        raise RefusedError(_foreign(start))
    length = header_length(start, size)
    if length <= len(_PREFIX) + 64:
        raise RefusedError(f"is damaged (a header of {length:,} bytes)")
    return length


def _foreign(start: bytes) -> str:
    verdict = what_else(start)
    if verdict is None and start[8:9] == b"{":
        return "is a safetensors file, but charlstm did not write it (or it is damaged)"
    return verdict or "is not a charlstm checkpoint (or its first bytes are damaged)"


def _check_digest(data: memoryview) -> None:
    if bytes(data[_DIGEST]) != _digest(data, []):
        raise RefusedError(f"is damaged (checksum differs, {len(data):,} bytes)")


def _state(metadata: object) -> JsonObject:
    if not isinstance(metadata, dict):
        raise RefusedError("is malformed (no metadata)")
    match = _FORMAT.fullmatch(str(metadata.get("format")))
    if match and int(match[1]) > FORMAT:
        raise RefusedError(
            f"was written by a newer charlstm (format {int(match[1])}; this one reads up to "
            f"{FORMAT}). Upgrade charlstm."
        )
    if metadata.get("format") != f"charlstm-{FORMAT}":
        raise RefusedError(f"has the unknown format {shorten(metadata.get('format'))}")
    if metadata.keys() != {"sha256", "format", "state"} or not isinstance(metadata["state"], str):
        raise RefusedError("is malformed (metadata)")
    return parse_object(metadata["state"].encode())
