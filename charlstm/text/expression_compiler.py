"""The process that compiles a regular expression; `charlstm.text.expression` starts it.

A script of its own, which imports nothing of charlstm: it reads a request as JSON on stdin, limits
its memory, and writes the numbers of states and characters and a table of int32 on stdout: a row a
state, a column a character, and one that is 1 where a text may end. What the expression is refused
for goes to stderr, after "refused: ".
"""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Sequence
from typing import Any


def limit_memory(megabytes: int) -> None:
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


def table_of(fsm: Any, characters: Sequence[str]) -> array[int]:
    """The states that texts of ``characters`` reach, numbered in the order they are found."""
    keys = [fsm.alphabet[character] for character in characters]
    numbers = {fsm.initial: 0}
    rows = array("i")
    order = [fsm.initial]
    for state in order:
        ways = fsm.map.get(state, {})
        for key in keys:
            new = ways.get(key)
            if new is not None and new not in numbers:
                numbers[new] = len(order)
                order.append(new)
            rows.append(-1 if new is None else numbers[new])
        rows.append(state in fsm.finals)
    return array("i", [len(order), len(characters)]) + rows


def main() -> int:
    import interegular  # noqa: PLC0415 - an extra

    request = json.load(sys.stdin)
    limit_memory(request["megabytes"])
    try:
        fsm = interegular.parse_pattern(request["expression"]).to_fsm()
        table = table_of(fsm, request["characters"])
    except (MemoryError, RecursionError):
        return 1
    except Exception as error:  # of its refusals some have no class of their own
        what = str(error) or "this syntax"
        sys.stderr.write(f"refused: not supported: {what} (docs/sampling.md says what is)")
        return 2
    sys.stdout.buffer.write(table.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
