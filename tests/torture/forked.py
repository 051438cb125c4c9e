"""`charlstm` without its start-up: a process that has imported everything forks for each command.

What takes a fresh process half a second takes it some hundredths of one, so that thousands of
faults can be tried. Started as a script it is that process.
"""

import ctypes
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import NoReturn

from torture.processes import ENVIRONMENT, undisturbed

NEVER = 70
"""A code that no command ends with."""


class Forked:
    """Runs commands in a folder, under the library ``shim``, which begins anew in each."""

    def __init__(self, folder: Path, shim: Path) -> None:
        helpers = Path(__file__).parents[1] / "helpers"
        paths = [ENVIRONMENT["PYTHONPATH"], str(helpers), str(helpers.parent)]
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=folder,
            env=ENVIRONMENT | {"LD_PRELOAD": str(shim), "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            preexec_fn=undisturbed,  # noqa: PLW1509 - the tests have no threads
        )

    def run(self, words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        """Exit code and stderr."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([list(words), dict(environment)]) + "\n")
        code, talk = json.loads(self._process.stdout.readline())
        return code, talk

    def close(self) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()


def answer(words: list[str], environment: dict[str, str]) -> tuple[int, str]:
    with tempfile.TemporaryFile() as talk:
        child = os.fork()
        if child == 0:
            be(words, environment, talk.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        talk.seek(0)
        return code, talk.read().decode()


def be(words: list[str], environment: dict[str, str], talk: int) -> NoReturn:
    """The process of this command."""
    code = NEVER
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for number, descriptor in enumerate((nothing, nothing, talk)):
            os.dup2(descriptor, number)
        os.environ.update(environment)
        ctypes.CDLL(None).begin()
        code = main(words)
        sys.stderr.flush()
    finally:
        os._exit(code)


def serve() -> None:
    told = io.TextIOWrapper(io.BytesIO())
    with tempfile.TemporaryDirectory() as place, redirect_stdout(told):  # imports what is late
        assert main(["train", "c.yaml", "--quiet", "--out", f"{place}/run"]) == 0
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(*json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    from charlstm.__main__ import main  # signals are as they are at its start

    serve()
