"""What is in a checkpoint, for people and for scripts; and which files of a run are intact."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.config.reading import defaults_beside
from charlstm.config.schema import differences
from charlstm.config.writing import config_to_dict
from charlstm.errors import FileError, UnreadableError
from charlstm.nn.gate_names import by_gate
from charlstm.saved.checkpoint import Checkpoint, read_checkpoint, read_current
from charlstm.saved.run_folder import RunFolder, resolve_checkpoint
from charlstm.system.files import reading
from charlstm.system.sealed import FORMAT


def euclidean_norm(array: NDArray[Any]) -> float:
    """Of what it is made of, not of squares that overflow."""
    largest = float(np.abs(array).max())
    if not largest:
        return 0.0
    return largest * math.sqrt(np.square(np.divide(array, largest, dtype=np.float64)).sum())


class ParameterRow(NamedTuple):
    """``norm`` is the Euclidean one, ``largest`` the largest absolute value."""

    name: str
    shape: tuple[int, ...]
    norm: float
    largest: float


@dataclass(frozen=True)
class Inspection:
    """A checkpoint that was read, and so verified: ``path`` is its file, of ``size`` bytes."""

    path: Path
    size: int
    checkpoint: Checkpoint

    @property
    def changed_settings(self) -> list[tuple[str, Any, Any]]:
        """Settings that are not at their default: (path, value, default)."""
        config = self.checkpoint.config
        return differences(config, defaults_beside(config))

    @property
    def parameters(self) -> list[ParameterRow]:
        """The parameters; those of a recurrent layer gate by gate, as W_ix, W_ih, b_i, ..."""
        named = by_gate(self.checkpoint.usable)
        return [
            ParameterRow(
                name,
                value.shape,
                norm=euclidean_norm(value),
                largest=float(np.abs(value).max()),
            )
            for name, value in named.items()
        ]

    @property
    def parameter_count(self) -> int:
        return sum(value.size for value in self.checkpoint.usable.values())

    @property
    def characters(self) -> str:
        """The vocabulary in its order; empty for bytes."""
        if self.checkpoint.vocabulary.unit == "bytes":
            return ""
        return "".join(map(chr, self.checkpoint.vocabulary.code_points))

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON can say it."""
        checkpoint = self.checkpoint
        return {
            "path": str(self.path),
            "size": self.size,
            "verified": True,
            "format": FORMAT,
            "versions": checkpoint.versions,
            "progress": checkpoint.progress.stated(),
            "corpus": checkpoint.corpus.stated(),
            "adaptations": [it.stated() for it in checkpoint.adaptations],
            "vocabulary": {
                "unit": checkpoint.vocabulary.unit,
                "size": checkpoint.vocabulary.size,
                "characters": self.characters,
            },
            "config": config_to_dict(checkpoint.config),
            "changed_settings": {path: value for path, value, _ in self.changed_settings},
            "parameter_count": self.parameter_count,
            "parameters": [row._asdict() for row in self.parameters],
        }


def inspect(path: Path) -> Inspection:
    """Read a checkpoint, or the one that a run folder stands for. Raises `FileError`."""
    return read_current(path, _inspect_file)


def _inspect_file(file: Path) -> Inspection:
    with reading(file) as (_, size):
        return Inspection(file, size, read_checkpoint(file))


class Verdict(NamedTuple):
    """``problem`` is None for a file that is intact; only then is ``step`` known.

    ``damaged`` is None for a file that could not be read, by this user or at all.
    """

    path: Path
    step: int | None
    damaged: bool | None
    problem: str | None


def verify(path: Path) -> list[Verdict]:
    """Read every checkpoint of a run, newest first and the best one last; or one file.

    What a trainer removes meanwhile, as it does with all but the newest, is left out. Raises
    `FileError` if there is none.
    """
    if not path.is_dir():
        return [verdict_on(path)]
    while True:
        verdicts = {file: verdict_on(file) for file in _files_of(path)}
        present = [v for file, v in verdicts.items() if not v.problem or os.path.lexists(file)]
        if present:
            return present


def _files_of(path: Path) -> list[Path]:
    run = RunFolder(path)
    files = [run.checkpoint_path(step) for step in run.steps()]
    if os.path.lexists(run.best) or not files:
        files.append(resolve_checkpoint(path))
    return files


def verdict_on(file: Path) -> Verdict:
    try:
        return Verdict(file, read_checkpoint(file).progress.step, False, None)
    except UnreadableError as error:
        return Verdict(file, None, None, str(error))
    except FileError as error:
        return Verdict(file, None, True, str(error))
