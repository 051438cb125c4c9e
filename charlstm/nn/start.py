"""How a layer starts and computes, beside its sizes."""

from dataclasses import dataclass

import numpy as np

from charlstm.nn.cuts import BY_RULE, Cuts
from charlstm.nn.gates import INPUT_GATES, InputGate


@dataclass(frozen=True)
class Start:
    """A cell takes what concerns it.

    ``input_reach`` bounds the entries of ``W_x``; None: ``1 / sqrt(H)``, as for ``W_h``. ``cuts``
    say how products are computed, which changes nothing but rounding.
    """

    input_reach: float | None = None
    forget_bias: float = 1.0
    norm_epsilon: float = 1e-5
    input_gate: InputGate = INPUT_GATES["free"]
    dtype: type = np.float32
    cuts: Cuts = BY_RULE
