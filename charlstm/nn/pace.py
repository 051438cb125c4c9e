"""How fast a model learns from what it reads."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """The numbers of the equation in `charlstm.nn.adaptation`: ``rate`` and ``pull`` of an update,
    and how many characters, ``segment``, it is made from.
    """

    rate: float = 0.3
    pull: float = 0.002
    segment: int = 32
