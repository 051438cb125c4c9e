"""Text files as one stream of code points, in blocks: memory does not grow with the text.

Files are joined in stated order and treated as one text: a line end or a combining mark at the
border of two blocks or two files is handled as it would be within one.
"""

import codecs
import glob
import io
import stat
import unicodedata
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, cast

import numpy as np

from charlstm.errors import FileError
from charlstm.messages import show
from charlstm.text.marking import Found, ItemRules, LabelError, marked
from charlstm.text.vocabulary import Codes, Unit

if TYPE_CHECKING:
    from hashlib import _Hash

Newlines = Literal["keep", "normalize"]
Normalize = Literal["none", "NFC"]

BLOCK_BYTES = 1 << 20
BYTE_ORDER_MARK = "\ufeff"
DECOMPRESSORS = {  # suffix: modules with an open(), the first that is there will do
    ".gz": ("gzip",),
    ".bz2": ("bz2",),
    ".xz": ("lzma",),
    ".zst": ("compression.zstd", "backports.zstd"),
}
EXTRAS = {".zst": "zstd"}


@dataclass(frozen=True)
class TextRules:
    """How a text becomes what a model reads, wherever it comes from.

    ``replacement`` stands in for characters that the vocabulary lacks; without one they are
    refused. Bytes stay as they are. With ``items`` the text is a list of them.
    """

    unit: Unit = "characters"
    newlines: Newlines = "keep"
    normalize: Normalize = "none"
    replacement: str | None = None
    items: ItemRules | None = None

    def applied(self, texts: Iterable[str]) -> Iterator[str]:
        """The joined ``texts``, in pieces, with line ends and characters as the rules want them."""
        if self.newlines == "normalize":
            texts = _with_unix_newlines(texts)
        if self.normalize == "NFC":
            texts = _composed(texts)
        yield from texts


AS_IT_IS = TextRules()


@dataclass(frozen=True)
class TextFiles:
    """Files, and how their bytes become code points. ``longest``: more of those are an error, so
    that what somebody else has named is not read to its end, however much it is. ``found`` is what
    reading them as a list has come across.
    """

    paths: tuple[Path, ...]
    rules: TextRules = AS_IT_IS
    longest: int | None = None
    found: Found = field(default_factory=Found, compare=False)

    def blocks(self, digest: "_Hash") -> Generator[Codes, None, None]:
        """Code points (bytes, if the unit is bytes), block by block.

        ``digest`` takes in the content of all files, unpacked. Raises `FileError`.
        """
        total = 0
        for codes in self._blocks(digest):
            total += len(codes)
            if self.longest is not None and total > self.longest:
                raise FileError(
                    f"{self.names()}: longer than {self.longest:,} {self.rules.unit}, and so no"
                    " longer the text that it was"
                )
            yield codes

    def _blocks(self, digest: "_Hash") -> Iterator[Codes]:
        if self.rules.items is not None:
            for path in self.paths:  # one by one: the end of a file ends an item
                for text in self._marked(path, digest, self.rules.items):
                    yield np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
            return
        if self.rules.unit == "bytes":
            raw = chain.from_iterable(raw_blocks(path, digest) for path in self.paths)
            yield from (np.frombuffer(block, dtype=np.uint8) for block in raw)
            return
        texts = chain.from_iterable(_decoded(path, digest) for path in self.paths)
        for text in self.rules.applied(texts):
            yield np.frombuffer(text.encode("utf-32-le"), dtype="<u4")

    def _marked(self, path: Path, digest: "_Hash", items: ItemRules) -> Iterator[str]:
        texts: Iterator[str]
        if self.rules.unit == "bytes":
            texts = (block.decode("latin-1") for block in raw_blocks(path, digest))
        else:
            texts = self.rules.applied(_decoded(path, digest))
        try:
            yield from marked(texts, items, self.found)
        except LabelError as error:
            raise LabelError(
                error.message, error.number, show(path), is_first=error.is_first
            ) from None

    def names(self) -> str:
        """For messages: the first file, and how many others."""
        others = len(self.paths) - 1
        return show(self.paths[0]) + (f" and {others} more" if others else "")


def find_files(patterns: Sequence[str | Path]) -> tuple[Path, ...]:
    """Paths in stated order; each glob gives its regular files, sorted. Raises `FileError`."""
    if not patterns:
        raise FileError("no text file given; name at least one")
    return tuple(chain.from_iterable(_matches(str(pattern)) for pattern in patterns))


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern)
    if _exists(path) or not any(sign in pattern for sign in "*?["):
        return [path]  # a missing one is reported when it is opened
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 (pathlib's refuses absolute ones)
    files = [Path(name) for name in sorted(names) if Path(name).is_file()]
    if not files:
        raise FileError(f"{show(pattern)}: no file matches")
    return files


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def raw_blocks(path: Path, digest: "_Hash") -> Iterator[bytes]:
    """Of a file as it is, or unpacked. Raises `FileError`."""
    damage: tuple[type[Exception], ...] = ()
    try:
        _require_regular_file(path)
        file, damage = _open(path)
        with file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
                yield block
    except damage as error:
        raise FileError(f"{show(path)}: damaged {path.suffix[1:]} file ({error})") from None
    except OSError as error:
        raise FileError(f"{show(path)}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a path with a NUL in it
        raise FileError(f"{show(path)}: cannot be read: {error}") from None


def _require_regular_file(path: Path) -> None:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise FileError(f"{show(path)}: is a folder; name its files, as in {show(path / '*.txt')}")
    if not stat.S_ISREG(mode):  # opening a FIFO would wait for ever, and a text is read twice
        raise FileError(f"{show(path)}: is not a regular file; save the text to a file first")


def _open(path: Path) -> tuple[IO[bytes], tuple[type[Exception], ...]]:
    """The file, unpacked if its suffix says so, and what a damaged archive raises."""
    if path.suffix not in DECOMPRESSORS:
        return path.open("rb"), ()
    module = _decompressor(path)
    errors = (getattr(module, name, EOFError) for name in ("LZMAError", "ZstdError"))
    return cast(IO[bytes], module.open(path, "rb")), (EOFError, zlib.error, *errors)


def _decompressor(path: Path) -> Any:
    """The module that unpacks such a file. Only here: without it all else can be done."""
    for name in DECOMPRESSORS[path.suffix]:
        try:
            return import_module(name)
        except ImportError:
            continue
    extra = EXTRAS.get(path.suffix)
    advice = f"pip install 'charlstm[{extra}]', or " if extra else ""
    raise FileError(
        f"{show(path)}: this Python cannot read {path.suffix}; {advice}unpack the file first"
    )


def _decoded(path: Path, digest: "_Hash") -> Iterator[str]:
    """The text of a UTF-8 file, without the byte order mark that may open it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    received = 0
    at_start = True
    for block in chain(raw_blocks(path, digest), [b""]):
        held_back = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise FileError(
                f"{show(path)}: invalid UTF-8 at byte {received - held_back + error.start:,}"
                f" (0x{error.object[error.start]:02x});"
                " save the file as UTF-8 or set data.unit=bytes"
            ) from None
        received += len(block)
        if at_start and text:
            text = text.removeprefix(BYTE_ORDER_MARK)
            at_start = False
        yield text


def _with_unix_newlines(texts: Iterable[str]) -> Iterator[str]:
    decoder = io.IncrementalNewlineDecoder(None, translate=True)
    yield from (decoder.decode(text) for text in texts)
    yield decoder.decode("", final=True)


def _composed(texts: Iterable[str]) -> Iterator[str]:
    """NFC of the joined texts. A block is cut where nothing after can change what is before."""
    held_back: list[str] = []
    for text in texts:
        cut = _last_safe_cut(text)
        if cut is None:
            held_back.append(text)
        else:
            yield unicodedata.normalize("NFC", "".join([*held_back, text[:cut]]))
            held_back = [text[cut:]]
    yield unicodedata.normalize("NFC", "".join(held_back))


def _last_safe_cut(text: str) -> int | None:
    """Where the last character stands that never merges with, or moves before, the one before it.

    NFC(a + b) = NFC(a) + NFC(b) if b opens with such a character (Unicode Annex 15, section 9).
    """
    for place in range(len(text) - 1, -1, -1):
        if _never_combines(ord(text[place])):
            return place
    return None


def _never_combines(code: int) -> bool:
    """True only in wide, old ranges (Latin, Han, Hangul syllables), alike in every Unicode."""
    return (
        code < 0x300
        or 0x3400 <= code <= 0x4DBF
        or 0x4E00 <= code <= 0x9FFF
        or 0xAC00 <= code <= 0xD7A3
    )
