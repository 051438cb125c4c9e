"""What helps where a text has characters that a model has never seen."""

from collections.abc import Iterator
from contextlib import contextmanager

from charlstm.messages import show
from charlstm.saved.checkpoint import LoadedModel
from charlstm.text.vocabulary import UnknownCharacterError


@contextmanager
def advised(loaded: LoadedModel) -> Iterator[None]:
    """Raises `UnknownCharacterError` again, with what can be done about it."""
    try:
        yield
    except UnknownCharacterError as error:
        advice = (
            "take them out, or train on such a text, with"
            f" init_from={show(loaded.path)} data.new_characters=grow"
        )
        raise error.told(advice=advice) from None
