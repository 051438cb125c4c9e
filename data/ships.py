"""Rewrites the two lists of ships and their entropies: `python data/ships.py [FOLDER]`.

Ships are drawn one by one, so what is known of one tells nothing of the next. The bits of a list
are exact: -log2 of the sum over all derivations of each of its ships.
"""

import hashlib
import json
import math
import random
import sys
from pathlib import Path

from grammar import Grammar, Pen, Place, chooser

SEED = 1873
LISTS = {"ships.txt": 10_000, "ships-held-out.txt": 1_000}


def load_grammar() -> Grammar:
    return Grammar(Path(__file__).with_name("ships.grammar").read_text(encoding="utf-8"))


def written(grammar: Grammar) -> dict[str, list[str]]:
    """The ships of each list, in the order in which they are drawn."""
    choose = chooser(random.Random(SEED).random)

    def ship() -> str:
        pen = Pen(choose, {})
        grammar["entry"].write(pen)
        return "".join(pen.pieces)

    return {name: [ship() for _ in range(number)] for name, number in LISTS.items()}


def bits_of(grammar: Grammar, ship: str) -> float:
    """What a ship costs its source. Raises ValueError for one that it cannot write."""
    ends = grammar["entry"].read(Place(ship, 0, {}, None, {}))
    whole = [2.0 ** -math.fsum(end.bits()) for end in ends if end.position == len(ship)]
    if not whole:
        raise ValueError(f"no ship of this grammar: {ship}")
    return -math.log2(math.fsum(whole))


def sidecar(name: str, text: str, bits: float) -> str:
    facts = {
        "format": 1,
        "text": name,
        "characters": len(text),
        "sha256": hashlib.sha256(text.encode("ascii")).hexdigest(),
        "bits": bits,
        "bits_per_character": bits / len(text),
        "checkpoints": [],
    }
    return json.dumps(facts) + "\n"


def generate(folder: Path) -> dict[str, float]:
    """Writes all four files; returns the bits of each list."""
    grammar, found = load_grammar(), {}
    for name, ships in written(grammar).items():
        text = "".join(f"{ship}\n" for ship in ships)
        cost = {ship: bits_of(grammar, ship) for ship in set(ships)}
        found[name] = math.fsum(cost[ship] for ship in ships)
        (folder / name).write_bytes(text.encode("ascii"))
        beside = (folder / name).with_suffix(".entropy.json")
        beside.write_text(sidecar(name, text, found[name]), encoding="ascii")
    return found


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, bits in generate(target).items():
        print(f"{name}: {bits / LISTS[name]:.3f} bits a ship")
