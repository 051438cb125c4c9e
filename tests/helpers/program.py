"""The program as a process of its own. Shared by tests."""

import subprocess
import sys
from typing import Any


def program(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "charlstm", *map(str, arguments)]


def completed(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end, which must come within a minute."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(program(*arguments), timeout=60, check=False, **(pipes | options))
