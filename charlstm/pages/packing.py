"""Arrays as text in a page: few levels, one byte plane after the other, deflated, base64."""

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = {
    "uint8": "Uint8",
    "uint16": "Uint16",
    "uint32": "Uint32",
    "int16": "Int16",
    "float32": "Float32",
}


def levels(rows: NDArray[Any], bits: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Codes, and a ``scale`` for each of the rows ``(N, T)``:

    ``value = (code - half) * scale`` with ``half = 2 ** (bits - 1) - 1``, rounded to the nearest
    of ``2 * half + 1`` levels between the row's largest |value| and its negative.
    """
    half = 2 ** (bits - 1) - 1
    scale = np.abs(rows).max(axis=1) / half
    scale[scale == 0] = 1.0
    codes = np.rint(rows / scale[:, np.newaxis])
    codes += half
    return codes.astype(np.uint8), scale


def packed(array: NDArray[Any]) -> str:
    """First the lowest byte of all elements, then the next: bytes alike stand together.

    Huffman codes alone, without a search for repetitions: activations hardly have any.
    """
    planes = np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.itemsize).T
    compressor = zlib.compressobj(level=1, strategy=zlib.Z_HUFFMAN_ONLY)
    data = compressor.compress(planes.tobytes()) + compressor.flush()
    return base64.b64encode(data).decode("ascii")


def element(name: str, array: NDArray[Any]) -> str:
    """A script element that no browser runs, with the array in it."""
    kind = TYPES[array.dtype.name]
    return f'<script type="text/plain" id="{name}" data-kind="{kind}">{packed(array)}</script>\n'
