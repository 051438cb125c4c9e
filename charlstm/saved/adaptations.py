"""What a model has learned after its training, by reading: how a checkpoint tells it."""

import hashlib
from dataclasses import asdict, dataclass, fields

from charlstm.errors import FileError
from charlstm.messages import shorten, show
from charlstm.nn.model import CharLM
from charlstm.nn.pace import Pace


@dataclass(frozen=True)
class Adaptation:
    """A text that was read, and from which weights on.

    ``checkpoint`` and ``text`` are names, of ``checkpoint`` as it was then; ``weights`` and
    ``text_sha256`` are the SHA-256 of what was used: of all parameters, in their order in a
    checkpoint, and of the text as the model reads it, in UTF-8.
    """

    checkpoint: str
    weights: str
    text: str
    text_sha256: str
    characters: int
    rate: float
    pull: float
    segment: int

    def stated(self) -> dict[str, str | float]:
        """As JSON."""
        return asdict(self)


def adaptation(trained: CharLM, name: str, text: tuple[str, bytes, int], pace: Pace) -> Adaptation:
    """``trained``: the model, of the file ``name``, before it read; ``text``: its name, its bytes
    and how many characters it has.
    """
    source, content, characters = text
    return Adaptation(
        checkpoint=show(name),
        weights=hashlib.sha256(trained.values.tobytes()).hexdigest(),
        text=show(source),
        text_sha256=hashlib.sha256(content).hexdigest(),
        characters=characters,
        **vars(pace),
    )


def checked_adaptations(stated: object) -> tuple[Adaptation, ...]:
    """What a file states, oldest first. Raises `FileError`."""
    if not isinstance(stated, list):
        raise FileError(f"adaptations: expected a list, found {shorten(stated)}")
    return tuple(map(_checked, stated))


def _checked(stated: object) -> Adaptation:
    if not isinstance(stated, dict) or stated.keys() != {it.name for it in fields(Adaptation)}:
        raise FileError(f"adaptations: found {shorten(stated)}")
    for it in fields(Adaptation):
        value = stated[it.name]
        kinds = (int, float) if it.type is float else (it.type,)
        if type(value) not in kinds:
            raise FileError(f"adaptations: {it.name}: found {shorten(value)}")
    return Adaptation(**stated)
