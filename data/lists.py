"""Two more lists from grammars of ours, for trying what docs/items.md shows.

    python data/lists.py write FOLDER           molecules.txt, log.txt, and log-new.txt
    python data/lists.py check NAME FILE        how many items of a file its grammar can write

`log-new.txt` are other lines of the log's grammar, with `PLANTED` among them.
"""

import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from grammar import Grammar, Pen, chooser
from ships import bits_of

SEED = 1874
ITEMS, NEW_ITEMS = 10_000, 1_000
PLANTED = (
    "03:12:44 INFO auth: root logged in from 185.220.101.4",
    "13:40:02 INFO auth: anna logged in from 10.0.3.17; rm -rf berths",
    "11:02:09 INFO http: GET tides.json 500 8142 ms from 10.0.3.17",
    "21:47:00 INFO http: GET ..%2f..%2fetc%2fpasswd 200 3 ms from 10.0.1.9",
    "07:59:59 ERROR db: page 1743 of berths has a wrong checksum",
    "16:20:31 INFO disk: 104 percent of logs in use",
    "25:61:00 INFO queue: job 4711 invoice done in 3 s",
    "09:30:12 WARN queue: job 1234 backup late by 86400 s",
)


def grammar_of(name: str) -> Grammar:
    return Grammar(Path(__file__).with_name(f"{name}.grammar").read_text(encoding="utf-8"))


def drawn(grammar: Grammar, choices: random.Random) -> Iterator[str]:
    """Items without end, each drawn on its own."""
    choose = chooser(choices.random)
    while True:
        pen = Pen(choose, {})
        grammar["entry"].write(pen)
        yield "".join(pen.pieces)


def some(name: str, count: int, seed: int) -> list[str]:
    """The first ``count`` different ones."""
    found: dict[str, None] = {}
    for item in drawn(grammar_of(name), random.Random(seed)):
        found[item] = None
        if len(found) == count:
            break
    return list(found)


def with_planted(lines: Sequence[str], seed: int) -> list[str]:
    """The lines, and `PLANTED` in places that follow from the seed."""
    mixed = list(lines)
    places = random.Random(seed)
    for line in PLANTED:
        mixed.insert(places.randrange(len(mixed) + 1), line)
    return mixed


def lists(items: int = ITEMS, new_items: int = NEW_ITEMS) -> dict[str, list[str]]:
    """Each file's name, and its items."""
    return {
        "molecules.txt": some("molecules", items, SEED),
        "log.txt": some("log", items, SEED),
        "log-new.txt": with_planted(some("log", new_items, SEED + 1), SEED),
    }


def is_written_by(grammar: Grammar, item: str) -> bool:
    try:
        bits_of(grammar, item)
    except ValueError:
        return False
    return True


def checked(name: str, items: Sequence[str]) -> str:
    """In a line: how many items, how many of them valid and how many different."""
    grammar = grammar_of(name)
    valid = {item: is_written_by(grammar, item) for item in set(items)}
    return f"{len(items):,} items: {sum(map(valid.get, items)):,} valid, {len(valid):,} different"


def main(words: Sequence[str]) -> str:
    match words:
        case ["write", folder]:
            Path(folder).mkdir(parents=True, exist_ok=True)
            files = lists()
            for name, items in files.items():
                text = "".join(f"{item}\n" for item in items)
                (Path(folder) / name).write_text(text, encoding="ascii")
            return f"{folder}: {', '.join(files)}"
        case ["check", name, file]:
            return checked(name, Path(file).read_text(encoding="utf-8").splitlines())
    return str(__doc__)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
