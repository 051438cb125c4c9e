"""Compiled expressions accept what re.fullmatch does, and hostile ones end in a line."""

import itertools
import random
import re
import time
import warnings

import pytest

from charlstm.errors import ConfigError, SystemRefusedError
from charlstm.text import expression as module
from charlstm.text.expression import Compiled, compile_expression

pytest.importorskip("interegular")

CHARACTERS = "ab\n.3"
TEXTS = ["".join(text) for n in range(5) for text in itertools.product(CHARACTERS, repeat=n)]
ATOMS = [
    "a",
    "b",
    ".",
    "[ab]",
    "[^a]",
    "[^\\n]",
    "\\w",
    "\\d",
    "[a-z]",
    "\\n",
    "[\\s.]",
    "\\.",
    "\\D",
]
COUNTS = ["*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}", "{,2}", "*?", "+?", "??"]


def accepts(compiled: Compiled, text: str) -> bool:
    state = 0
    for character in text:
        state = int(compiled.after[state, CHARACTERS.index(character)])
        if state < 0:
            return False
    return bool(compiled.accepting[state])


def some_expression(rng: random.Random, depth: int) -> str:
    kind = rng.random()
    if depth == 0 or kind < 0.25:
        return rng.choice(ATOMS)
    one = some_expression(rng, depth - 1)
    if kind < 0.5:
        return one + some_expression(rng, depth - 1)
    if kind < 0.7:
        return f"(?:{one}|{some_expression(rng, depth - 1)})"
    return f"({one}|)" if kind < 0.75 else f"(?:{one}){rng.choice(COUNTS)}"


def test_as_pythons_own():
    rng = random.Random(5)
    for _ in range(8):
        expression = "|".join(f"{some_expression(rng, 4)}" for _ in range(2))
        compiled, python = compile_expression(expression, CHARACTERS), re.compile(expression)
        wrong = [t for t in TEXTS if accepts(compiled, t) != bool(python.fullmatch(t))]
        assert wrong == [], expression


@pytest.mark.parametrize(
    "expression",
    ["^a$", "^a|b$", "a\\$", "(?i)A", "(?s).{2}", "", "[\\].]", "a{2}$", "[a[]", "[[]|b", "[(?=a]"],
)
def test_forms(expression: str):
    compiled = compile_expression(expression, CHARACTERS)
    with warnings.catch_warnings(action="ignore"):
        python = re.compile(expression)
    # Python's $ also stands before a line end at the end; here it is the end.
    matches = {t for t in TEXTS if python.fullmatch(t)}
    assert {t for t in TEXTS if accepts(compiled, t)} == matches


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("(a", r"missing \), unterminated subpattern at position 0"),
        ("a**", "multiple repeat at position 2"),
        ("(a)\\1", "not supported: Group references"),
        ("(?<=a)b", "not supported: lookbacks"),
        ("a\\b", r"not supported: Escape \\b"),
        ("a$b", "not supported: '\\$'"),
        ("(?x)a b", "not supported: Flag x"),
        ("a(?=b)", "look-ahead"),
        (r"\\(?=b)", "look-ahead"),
        (r"\\[]a]", "write ] as"),
        (r"a\\[^]a]", "write ] as"),
        ("a(?!b)b", "look-ahead"),
        ("[]a]", r"write \] as \\\] at the beginning of a class"),
        ("[^]a]", r"write \] as"),
        ("(?#remark)a", "not supported"),
        ("a{3,2}", "min repeat greater than max repeat"),
        ("(" * 5000 + ")" * 5000, "recursion|nesting|too large|more than"),
    ],
)
def test_what_is_refused(expression: str, reason: str):
    with pytest.raises(ConfigError, match=reason) as refused:
        compile_expression(expression, CHARACTERS)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "expression", ["((a{1000}){1000}){1000}", "(a|b)*a(a|b){60}", "(a{9}){99999999}"]
)
def test_hostile_ones_end_in_time(expression: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(ConfigError, match="to compile; smaller counts make it smaller"):
        compile_expression(expression, CHARACTERS)
    assert time.monotonic() - began < 5


def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch):
    """Too little for Python itself, so that it is over at once."""
    monkeypatch.setattr(module, "MEGABYTES", 9)
    began = time.monotonic()
    with pytest.raises(ConfigError, match="9 MB to compile"):
        compile_expression("(a|b)*a(a|b){12}", CHARACTERS)
    assert time.monotonic() - began < module.SECONDS


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(SystemRefusedError, match=r"pip install 'charlstm\[patterns\]'"):
        compile_expression("a", CHARACTERS)
