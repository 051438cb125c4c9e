"""Where a run stands, as a checkpoint holds it."""

from dataclasses import asdict, dataclass, field
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from charlstm.errors import FileError
from charlstm.messages import shorten

AFTER_A_STEP = ("evaluation", "sample")
_LATER = {"due"}


@dataclass
class Progress:
    """Where a run stands: JSON numbers and texts, all of which a checkpoint holds.

    ``window_*`` accumulate what the next report will say, so that a resumed run reports the same.
    ``due`` is what has still to be done after this step, in this order: some of `AFTER_A_STEP`.
    """

    step: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    train_loss: float | None = None
    val_loss: float | None = None
    best_val_loss: float | None = None
    best_step: int | None = None
    evaluations_since_best: int = 0
    window_loss: float = 0.0
    window_steps: int = 0
    window_clipped: int = 0
    metrics_length: int = 0
    samples_length: int = 0
    finished: bool = False
    schedule: dict[str, Any] = field(default_factory=dict)
    due: list[str] = field(default_factory=list)

    def stated(self) -> dict[str, Any]:
        """As JSON. What the first files of format 1 do not have is left out where it is empty."""
        values = asdict(self)
        return {name: value for name, value in values.items() if value or name not in _LATER}


def _kinds(hint: Any) -> tuple[type, ...]:
    """What an annotation of `Progress` admits in JSON, where 1.0 may be written 1."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (get_origin(hint) or hint,)
    return (*kinds, int) if float in kinds else kinds


_PROGRESS_KINDS = {name: _kinds(hint) for name, hint in get_type_hints(Progress).items()}


def checked_progress(stated: dict[str, Any]) -> Progress:
    """What a file states, if it can be believed. Raises `FileError`."""
    if stated.keys() | _LATER != _PROGRESS_KINDS.keys():
        expected = len(_PROGRESS_KINDS.keys() - _LATER)
        raise FileError(f"progress: expected {expected} entries, found {shorten(sorted(stated))}")
    for name, value in stated.items():
        kinds = _PROGRESS_KINDS[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise FileError(f"progress.{name}: found {shorten(value)}")
        if isinstance(value, int) and not isinstance(value, bool) and not 0 <= value < 2**63:
            raise FileError(f"progress.{name}: out of range")
    due = stated.get("due", [])
    if due != [event for event in AFTER_A_STEP if event in due]:
        raise FileError(f"progress.due: found {shorten(due)}")
    if (stated["best_step"] is None) != (stated["best_val_loss"] is None):
        raise FileError("progress.best_step: belongs to progress.best_val_loss; one is missing")
    return Progress(**stated)
