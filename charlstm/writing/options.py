"""How texts are to be written."""

from dataclasses import dataclass
from typing import TypedDict

from charlstm.errors import ConfigError
from charlstm.nn.sampling import Choice

LONGEST = 1_000_000_000
"""Characters of a text that anybody might ask for."""


class SampleOptions(TypedDict, total=False):
    """The options of `charlstm.api.Model.sample`, where they are explained."""

    length: int
    temperature: float
    top_k: int
    top_p: float
    seed: int | None
    stop: str | None
    only: str | None
    ban: str
    match: str | None
    min_length: int | None
    label: str | None
    skip_unknown: bool
    errors: str


@dataclass(frozen=True)
class Options:
    """`SampleOptions` with their defaults. Raises `ConfigError` for values out of range."""

    length: int = 500
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    stop: str | None = None
    only: str | None = None
    ban: str = ""
    match: str | None = None
    min_length: int | None = None
    label: str | None = None
    skip_unknown: bool = False
    errors: str = "replace"

    def __post_init__(self) -> None:
        if min(self.length, self.temperature, self.top_k, self.min_length or 0) < 0:
            raise _out_of_range()
        if max(self.length, self.min_length or 0) > LONGEST:
            raise _out_of_range()
        if not (self.temperature <= 1e6 and 0 < self.top_p <= 1):
            raise _out_of_range()
        if not (self.seed is None or self.seed >= 0):
            raise ConfigError("sampling: seed: at least 0")

    @property
    def choice(self) -> Choice:
        return Choice(self.temperature, self.top_k, self.top_p)


def _out_of_range() -> ConfigError:
    return ConfigError(
        "sampling: length, temperature, top_k, min_length: at least 0; temperature: at most 1e6;"
        f" length, min_length: at most {LONGEST:,}; top_p: above 0, at most 1"
    )
