"""A list as a stream of characters: each item after the mark that begins it, and nothing between.

Where lines are the items, the line feed that ends each is also what the next is read after, so it
is the mark, and an ordinary character. Otherwise the mark is a code point that no text can hold
(`vocabulary.MARK` and those after it), which the vocabulary turns into a reserved symbol.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from charlstm.errors import FileError
from charlstm.messages import shorten
from charlstm.text.vocabulary import END, LABEL, LINE_FEED, MARK, MOST_LABELS, Vocabulary

LINES, PARAGRAPHS = "lines", "paragraphs"
_NEW_LINE = chr(LINE_FEED)
_EMPTY_LINE = 2 * _NEW_LINE
_BLANK_LINES = re.compile(r"\r?\n(?:[ \t\r]*\n)+")
_PERHAPS_BLANK_LINES = re.compile(r"\r?\n(?:[ \t\r]*\n)*[ \t\r]*\Z|\r\Z")
_LAST_LINE_END = re.compile(r"\r?\n\Z")


class ItemRules(NamedTuple):
    """How a text is a list: what stands between its items, and whether each begins with a label.

    ``separator``: `LINES`, `PARAGRAPHS` (blank lines between), or a text. With ``labels`` an item
    is its label, a tab, and its text. ``in_bytes``: the characters of the stream are bytes, where
    separator and labels are text.
    """

    separator: str
    labels: bool = False
    in_bytes: bool = False

    @property
    def between(self) -> str:
        """What stands between items in the stream, where paragraphs have one empty line between."""
        if self.separator in (LINES, PARAGRAPHS):
            return _NEW_LINE if self.separator == LINES else _EMPTY_LINE
        return self.separator.encode().decode("latin-1") if self.in_bytes else self.separator

    @property
    def end(self) -> str:
        """What ends an item, as a character: the line feed, or the mark of ``end``."""
        return _NEW_LINE if self.separator == LINES else chr(MARK)

    def specials(self, labels: Iterable[str] = ()) -> tuple[str, ...]:
        """The reserved symbols that a vocabulary of such items has."""
        end = () if self.separator == LINES else (END,)
        return (*end, *(LABEL + label for label in labels))

    def fits(self, vocabulary: Vocabulary) -> bool:
        """Whether a vocabulary is one of such items."""
        known = self.separator != LINES or LINE_FEED in vocabulary.code_points
        wanted = self.specials(vocabulary.labels)
        return known and vocabulary.specials == wanted and self.labels == bool(vocabulary.labels)

    def end_id(self, vocabulary: Vocabulary) -> int:
        """The symbol that ends an item, and without labels is read before each."""
        return int(vocabulary.id_table()[ord(self.end)])

    def start_ids(self, vocabulary: Vocabulary) -> list[int]:
        """The symbols that begin items: that of the end, or those of the labels, in their order."""
        if not self.labels:
            return [self.end_id(vocabulary)]
        return [vocabulary.special(LABEL + label) for label in vocabulary.labels]


class LabelError(FileError):
    """The item of this ``number`` has no label, or one that cannot be; ``is_first``: of all that
    are read, in files before it as well.
    """

    def __init__(
        self, message: str, number: int, where: str = "", *, is_first: bool = False
    ) -> None:
        self.message, self.number, self.is_first = message, number, is_first
        super().__init__(f"{where and where + ': '}item {number:,}: {message}")


class Found:
    """What marking has come across: labels with their numbers, how many items, and how many that
    are ``empty``.
    """

    def __init__(self) -> None:
        self.labels: dict[str, int] = {}
        self.items = self.empty = 0
        self._settled = False

    def number_of(self, label: str, item: int) -> int:
        """Raises `LabelError` for one too many, or unknown when all were known."""
        if label in self.labels:
            return self.labels[label]
        if self._settled:
            raise self.no_label(f"label {shorten(label)} is none of the model's", item)
        if len(self.labels) == MOST_LABELS:
            raise self.no_label(f"more than {MOST_LABELS:,} labels; is each one?", item)
        return self.labels.setdefault(label, len(self.labels))

    def no_label(self, message: str, item: int) -> LabelError:
        return LabelError(message, item, is_first=self.items == 0)

    def settle(self, labels: Iterable[str]) -> None:
        """From now on these are all, numbered in their order, and counting starts anew."""
        self.labels = {label: number for number, label in enumerate(sorted(labels))}
        self.items = self.empty = 0
        self._settled = True


def marked(texts: Iterable[str], rules: ItemRules, found: Found) -> Iterator[str]:
    """The text of one file, in pieces, as a list. Raises `LabelError`."""
    if rules.separator == PARAGRAPHS:
        texts = _without_blank_lines(texts)
    marker = _Marker(rules, found)
    for text in texts:
        yield marker.feed(text)
    yield marker.feed("", final=True)


class _Marker:
    def __init__(self, rules: ItemRules, found: Found) -> None:
        self._rules, self._found = rules, found
        self._between = rules.between
        self._held = ""
        self._open = False
        self._number = 1

    def feed(self, text: str, *, final: bool = False) -> str:
        *done, rest = (self._held + text).split(self._between)
        out = []
        for part in done:
            out.append(self._more(part))
            self._close()
        cut = len(_LAST_LINE_END.sub("", rest)) if final else self._certain(rest)
        self._held = rest[cut:]
        return "".join([*out, self._more(rest[:cut])])

    def _more(self, part: str) -> str:
        """What the open item goes on with, or begins with."""
        if self._open:
            return part
        if not part:
            return ""
        start, text = self._labelled(part) if self._rules.labels else (self._rules.end, part)
        self._open = bool(text)
        self._found.items += self._open
        return start + text if text else ""

    def _labelled(self, part: str) -> tuple[str, str]:
        label, tab, text = part.partition("\t")
        if not tab or not label:
            raise self._found.no_label(f"no label and tab first: {shorten(part)}", self._number)
        if self._rules.in_bytes:
            label = self._of_bytes(label)
        first = MARK + len(self._rules.specials())
        return chr(first + self._found.number_of(label, self._number)), text

    def _of_bytes(self, label: str) -> str:
        try:
            return label.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            message = f"its label is no UTF-8: {shorten(label)}"
            raise self._found.no_label(message, self._number) from None

    def _close(self) -> None:
        self._found.empty += not self._open
        self._number += 1
        self._open = False

    def _certain(self, rest: str) -> int:
        """How much of what follows the last separator is part of an item, whatever comes next."""
        cut = len(rest) - (0 if self._rules.separator == LINES else self._perhaps_between(rest))
        begins = self._rules.labels and not self._open
        return 0 if begins and not rest[:cut].partition("\t")[2] else cut

    def _perhaps_between(self, rest: str) -> int:
        """How many of the last characters may be the beginning of what parts items."""
        longest = min(len(self._between) - 1, len(rest))
        kept = next(n for n in range(longest, -1, -1) if rest.endswith(self._between[:n]))
        perhaps_last = 2 * rest.endswith(_NEW_LINE) or rest.endswith("\r")
        return max(kept, perhaps_last)


def _without_blank_lines(texts: Iterable[str]) -> Iterator[str]:
    """The joined ``texts``, in pieces, with one empty line for any number of blank ones; none at
    the beginning, and no line end after the last that is not blank.
    """
    held, begun = _NEW_LINE, False  # as if a line had ended before
    for more in texts:
        text = held + more
        perhaps = _PERHAPS_BLANK_LINES.search(text)
        cut = perhaps.start() if perhaps else len(text)
        found, held = _BLANK_LINES.sub(_EMPTY_LINE, text[:cut]), _shortened(text[cut:])
        if found and not begun:
            found, begun = found.lstrip(_NEW_LINE), True
        yield found
    yield held if held == "\r" else ""


def _shortened(blank: str) -> str:
    """One empty line for all that are whole: a text may have millions."""
    if blank.count(_NEW_LINE) <= 1:
        return blank
    return _EMPTY_LINE + blank.rpartition(_NEW_LINE)[2]
