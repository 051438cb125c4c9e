"""64-bit hashes of all windows of a text: equal windows have equal ones."""

import numpy as np
from numpy.typing import NDArray

from charlstm.text.vocabulary import AnyIds

Hashes = NDArray[np.uint64]

_ODD = np.array([0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F], np.uint64)
_HALF = np.uint64(32)


class WindowHashes:
    """Those of one stretch of ids, ``(characters,)``.

    A window of 2n characters gets its hash from those of its halves, and one of any length from
    the two windows of the next smaller power of two that cover it, which may overlap: the names of
    Karp, Miller and Rosenberg (1972), with hashes for names. All windows of a length then take
    some steps over whole arrays, as many as the length has binary digits.
    """

    def __init__(self, ids: AnyIds) -> None:
        self._of_power = [ids.astype(np.uint64) * _ODD[0]]

    def of(self, length: int) -> Hashes:
        """``(characters - length + 1,)``, in the order of the windows; empty if none fits."""
        power = length.bit_length() - 1
        while len(self._of_power) <= power:
            self._of_power.append(_joined(self._of_power[-1], 1 << (len(self._of_power) - 1)))
        rest = length - (1 << power)
        known = self._of_power[power]
        return _joined(known, rest) if rest else known


def _joined(hashes: Hashes, distance: int) -> Hashes:
    """Of each pair of windows that begin at such a distance."""
    joined: Hashes = hashes[: max(0, len(hashes) - distance)] * _ODD[1]
    joined += hashes[distance:]
    joined ^= joined >> _HALF
    joined *= _ODD[2]
    return joined
