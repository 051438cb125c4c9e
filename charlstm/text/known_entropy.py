"""The exact entropy of a text whose source is known: how low any model's loss could get.

A generator that knows the probability of all it writes can put a small JSON file beside the text,
``harbour.entropy.json`` for ``harbour.txt``::

    {"format": 1, "text": "harbour.txt", "characters": 1000, "sha256": "...", "bits": 1234.5,
     "bits_per_character": 1.2345, "checkpoints": [[100, 120.5], [200, 251.0], ...]}

``checkpoints`` holds pairs (characters from the start, bits spent on them).
"""

import json
import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlstm.errors import FileError
from charlstm.messages import show
from charlstm.text.code_points import DECOMPRESSORS

LARGEST_SIDECAR = 64 << 20


@dataclass(frozen=True)
class KnownEntropy:
    """Bits that the source spent on a text, up to each of some offsets in characters."""

    bits: float
    offsets: tuple[int, ...]
    bits_before: tuple[float, ...]

    def bits_per_character(self, start: int, stop: int) -> float | None:
        """Bits per character of what lies between ``start`` and ``stop``, both in characters.

        Read between the first checkpoint from ``start`` on and the last one up to ``stop``; None
        where no two checkpoints lie between them.
        """
        first = bisect_left(self.offsets, start)
        last = bisect_right(self.offsets, stop) - 1
        if first >= last:
            return None
        bits = self.bits_before[last] - self.bits_before[first]
        return bits / (self.offsets[last] - self.offsets[first])


def sidecar_of(text: Path) -> Path:
    """``a/harbour.entropy.json`` for ``a/harbour.txt`` and for ``a/harbour.txt.gz``."""
    plain = text.with_suffix("") if text.suffix in DECOMPRESSORS else text
    return plain.with_name(plain.stem + ".entropy.json")


def read_known_entropy(sidecar: Path, *, characters: int, sha256: str) -> KnownEntropy:
    """Read the sidecar of the text with this length and hash; raises `FileError` if it is not."""
    try:
        if not sidecar.is_file() or sidecar.stat().st_size > LARGEST_SIDECAR:
            raise ValueError("is not a regular file of reasonable size")
        entropy = _checked(json.loads(sidecar.read_bytes()), characters, sha256)
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise FileError(f"{show(sidecar)}: ignored: {reason[:100]}") from None
    return entropy


def _checked(data: Any, characters: int, sha256: str) -> KnownEntropy:
    if not isinstance(data, dict) or data.get("format") != 1:
        raise ValueError("is not an entropy file of format 1")
    if data.get("sha256") != sha256 or data.get("characters") != characters:
        raise ValueError("belongs to another text, or to this one before it changed")
    pairs = data.get("checkpoints")
    if not isinstance(pairs, list) or not all(_is_checkpoint(pair) for pair in pairs):
        raise ValueError("checkpoints must be pairs of characters and bits")
    if not _is_amount(data.get("bits")):
        raise ValueError("bits must be a number, zero or more")
    marks = {0: 0.0} | {offset: float(bits) for offset, bits in pairs}
    marks.setdefault(characters, float(data["bits"]))
    offsets, bits = tuple(marks), tuple(marks.values())
    if max(offsets) != characters or offsets != tuple(sorted(marks)) or bits != tuple(sorted(bits)):
        raise ValueError("checkpoints must increase, up to the length of the text")
    return KnownEntropy(float(data["bits"]), offsets, bits)


def _is_checkpoint(pair: Any) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and type(pair[0]) is int
        and pair[0] >= 0
        and _is_amount(pair[1])
    )


def _is_amount(number: Any) -> bool:
    return type(number) in (int, float) and 0 <= number < math.inf
