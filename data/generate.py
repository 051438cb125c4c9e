"""Rewrites harbour.txt and harbour.entropy.json: `python data/generate.py [FOLDER]`.

The text is the same for ever: whole pages drawn with SEED until LENGTH characters are reached.
The figures beside it are the exact information content of the text under its source.
"""

import hashlib
import json
import sys
from pathlib import Path

from book import Book, load_grammar, write_book

SEED = 1871
LENGTH = 1_000_000


def sidecar(book: Book, text_name: str) -> str:
    """JSON; a checkpoint [characters, bits of all the text before] for every page's end."""
    checkpoints = book.checkpoints()
    characters, bits = checkpoints[-1]
    facts = {
        "format": 1,
        "text": text_name,
        "characters": characters,
        "sha256": hashlib.sha256(book.text.encode("ascii")).hexdigest(),
        "bits": bits,
        "bits_per_character": bits / characters,
        "checkpoints": checkpoints,
    }
    return json.dumps(facts) + "\n"


def generate(folder: Path) -> Book:
    book = write_book(load_grammar(), SEED, LENGTH)
    (folder / "harbour.txt").write_bytes(book.text.encode("ascii"))
    (folder / "harbour.entropy.json").write_bytes(sidecar(book, "harbour.txt").encode("ascii"))
    return book


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    characters, bits = generate(target).checkpoints()[-1]
    print(f"{characters:,} characters, {bits / characters:.4f} bits per character")
