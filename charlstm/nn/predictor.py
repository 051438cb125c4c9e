"""What can be asked what comes next: a model, or several as one."""

from collections.abc import Sequence
from typing import Any, Protocol

from charlstm.nn.cells import State
from charlstm.nn.parameter import Array


class Predictor(Protocol):
    """`charlstm.nn.model.CharLM` without what is for training."""

    name: str

    @property
    def values(self) -> Array: ...

    def zero_states(self, B: int) -> list[State]: ...
    def tape(self, T: int, B: int) -> Any: ...
    def forward(
        self, ids: Array, states: Sequence[State], tape: Any
    ) -> tuple[Array, list[State]]: ...
