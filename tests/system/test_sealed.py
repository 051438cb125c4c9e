"""Sealed files: everything that is not exactly what was written is refused, in one line."""

import copy
import gzip
import hashlib
import io
import json
import math
import os
import pickle
import random
import re
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.errors import DivergedError, FileError
from charlstm.system import safetensors
from charlstm.system.sealed import read_sealed, seal, unseal

ARRAYS = {
    "param/lstm.0.W_x": np.linspace(-1, 1, 15, dtype=np.float32).reshape(3, 5),
    "vocabulary": np.array([10, 32, 0x1F600], dtype=np.uint32),
    "bytes": np.arange(7, dtype=np.uint8),
    "count": np.array(-(2**60), dtype=np.int64),
    "moment/W": np.array([[1e-300], [5e-324]]),
    "codes": np.array([[0, 65535]], dtype=np.uint16),
    "none": np.zeros((0, 3), dtype=np.float32),
}
STATE = {"step": 1200, "rng": str(2**127), "config": {"name": "\u00e9t\u00e9 \U0001f600"}, "x": 0.1}

FLOATS = {"F32": np.float32, "F64": np.float64}
INTEGERS = {"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "I64": np.int64}


def sealed_bytes(arrays: dict[str, Any] = ARRAYS, state: dict[str, Any] = STATE) -> bytes:
    return b"".join(seal(arrays, state))


def reseal(data: bytes) -> bytes:
    """The same file with the checksum that fits it."""
    zeroed = data[:35] + b"0" * 64 + data[99:]
    return data[:35] + hashlib.sha256(zeroed).hexdigest().encode() + data[99:]


def split(data: bytes) -> tuple[bytes, bytes]:
    end = 8 + int.from_bytes(data[:8], "little")
    return data[8:end], data[end:]


def forge(header: bytes | dict[str, Any], data: bytes) -> bytes:
    """A file with any header and a right checksum."""
    if isinstance(header, dict):
        header = json.dumps(header, separators=(",", ":")).encode()
    return reseal(len(header).to_bytes(8, "little") + header + data)


def forged(change: Callable[[dict[str, Any]], Any], arrays: dict[str, Any] = ARRAYS) -> bytes:
    """A file whose header was changed, with a right checksum."""
    text, data = split(sealed_bytes(arrays))
    header = json.loads(text)
    change(header)
    return forge(header, data)


def assert_same(arrays: dict[str, Any], expected: dict[str, Any]) -> None:
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array, strict=True)


def refusal(data: bytes) -> str:
    """Why ``data`` is refused; anything but a FileError of one short line fails the test."""
    with pytest.raises(FileError) as caught:
        unseal(data, "x.safetensors")
    message = str(caught.value)
    assert message.startswith("x.safetensors ")
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 250
    return message


def test_what_goes_in_comes_out():
    arrays, state = unseal(sealed_bytes())
    assert_same(arrays, ARRAYS)
    assert state == STATE
    for array in arrays.values():
        assert array.flags.writeable
        assert array.flags.aligned
        assert array.flags.owndata
        assert array.dtype.isnative


def test_strided_and_big_endian_arrays():
    base = np.arange(24, dtype=">f4").reshape(4, 6)
    arrays, _ = unseal(sealed_bytes({"a": base.T[::2], "b": base[1]}))
    assert_same(arrays, {"a": base.T[::2].astype(np.float32), "b": base[1].astype(np.float32)})


def test_every_array_lies_aligned_in_the_file():
    data = sealed_bytes()
    text, _ = split(data)
    for name, entry in json.loads(text).items():
        if name != "__metadata__":
            begin = len(data) - len(split(data)[1]) + entry["data_offsets"][0]
            assert begin % ARRAYS[name].dtype.itemsize == 0


def test_layout():
    """The checksum stands at offset 35 and is that of the file with zeros in its place."""
    data = sealed_bytes()
    assert data[8:35] == b'{"__metadata__":{"sha256":"'
    assert re.fullmatch(rb"[0-9a-f]{64}", data[35:99])
    assert data == reseal(data)
    assert data == sealed_bytes()


def test_sealing_copies_no_large_array():
    large = np.ones((300, 1000), np.float32)
    chunks = seal({"large": large, "u": np.ones(3, np.uint8)}, {})
    assert any(np.shares_memory(np.frombuffer(chunk, np.uint8), large) for chunk in chunks[1:])


def test_the_official_reader_sees_the_same_arrays(tmp_path: Path):
    official = pytest.importorskip("safetensors.numpy")
    safetensors = pytest.importorskip("safetensors")
    path = tmp_path / "a.safetensors"
    path.write_bytes(sealed_bytes())
    assert_same(official.load_file(path), ARRAYS)
    with safetensors.safe_open(path, "numpy") as opened:
        metadata = opened.metadata()
    assert metadata["format"] == "charlstm-1"
    assert json.loads(metadata["state"]) == STATE
    theirs = official.save(ARRAYS, {"sha256": "0" * 64, "format": "charlstm-1", "state": "{}"})
    assert "did not write it" in refusal(theirs) or "damaged" in refusal(theirs)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_neither_written_nor_read(value: float):
    for kind in FLOATS.values():
        good = np.array([1, 2, 3], kind)
        bad = np.array([1, value, 3], kind)
        with pytest.raises(DivergedError, match="param/W holds NaN or infinite"):
            seal({"param/W": bad}, {})
        data = sealed_bytes({"a": good, "param/W": good})
        forgery = reseal(data[: -good.nbytes] + bad.tobytes())
        assert "contains NaN or infinite numbers in param/W" in refusal(forgery)
    with pytest.raises(ValueError, match="JSON"):
        seal({}, {"best": value})


@pytest.mark.parametrize(
    ("arrays", "state"),
    [
        ({"a": np.zeros(2, np.complex64)}, {}),
        ({"a": np.zeros(2, bool)}, {}),
        ({"a": np.array([None])}, {}),
        ({"../a": np.zeros(2), "a b": np.zeros(2)}, {}),
        ({"__metadata__": np.zeros(2)}, {}),
        ({"a": np.zeros((1,) * 9)}, {}),
        ({}, {"long": "x" * 2**22}),
        ({}, {"nested": [[]] * 2**16}),
    ],
)
def test_what_could_not_be_read_is_not_written(arrays: dict[str, Any], state: dict[str, Any]):
    with pytest.raises(ValueError, match=r"hold|name|axes|header"):
        seal(arrays, state)


def test_both_sides_of_the_limits_of_the_header():
    overhead = len(split(sealed_bytes({}, {"long": ""}))[0])
    fits = {"long": "x" * (safetensors.MAX_HEADER - overhead)}
    data = sealed_bytes({}, fits)
    assert len(split(data)[0]) == safetensors.MAX_HEADER
    assert unseal(data) == ({}, fits)
    text, _ = split(data)
    assert "header" in refusal(forge(text + b" ", b""))

    lists = {"lists": [[]] * (safetensors.MAX_BRACKETS - 4)}
    data = sealed_bytes({}, lists)
    assert unseal(data) == ({}, lists)
    text, _ = split(data)
    assert "brackets" in refusal(forge(text.replace(b"[[],", b"[[],[],"), b""))
    eight = {"a": np.ones((1,) * 8, np.float32)}
    assert_same(unseal(sealed_bytes(eight))[0], eight)


def test_every_flipped_bit_is_refused():
    data = bytearray(sealed_bytes())
    for position in range(len(data)):
        for bit in range(8):
            data[position] ^= 1 << bit
            with pytest.raises(FileError):
                unseal(data)
            data[position] ^= 1 << bit
    unseal(data)
    print(f"{8 * len(data):,} bit flips refused")


def test_every_truncation_and_extension_is_refused():
    data = sealed_bytes()
    for length in range(len(data)):
        refusal(data[:length])
    for count in [*range(1, 65), 512, 4096]:
        for filler in (b"\0", b" ", b"\xff", data[:1]):
            refusal(data + filler * count)


def test_zeroed_and_swapped_blocks_are_refused():
    rng = np.random.default_rng(5)
    data = sealed_bytes({"a": rng.standard_normal(4000).astype(np.float32)})
    for size in (512, 4096):
        blocks = [data[i : i + size] for i in range(0, len(data), size)]
        for i in range(len(blocks)):
            zeroed = [*blocks[:i], bytes(len(blocks[i])), *blocks[i + 1 :]]
            refusal(b"".join(zeroed))
            if i:
                swapped = [*blocks[: i - 1], blocks[i], blocks[i - 1], *blocks[i + 1 :]]
                refusal(b"".join(swapped))


def test_random_damage_to_a_large_file_is_refused(torture: bool):
    number = 1_000_000 if torture else 10_000
    data = bytearray(sealed_bytes({"a": np.ones(25_000, np.float32)}))
    rng = random.Random(1)
    for _ in range(number):
        start = rng.randrange(len(data))
        end = min(len(data), start + rng.choice([1, 2, 64, 4096]))
        before = bytes(data[start:end])
        data[start:end] = rng.randbytes(end - start)
        if data[start:end] != before:
            with pytest.raises(FileError):
                unseal(data)
        data[start:end] = before
    unseal(data)


# Forgeries with a right checksum: the structure itself must be checked

ODD_VALUES = [
    *[0, 1, -1, 2, 3, 4, 8, 60, 255, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, 10**400],
    *[1.0, 1.5, 1e300, True, False, None, "", "0", "F32", "F64", "U8", "I64", "BF16", "BOOL"],
    *["charlstm-2", "charlstm-1", "{}", "[]", '{"a":1e999}', "\x1b[2J", "\ud800", "a/../b"],
    *[[], {}, [0], [0, 0], [0, 60], [3, 5], [5, 3], [15], [[3, 5]], {"dtype": "F32"}, [1] * 100],
]
ODD_TEXT = [
    *[b"NaN", b"-Infinity", b"1e999", b"-0", b"0.0", b"6e1", b"9" * 5000, b"[" * 5000, b"\xff"],
    *[
        b"null",
        b",",
        b":",
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\\",
        b"\\u0000",
        b"\0",
        b" ",
        b"\n",
        b"0",
    ],
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, child in inside:
        found.append((*path, key))
        if isinstance(child, dict | list):
            found += places(child, (*path, key))
    return found


def mutate_tree(header: dict[str, Any], rng: random.Random) -> None:
    path = rng.choice(places(header))
    parent: Any = header
    for key in path[:-1]:
        parent = parent[key]
    match rng.choice(["set", "set", "delete", "rename", "nudge", "copy", "reorder"]):
        case "set":
            parent[path[-1]] = copy.deepcopy(rng.choice(ODD_VALUES))
        case "delete":
            del parent[path[-1]]
        case "rename" if isinstance(parent, dict):
            new = rng.choice(["", "a", "\x1b[31m", "../../x", "__metadata__", "shape", "x" * 200])
            parent[new] = parent.pop(path[-1])
        case "nudge" if type(parent[path[-1]]) is int:
            parent[path[-1]] += rng.choice([-8, -4, -1, 1, 4, 8])
        case "copy":
            other = rng.choice(places(header))
            source: Any = header
            for key in other:
                source = source[key]
            parent[path[-1]] = copy.deepcopy(source)
        case "reorder" if isinstance(parent, dict):
            items = list(parent.items())
            rng.shuffle(items)
            parent.clear()
            parent.update(items)
        case "reorder":
            parent.reverse()


def mutate_text(text: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.3:  # a duplicate key
        entry = rng.choice(re.findall(rb'"[^"]*":\[[^\]]*\]', text) or [b'"a":1'])
        return text.replace(entry, entry + b"," + entry, 1)
    numbers = list(re.finditer(rb"\d+", text[99:]))
    if rng.random() < 0.5 and numbers:
        number = rng.choice(numbers)
        start, end = 99 + number.start(), 99 + number.end()
    else:
        start = rng.randrange(len(text))
        end = start + rng.randrange(4)
    return text[:start] + rng.choice(ODD_TEXT) + text[end:]


def mutate_data(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    special = np.array([rng.choice([math.nan, math.inf, 1.0])], "<f4").tobytes()
    return rng.choice(
        [
            data[:at],
            data + rng.randbytes(rng.choice([1, 4, 8, 60])),
            data[:at] + special + data[at + 4 :],
            data[:at] + data[at + 4 :],
            b"",
        ]
    )


def mutant(rng: random.Random) -> bytes:
    text, data = split(sealed_bytes())
    header = json.loads(text)
    if rng.random() < 0.8:
        for _ in range(rng.choice([1, 1, 1, 2, 5])):
            if places(header):
                mutate_tree(header, rng)
        text = json.dumps(header, separators=(",", ":")).encode()
    if rng.random() < 0.3:
        text = mutate_text(text, rng)
    if rng.random() < 0.2:
        data = mutate_data(data, rng)
    length = len(text) + (rng.choice([-8, -1, 1, 8, 2**40]) if rng.random() < 0.05 else 0)
    return reseal(max(length, 0).to_bytes(8, "little") + text + data)


def declared_arrays(data: bytes) -> dict[str, np.ndarray]:
    """A second reader, which believes everything: what an accepted file must have meant."""
    text, content = split(data)
    arrays = {}
    for name, entry in json.loads(text).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            kind = (FLOATS | INTEGERS)[entry["dtype"]]
            arrays[name] = np.frombuffer(content[begin:end], kind).reshape(entry["shape"])
    return arrays


def test_forged_files_are_refused_or_mean_what_they_declare(torture: bool):
    """Any exception but FileError fails; so does an accepted file read differently."""
    number = 1_000_000 if torture else 5000
    rng = random.Random(7)
    accepted, slowest, messages = 0, 0.0, set()
    for _ in range(number):
        data = mutant(rng)
        start = time.perf_counter()
        try:
            arrays, state = unseal(data)
        except FileError as error:
            messages.add(str(error))
        else:
            accepted += 1
            assert_same(arrays, declared_arrays(data))
            assert sum(array.nbytes for array in arrays.values()) == len(split(data)[1])
            assert json.dumps(state, allow_nan=False)
        slowest = max(slowest, time.perf_counter() - start)
    print(f"{number:,} forgeries: {accepted:,} harmless, slowest {1000 * slowest:.1f} ms")
    assert all(message.isprintable() and len(message) < 250 for message in messages)
    assert 0 < accepted < number / 4
    assert slowest < 1


def entry_change(name: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header[name].update(changes)


def rename(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        items = [(new if name == old else name, entry) for name, entry in header.items()]
        header.clear()
        header.update(items)

    return change


def without_terminator(text: bytes) -> bytes:
    return text.rstrip()[:-1]


def with_text(change: Callable[[bytes], bytes]) -> bytes:
    text, data = split(sealed_bytes())
    return forge(change(text), data)


def with_state(text: str) -> bytes:
    return forged(lambda header: header["__metadata__"].update(state=text))


SQUARE = {"a": np.ones((2, 3), np.float32), "b": np.ones((4, 5), np.float32)}
FORGERIES = {
    "newer format": (
        forged(lambda h: h["__metadata__"].update(format="charlstm-99", more="x")),
        "was written by a newer charlstm (format 99; this one reads up to 1). Upgrade charlstm.",
    ),
    "other format": (forged(lambda h: h["__metadata__"].update(format="pt")), "unknown format"),
    "format zero": (
        forged(lambda h: h["__metadata__"].update(format="charlstm-0")),
        "unknown format",
    ),
    "no format": (forged(lambda h: h["__metadata__"].pop("format")), "unknown format None"),
    "no state": (forged(lambda h: h["__metadata__"].pop("state")), "metadata"),
    "extra metadata": (forged(lambda h: h["__metadata__"].update(x="y")), "metadata"),
    "state not text": (forged(lambda h: h["__metadata__"].update(state={})), "metadata"),
    "state a list": (with_state("[]"), "no JSON object"),
    "state no JSON": (with_state("{'a': 1}"), "header"),
    "state NaN": (with_state('{"a":NaN}'), "NaN is no number"),
    "state infinite": (with_state('{"a":1e999}'), "1e999 is no number"),
    "state duplicate keys": (with_state('{"a":1,"a":1}'), "duplicate keys"),
    "state surrogate": (with_state('{"a":"\\ud800"}'), "not valid Unicode"),
    "state of 5000 digits": (with_state('{"a":' + "9" * 5000 + "}"), "header"),
    "state nested": (with_state('{"a":' + "[" * 40 + "1" + "]" * 40 + "}"), "nested too deeply"),
    "state nested deeply": (with_state("[" * 15_000 + "]" * 15_000), "nested too deeply"),
    "brackets without end": (with_state("[" * 100_000), "brackets"),
    "raw surrogate": (
        with_text(lambda t: t.replace(b"vocabulary", b"voc\\ud800ary")),
        "not valid Unicode",
    ),
    "not UTF-8": (
        with_text(lambda t: t.replace(b"vocabulary", b"voc\xffbulary")),
        "not valid Unicode",
    ),
    "text cut": (with_text(without_terminator), "header"),
    "two objects": (with_text(lambda t: t.rstrip() + b"{}"), "Extra data"),
    "duplicate array": (
        with_text(lambda t: t.replace(b'"bytes":', b'"count":')),
        "duplicate keys",
    ),
    "duplicate field": (
        with_text(lambda t: t.replace(b'"dtype":"U8"', b'"dtype":"U8","dtype":"U8"')),
        "duplicate keys",
    ),
    "huge shape": (forged(entry_change("bytes", shape=[2**62])), "do not fit"),
    "overflowing shape": (forged(entry_change("bytes", shape=[2**32, 2**32])), "do not fit"),
    "huge and empty": (forged(entry_change("none", shape=[0, 2**62])), "absurd shape"),
    "beyond 64 bits": (forged(entry_change("none", shape=[0, 10**30])), "shape"),
    "negative shape": (forged(entry_change("bytes", shape=[-7])), "shape"),
    "two negatives": (forged(entry_change("bytes", shape=[-7, -1])), "shape"),
    "float shape": (forged(entry_change("bytes", shape=[7.0])), "shape"),
    "boolean shape": (forged(entry_change("bytes", shape=[7, True])), "shape"),
    "text shape": (forged(entry_change("bytes", shape="7")), "shape"),
    "shape of 5000 digits": (
        with_text(lambda t: t.replace(b'"shape":[7]', b'"shape":[' + b"9" * 5000 + b"]")),
        "header",
    ),
    "rank": (forged(entry_change("bytes", shape=[7, *[1] * 8])), "shape"),
    "wrong type": (forged(entry_change("bytes", dtype="F16")), "type"),
    "type a list": (forged(entry_change("bytes", dtype=["U8"])), "type"),
    "object type": (forged(entry_change("bytes", dtype="|O")), "type"),
    "wider type": (forged(entry_change("bytes", dtype="F64")), "do not fit"),
    "extra field": (forged(entry_change("bytes", more=1)), "entry"),
    "entry no object": (forged(lambda h: h.update(bytes=[1])), "entry"),
    "overlap": (forged(entry_change("b", data_offsets=[0, 80]), SQUARE), "do not fit"),
    "hole": (
        forged(lambda h: h.update(a={"dtype": "U8", "shape": [2], "data_offsets": [1, 3]}), {}),
        "do not fit",
    ),
    "hole with bytes in it": (
        reseal(
            forged(lambda h: h.update(a={"dtype": "U8", "shape": [2], "data_offsets": [1, 3]}), {})
            + b"abc"
        ),
        "do not fit",
    ),
    "reversed offsets": (forged(entry_change("bytes", data_offsets=[7, 0])), "do not fit"),
    "float offsets": (forged(entry_change("a", data_offsets=[0.0, 24.0]), SQUARE), "do not fit"),
    "boolean offsets": (forged(entry_change("a", data_offsets=[False, 24]), SQUARE), "do not fit"),
    "three offsets": (forged(entry_change("a", data_offsets=[0, 24, 24]), SQUARE), "do not fit"),
    "trailing bytes": (reseal(sealed_bytes() + b"x"), "belong to no array"),
    "trailing archive": (reseal(sealed_bytes() + b"PK\x05\x06" + bytes(18)), "belong to no array"),
    "missing bytes": (reseal(sealed_bytes()[:-1]), "do not fit"),
    "missing array": (forged(lambda h: h.pop("b"), SQUARE), "80 bytes belong to no array"),
    "name with escape codes": (forged(rename("bytes", "\x1b[2J")), "array name '\\x1b[2J'"),
    "name upwards": (forged(rename("bytes", "/etc/passwd")), "array name"),
    "name empty": (forged(rename("bytes", "")), "array name"),
    "name long": (forged(rename("bytes", "x" * 5000)), "array name"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_gallery_of_forgeries(name: str):
    data, reason = FORGERIES[name]
    assert "checksum" not in refusal(data)
    assert reason in refusal(data)


def zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(20_000_000))
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(100))
    return buffer.getvalue()


class Malice:
    def __reduce__(self):
        return os.system, ("touch /tmp/charlstm-was-here",)


PLAIN_SAFETENSORS = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}} '
FOREIGN = {
    "empty": (b"", "is empty"),
    **{f"pickle {n}": (pickle.dumps(Malice(), n), "is a pickle") for n in (2, 3, 4, 5)},
    "pickle 0": (pickle.dumps([Malice()], 0), "not a charlstm checkpoint"),
    "zip bomb": (zip_bomb(), "is a zip archive"),
    "npy": (npy(), "is an .npy array"),
    "html": (b"\n<!DOCTYPE html><html><title>404</title>", "web page"),
    "gzip": (gzip.compress(sealed_bytes()), "gzip"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "text": (b"To be, or not to be, that is the question.", "not a charlstm checkpoint"),
    "zeros": (bytes(5000), "not a charlstm checkpoint"),
    "ones": (b"\xff" * 5000, "not a charlstm checkpoint"),
    "one byte": (b"\x01", "not a charlstm checkpoint"),
    "safetensors": (
        len(PLAIN_SAFETENSORS).to_bytes(8, "little") + PLAIN_SAFETENSORS + b"x",
        "did not write it",
    ),
    "endless header": (b"\xff" * 7 + b"\x7f" + sealed_bytes()[8:], "is damaged (a header of"),
    "header of 1 GB": ((2**30).to_bytes(8, "little") + sealed_bytes()[8:], "is damaged"),
    "header without digest": (
        (27).to_bytes(8, "little") + sealed_bytes()[8:35],
        "is damaged (a header of 27 bytes)",
    ),
    "cut": (sealed_bytes()[:200], "is damaged (cut off after 200 bytes)"),
    "damaged": (sealed_bytes()[:-1] + b"x", "is damaged (checksum differs, "),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_gallery_of_foreign_files(tmp_path: Path, name: str):
    content, reason = FOREIGN[name]
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    assert reason in refusal(content)
    with pytest.raises(FileError) as caught:
        read_sealed(path)
    assert str(caught.value).startswith(f"{path} ")
    assert reason in str(caught.value)
    assert not Path("/tmp/charlstm-was-here").exists()


@pytest.mark.parametrize("name", ["missing", "folder", "fifo", "zero", "loop", "sparse"])
def test_gallery_of_things_that_are_no_files(tmp_path: Path, name: str):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.write(sealed_bytes())
        sparse.truncate(2**42)
    start = time.monotonic()
    with pytest.raises(FileError, match=re.escape(str(tmp_path / name))):
        read_sealed(tmp_path / name)
    assert time.monotonic() - start < 1


def test_reading_from_disk(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(sealed_bytes())
    arrays, state = read_sealed(path)
    assert_same(arrays, ARRAYS)
    assert state == STATE


def peak_of(action: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


COSTLY = {
    "good": sealed_bytes({"a": np.ones(500_000, np.float32)}),
    "zip bomb": zip_bomb(),
    "objects": with_state('{"a":[' + "{}," * 16_000 + "{}]}"),
    "numbers": with_state('{"a":[' + "1e1," * 260_000 + "1]}"),
    "texts": with_state('{"a":[' + '"xy",' * 140_000 + "1]}"),
    "keys": with_state("{" + ",".join(f'"{n}":1' for n in range(90_000)) + "}"),
    "wide text": with_state('{"a":"' + "x" * 1_000_000 + '\U0001f600"}'),
}


@pytest.mark.parametrize("name", COSTLY)
def test_memory_is_bounded_by_the_size_of_the_file(tmp_path: Path, name: str):
    path = tmp_path / "a.safetensors"
    path.write_bytes(COSTLY[name])
    tracemalloc.start()
    with suppress(FileError):
        read_sealed(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * len(COSTLY[name]) + 20_000_000


def test_no_bytes_whatever_raise_anything_else():
    rng = random.Random(3)
    good = sealed_bytes()
    for _ in range(3000):
        start = rng.choice([0, 0, 8, 35, 99, 200])
        content = good[:start] + rng.randbytes(rng.randrange(300))
        with pytest.raises(FileError):
            unseal(rng.choice([content, reseal(content)]))
