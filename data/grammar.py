"""A probabilistic grammar that can write a text and read it back, and counts the bits of both.

Writing makes choices and each choice of probability p costs log2(1/p) bits. Reading finds the
choices again from the text alone. As long as a text has exactly one derivation, the sum of its
choices' bits is -log2 P(text): the exact information content under the source, which no model
can beat on average.

The notation, one rule per unindented name, its alternatives on the indented lines below it:

    ship                            # a comment
        the brig {name}             # {rule} is replaced by one of that rule's alternatives
        3* a boat | 2* a raft       # | separates alternatives; 3* weighs one of them (default 1)
        {^gear} of {who:name}       # {^rule} begins with a capital; {x:...} also remembers it as x
        {=who} again, {=m+n} men    # {=x} repeats what x remembers; sums and differences work too
        {n:2-40} days, then {day+1} # {2-40} is a whole number; {day+1} writes nothing: a day passes

A pilcrow begins a new paragraph and a slash an indented line, so neither can be part of a text.
"""

import datetime
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

Memory = dict[str, str]
Trail = None | float | tuple["Trail", "Trail"]  # bits of choices; joined in pairs, left first

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


class Pen:
    """Where a text is written: its pieces, the bits of every choice, and what it remembers."""

    def __init__(self, choose: Callable[[Sequence[int]], int], memory: Memory) -> None:
        self.choose = choose
        self.memory = dict(memory)
        self.pieces: list[str] = []
        self.bits: list[float] = []


class Place(NamedTuple):
    """How far one derivation has come through a text, and the choices that led there.

    The chart, shared by all derivations of a page, holds what each rule read at each position.
    """

    text: str
    position: int
    memory: Memory
    trail: Trail
    chart: "Chart"

    def moved(self, length: int) -> "Place":
        return Place(self.text, self.position + length, self.memory, self.trail, self.chart)

    def chose(self, bits: float) -> "Place":
        return Place(self.text, self.position, self.memory, (self.trail, bits), self.chart)

    def remembers(self, facts: Memory) -> "Place":
        return Place(self.text, self.position, self.memory | facts, self.trail, self.chart)

    def bits(self) -> list[float]:
        """The bits of every choice, first to last."""
        return list(flattened(self.trail))


Chart = dict[tuple[str, int, int], tuple[Memory, list[Place]]]


def flattened(trail: Trail) -> Iterator[float]:
    waiting = [trail]
    while waiting:
        match waiting.pop():
            case (earlier, later):
                waiting += [later, earlier]
            case float(bits):
                yield bits


class Symbol(Protocol):
    """A piece of the grammar. Reading returns the ends of *all* derivations that fit."""

    def write(self, pen: Pen) -> None: ...

    def read(self, here: Place) -> list[Place]: ...


class Literal:
    def __init__(self, string: str) -> None:
        self.string = string

    def write(self, pen: Pen) -> None:
        pen.pieces.append(self.string)

    def read(self, here: Place) -> list[Place]:
        fits = here.text.startswith(self.string, here.position)
        return [here.moved(len(self.string))] if fits else []


class Sequential:
    def __init__(self, parts: list[Symbol]) -> None:
        self.parts = parts

    def write(self, pen: Pen) -> None:
        for part in self.parts:
            part.write(pen)

    def read(self, here: Place) -> list[Place]:
        places = [here]
        for part in self.parts:
            places = [end for place in places for end in part.read(place)]
        return places


class Choice:
    def __init__(self, weights: list[int], alternatives: list[Symbol]) -> None:
        self.weights = weights
        self.alternatives = alternatives
        self.bits = [math.log2(sum(weights) / weight) for weight in weights]

    def write(self, pen: Pen) -> None:
        index = pen.choose(self.weights)
        self.alternatives[index].write(pen)
        pen.bits.append(self.bits[index])

    def read(self, here: Place) -> list[Place]:
        return [
            end.chose(bits)
            for bits, alternative in zip(self.bits, self.alternatives, strict=True)
            for end in alternative.read(here)
        ]


class Number:
    """A whole number, each from `low` to `high` equally likely. No digit may follow it."""

    NUMERAL = re.compile(r"0|[1-9][0-9]*")

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high
        self.bits = math.log2(high - low + 1)

    def write(self, pen: Pen) -> None:
        index = pen.choose([1] * (self.high - self.low + 1))
        pen.bits.append(self.bits)
        pen.pieces.append(str(self.low + index))

    def read(self, here: Place) -> list[Place]:
        numeral = self.NUMERAL.match(here.text, here.position)
        if numeral is None or not self.low <= int(numeral[0]) <= self.high:
            return []
        return [here.chose(self.bits).moved(len(numeral[0]))]


class Remembered:
    """Writes what its symbol writes, and remembers it under a name."""

    def __init__(self, name: str, symbol: Symbol) -> None:
        self.name, self.symbol = name, symbol

    def write(self, pen: Pen) -> None:
        start = len(pen.pieces)
        self.symbol.write(pen)
        pen.memory[self.name] = "".join(pen.pieces[start:])

    def read(self, here: Place) -> list[Place]:
        return [
            end.remembers({self.name: here.text[here.position : end.position]})
            for end in self.symbol.read(here)
        ]


class Recalled:
    """Repeats what a name remembers, or the sum or difference of two numbers: no choice."""

    EXPRESSION = re.compile(r"([a-z]+)(?:([+-])([a-z]+|[0-9]+))?")

    def __init__(self, expression: str) -> None:
        parts = self.EXPRESSION.fullmatch(expression)
        if parts is None:
            raise ValueError(f"neither a name, a sum nor a difference: {{={expression}}}")
        self.left, self.sign, self.right = parts.groups()

    def value(self, memory: Memory) -> str:
        if self.sign is None:
            return memory[self.left]
        right = int(memory.get(self.right, self.right))
        return str(int(memory[self.left]) + (right if self.sign == "+" else -right))

    def write(self, pen: Pen) -> None:
        pen.pieces.append(self.value(pen.memory))

    def read(self, here: Place) -> list[Place]:
        return Literal(self.value(here.memory)).read(here)


class DaysPass:
    """Writes nothing: the date in memory moves on, and the words for it with it."""

    def __init__(self, days: int) -> None:
        self.days = days

    def write(self, pen: Pen) -> None:
        pen.memory |= calendar(pen.memory["date"], self.days)

    def read(self, here: Place) -> list[Place]:
        return [here.remembers(calendar(here.memory["date"], self.days))]


def calendar(iso_date: str, days: int) -> Memory:
    date = datetime.date.fromisoformat(iso_date) + datetime.timedelta(days)
    return {
        "date": date.isoformat(),
        "yesterday": WEEKDAYS[date.weekday() - 1],
        "weekday": WEEKDAYS[date.weekday()],
        "tomorrow": WEEKDAYS[(date.weekday() + 1) % 7],
        "day": ordinal(date.day),
        "month": MONTHS[date.month - 1],
        "year": str(date.year),
    }


def ordinal(number: int) -> str:
    teens = 11 <= number % 100 <= 13
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


class Rule:
    """A rule by its name, looked up when needed, so that rules may refer to themselves."""

    def __init__(self, grammar: "Grammar", name: str) -> None:
        self.grammar, self.name = grammar, name

    def write(self, pen: Pen) -> None:
        self.grammar[self.name].write(pen)

    def read(self, here: Place) -> list[Place]:
        """Reads only once at each position: alternatives that begin alike share the work."""
        key = self.name, here.position, id(here.memory)
        if key not in here.chart:
            ends = self.grammar[self.name].read(here._replace(trail=None))
            here.chart[key] = here.memory, ends  # keeps the memory alive, so its id stays its own
        _, ends = here.chart[key]
        return [end._replace(trail=(here.trail, end.trail)) for end in ends]


class Grammar:
    """Rules by name; `^name` is rule `name` with a capital.

    Raises ValueError for a line outside any rule and for a rule that nobody wrote.
    """

    def __init__(self, notation: str) -> None:
        self.alternatives: dict[str, list[tuple[int, str]]] = {}
        self.symbols: dict[str, Symbol] = {}
        self._parse(notation)
        for name in list(self.alternatives):
            self._build(name)

    def __getitem__(self, name: str) -> Symbol:
        return self.symbols[name]

    def _parse(self, notation: str) -> None:
        name = ""
        for line in notation.splitlines():
            content = line.partition("#")[0].rstrip()
            if content and not content[0].isspace():
                name = content
                self.alternatives[name] = []
            elif content and not name:
                raise ValueError(f"this alternative belongs to no rule: {content.strip()}")
            elif content:
                self.alternatives[name] += map(weighted, content.split("|"))

    def _build(self, name: str) -> None:
        if name in self.symbols:
            return
        alternatives = self.alternatives.get(name.removeprefix("^"))
        if not alternatives:
            raise ValueError(f"the grammar has no rule '{name.removeprefix('^')}'")
        self.symbols[name] = Rule(self, name)  # so that a rule that meets itself stops here
        weights = [weight for weight, _ in alternatives]
        templates = [template for _, template in alternatives]
        if name.startswith("^"):
            templates = [capitalised(template) for template in templates]
        if len(set(templates)) < len(templates):
            raise ValueError(f"rule '{name}' has the same alternative twice")
        symbols = [self._sequence(template) for template in templates]
        self.symbols[name] = symbols[0] if len(symbols) == 1 else Choice(weights, symbols)

    def _sequence(self, template: str) -> Symbol:
        parts: list[Symbol] = []
        for literal, slot in re.findall(r"([^{}]+)|\{([^{}]+)\}", template):
            parts.append(
                self._slot(slot)
                if slot
                else Literal(literal.replace("¶", "\n\n").replace("/", "\n  "))
            )
        return parts[0] if len(parts) == 1 else Sequential(parts)

    def _slot(self, slot: str) -> Symbol:
        name, colon, rest = slot.partition(":")
        if colon:
            return Remembered(name, self._slot(rest))
        if slot.startswith("="):
            return Recalled(slot[1:])
        if slot.startswith("day+"):
            return DaysPass(int(slot[4:]))
        if slot[0].isdigit():
            low, _, high = slot.partition("-")
            return Number(int(low), int(high))
        self._build(slot)
        return Rule(self, slot)


def weighted(alternative: str) -> tuple[int, str]:
    """`3* some text` -> (3, "some text")"""
    weight, star, text = alternative.partition("*")
    return (int(weight), text.strip()) if star else (1, alternative.strip())


def capitalised(template: str) -> str:
    starts_with_rule = re.match(r"\{(?=[a-z-]+\})", template)
    return "{^" + template[1:] if starts_with_rule else template[0].upper() + template[1:]


def chooser(random: Callable[[], float]) -> Callable[[Sequence[int]], int]:
    """Turns uniform numbers in [0, 1) into weighted choices, the same on every machine."""

    def choose(weights: Sequence[int]) -> int:
        left = random() * sum(weights)
        for index, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return index
        raise AssertionError("random() returned 1 or more")

    return choose
