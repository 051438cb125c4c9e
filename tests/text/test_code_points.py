"""Text files as blocks: the same code points wherever a block ends, and one line per error."""

import bz2
import gzip
import hashlib
import lzma
import os
import sys
import unicodedata
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from charlstm.errors import FileError
from charlstm.text import code_points
from charlstm.text.code_points import TextFiles, TextRules, find_files

MERGING = "ee\u0301\u0323\u1100\u1161\u11a8\uac00\u09c7\u09be"
AWKWARD = "aé\u0344\r\n\r\n\0中😀\u2126ก" + 4 * MERGING


def read(*paths: Path, newlines: str = "keep", normalize: str = "none") -> str:
    files = TextFiles(paths, TextRules("characters", newlines, normalize))  # type: ignore[arg-type]
    codes = np.concatenate(list(files.blocks(hashlib.sha256())))
    return codes.astype("<u4").tobytes().decode("utf-32-le")


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    return tmp_path / "text.txt"


@pytest.fixture(params=[1, 2, 3, 5, 64, 1 << 20])
def any_block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads in blocks of so many bytes."""
    monkeypatch.setattr(code_points, "BLOCK_BYTES", request.param)


@pytest.fixture
def awkward_text(text_file: Path) -> str:
    choices = np.random.default_rng(7).integers(len(AWKWARD), size=1000)
    text = "".join(AWKWARD[i] for i in choices)
    text_file.write_bytes(text.encode())
    return text


@pytest.mark.usefixtures("any_block")
@pytest.mark.parametrize("newlines", ["keep", "normalize"])
@pytest.mark.parametrize("normalize", ["none", "NFC"])
def test_blocks_do_not_show(
    text_file: Path, awkward_text: str, newlines: str, normalize: str
) -> None:
    expected = awkward_text
    if newlines == "normalize":
        expected = expected.replace("\r\n", "\n").replace("\r", "\n")
    if normalize == "NFC":
        expected = unicodedata.normalize("NFC", expected)
    assert read(text_file, newlines=newlines, normalize=normalize) == expected


def test_awkward_text_is_awkward(awkward_text: str) -> None:
    cuts = range(1, len(awkward_text))
    whole = unicodedata.normalize("NFC", awkward_text)
    changed_by_a_cut = [
        cut
        for cut in cuts
        if unicodedata.normalize("NFC", awkward_text[:cut])
        + unicodedata.normalize("NFC", awkward_text[cut:])
        != whole
    ]
    assert len(changed_by_a_cut) > 50


def test_safe_cuts_are_safe_in_this_unicode() -> None:
    everything = map(chr, range(sys.maxunicode + 1))
    decompositions = [unicodedata.decomposition(character).split() for character in everything]
    second = {int(d[1], 16) for d in decompositions if len(d) == 2 and not d[0].startswith("<")}
    assert 0x301 in second
    safe = [code for code in range(sys.maxunicode + 1) if code_points._never_combines(code)]
    assert len(safe) > 0x7000
    for code in safe:
        assert code not in second
        assert unicodedata.combining(chr(code)) == 0
        assert unicodedata.is_normalized("NFC", chr(code))


def test_text_without_a_safe_cut_is_still_right(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\u0430" + "\u0301\u0323" * 50 + "\u1100\u1161\u11a8" * 20
    text_file.write_bytes(text.encode())
    monkeypatch.setattr(code_points, "BLOCK_BYTES", 3)
    assert read(text_file, normalize="NFC") == unicodedata.normalize("NFC", text)


def test_files_are_joined_in_stated_order_as_one_text(tmp_path: Path) -> None:
    first, second = tmp_path / "b.txt", tmp_path / "a.txt"
    first.write_bytes("\ufeffe\r".encode())
    second.write_bytes("\ufeff\ne".encode())
    third = tmp_path / "c.txt"
    third.write_bytes("\u0301\ufeff".encode())
    joined = read(first, second, third, newlines="normalize", normalize="NFC")
    assert joined == "e\né\ufeff"


@pytest.mark.usefixtures("any_block")
def test_byte_order_mark_is_dropped_once(text_file: Path) -> None:
    text_file.write_bytes("\ufeff\ufeffa".encode())
    assert read(text_file) == "\ufeffa"


@pytest.mark.usefixtures("any_block")
@pytest.mark.parametrize(
    ("content", "offset", "byte"),
    [
        (b"a" * 1234 + b"\xff" + b"b" * 9, "1,234", "0xff"),
        ("é".encode() * 700 + b"\xc3(", "1,400", "0xc3"),
        ("\ufeffab😀".encode() + b"\xf0\x9f\x98", "9", "0xf0"),
        (b"\xed\xa0\x80", "0", "0xed"),
    ],
)
def test_invalid_utf8_names_its_byte(
    text_file: Path, content: bytes, offset: str, byte: str
) -> None:
    text_file.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read(text_file)
    assert str(caught.value) == (
        f"{text_file}: invalid UTF-8 at byte {offset} ({byte});"
        " save the file as UTF-8 or set data.unit=bytes"
    )


@pytest.mark.parametrize(("suffix", "module"), [(".gz", gzip), (".xz", lzma), (".bz2", bz2)])
def test_packed_files_are_unpacked(tmp_path: Path, suffix: str, module: object) -> None:
    packed = tmp_path / f"text.txt{suffix}"
    content = module.compress("größer\n".encode() * 500)  # type: ignore[attr-defined]
    packed.write_bytes(content)
    assert read(packed) == "größer\n" * 500
    packed.write_bytes(content[: len(content) // 2])
    with pytest.raises(FileError, match=f"damaged {suffix[1:]} file"):
        read(packed)
    packed.write_bytes(b"no archive at all")
    with pytest.raises(FileError, match=r"text\.txt"):
        read(packed)


def test_the_digest_is_of_the_unpacked_bytes(tmp_path: Path) -> None:
    content = "\ufeffä\r\n".encode()
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(content))
    digest = hashlib.sha256()
    list(TextFiles((packed, packed)).blocks(digest))
    assert digest.digest() == hashlib.sha256(content * 2).digest()


def test_bytes_stay_as_they_are(text_file: Path) -> None:
    content = b"\xef\xbb\xbf\xff\r\n\0"
    text_file.write_bytes(content)
    blocks = list(TextFiles((text_file,), TextRules("bytes")).blocks(hashlib.sha256()))
    assert np.concatenate(blocks).tolist() == list(content)


def test_globs_are_sorted_and_stay_in_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b2.txt", "b10.txt", "a.txt", "z.txt", "[b].txt"):
        Path(name).write_text(name)
    Path("b.txt").mkdir()
    found = find_files(["z.txt", "b*.txt", "a.txt", "[b].txt", str(tmp_path / "?.txt")])
    assert [path.name for path in found] == [
        *("z.txt", "b10.txt", "b2.txt", "a.txt", "[b].txt"),
        *("a.txt", "z.txt"),
    ]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("missing.txt", "missing.txt: cannot be read: No such file"),
        ("no*match.txt", "match.txt: no file matches"),
        ("folder", "is a folder; name its files, as in .*folder/.*txt"),
        ("pipe", "is not a regular file"),
        ("loop", "cannot be read"),
        ("x" * 5000, "cannot be read: File name too long"),
        ("nul\0", "cannot be read"),
    ],
)
def test_what_is_no_text_file_is_refused(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FileError, match=complaint) as caught:
        read(*find_files([str(tmp_path / name)]))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_no_file_at_all_is_refused() -> None:
    with pytest.raises(FileError, match="name at least one"):
        find_files([])


def test_zst_is_read_in_all_its_frames_and_a_cut_one_is_refused(tmp_path: Path) -> None:
    try:
        zstd = import_module("compression.zstd")
    except ImportError:
        zstd = pytest.importorskip("backports.zstd")
    packed = tmp_path / "a.zst"
    packed.write_bytes(zstd.compress(b"first, ") + zstd.compress("sécond".encode()))
    digest = hashlib.sha256()
    text = b"".join(block.tobytes() for block in TextFiles((packed,)).blocks(digest))
    assert text.decode("utf-32-le") == "first, sécond"
    assert digest.hexdigest() == hashlib.sha256("first, sécond".encode()).hexdigest()
    for damaged in (packed.read_bytes()[:-3], b"no archive"):
        packed.write_bytes(damaged)
        with pytest.raises(FileError, match=r"a\.zst: damaged zst file"):
            list(TextFiles((packed,)).blocks(hashlib.sha256()))


def test_without_its_library_zst_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in code_points.DECOMPRESSORS[".zst"]:
        monkeypatch.setitem(sys.modules, name, None)
    packed = tmp_path / "a.zst"
    packed.write_bytes(b"")
    with pytest.raises(FileError) as caught:
        list(TextFiles((packed,)).blocks(hashlib.sha256()))
    assert str(caught.value) == (
        f"{packed}: this Python cannot read .zst; pip install 'charlstm[zstd]', or unpack the file"
        " first"
    )
