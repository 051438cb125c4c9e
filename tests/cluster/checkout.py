"""Folders as a user has them: a fresh checkout with its environment, or the examples alone."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = Path(sys.prefix)
CONFIG = "configs/quickstart.yaml"
TEXT = "data/harbour.txt"
SMALL = """\
data: {{files: ../data/harbour.txt}}
model: {{hidden_size: 48}}
training: {{batch_size: 16, sequence_length: 48, steps: {steps}}}
evaluation: {{every: 0}}
output: {{report_every: 20, checkpoint_every: {checkpoint_every}}}
"""


@dataclass(frozen=True)
class Checkout:
    """``path`` is where its jobs look for commands first, before what a login gives."""

    folder: Path
    path: str = ""

    def write_config(self, steps: int, checkpoint_every: int) -> None:
        """In the place of the quick start's, which the scripts train."""
        settings = {"steps": steps, "checkpoint_every": checkpoint_every}
        (self.folder / CONFIG).write_text(SMALL.format(**settings))

    def remove_text(self) -> None:
        (self.folder / TEXT).unlink()

    def reports(self, run: str) -> int:
        """How often its training has said how it goes."""
        try:
            return (self.folder / run / "metrics.jsonl").read_text().count("\n")
        except FileNotFoundError:
            return 0

    def steps(self, run: str) -> list[int]:
        """Of its checkpoints, which are whole when they bear their names."""
        found = (self.folder / run / "checkpoints").glob("step-*.safetensors")
        return sorted(int(file.stem.removeprefix("step-")) for file in found)


def _copy(names: Iterable[str], folder: Path) -> None:
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)


def _tracked(*under: str) -> list[str]:
    """What belongs to the checkout, committed or not yet."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *under)
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]


def after_make_install(folder: Path) -> Checkout:
    """All files, and the environment that this program runs in as its ``.venv``."""
    _copy(_tracked(), folder)
    (folder / ".venv").symlink_to(ENVIRONMENT)
    return Checkout(folder)


def after_pip_install(folder: Path) -> Checkout:
    """No source: the examples, and charlstm in an environment that was active at submission."""
    _copy(_tracked("examples", "configs", "data", "README.md"), folder)
    environment = folder.parent / "installed"
    if not environment.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        pip = (environment / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check")
        subprocess.run([*pip, f"{ROOT}[mpi]"], check=True)
    return Checkout(folder, path=str(environment / "bin"))
