"""Gate by gate: the packed arrays under the names of the LSTM written with eight matrices.

    W_x (4, D, H)  ->  W_ix, W_fx, W_ox, W_gx   (D, H)
    W_h (4, H, H)  ->  W_ih, W_fh, W_oh, W_gh   (H, H)
    b   (4, H)     ->  b_i,  b_f,  b_o,  b_g    (H,)

and in layer-norm cells ``gain`` and ``shift`` likewise. Everything else keeps its name.
"""

from collections.abc import Mapping

import numpy as np

from charlstm.nn.gates import GATES
from charlstm.nn.parameter import Array

READING_ORDER = ("i", "f", "o", "g")
PACKED = {"W_x": "W_{}x", "W_h": "W_{}h", "b": "b_{}", "gain": "gain_{}", "shift": "shift_{}"}


def by_gate(packed: Mapping[str, Array]) -> dict[str, Array]:
    """Views: writing to ``W_ix`` writes to ``W_x``. A prefix stays: ``lstm.0.W_x`` gives
    ``lstm.0.W_ix``. Serves values and gradients alike.
    """
    named: dict[str, Array] = {}
    for full_name, array in packed.items():
        prefix, name = _split(full_name)
        if name in PACKED:
            for gate in READING_ORDER:
                named[prefix + PACKED[name].format(gate)] = array[GATES.index(gate)]
        else:
            named[full_name] = array
    return named


def pack(named: Mapping[str, Array]) -> dict[str, Array]:
    """New packed arrays: ``pack(by_gate(x))`` equals ``x``. KeyError if one of four is missing."""
    packed: dict[str, Array] = {}
    packed_name = {pattern.format(gate): name for name, pattern in PACKED.items() for gate in GATES}
    for full_name, array in named.items():
        prefix, name = _split(full_name)
        if name not in packed_name:
            packed[full_name] = array
        elif prefix + packed_name[name] not in packed:
            pattern = prefix + PACKED[packed_name[name]]
            packed[prefix + packed_name[name]] = np.stack(
                [named[pattern.format(gate)] for gate in GATES]
            )
    return packed


def _split(full_name: str) -> tuple[str, str]:
    prefix, dot, name = full_name.rpartition(".")
    return prefix + dot, name
