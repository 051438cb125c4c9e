"""What README, docs and --help tell people to type works, and what they name exists.

Commands run as they stand, on the real configurations and a short text, for two steps. Those that
need a cluster, another machine's package or much time are parsed: the command, its options, files.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from places import ROOT

sys.path.insert(0, str(ROOT / "data"))
import lists

from charlstm.cli.main import COMMANDS, commands, main
from charlstm.config.reading import config_from_dict
from charlstm.config.schema import all_settings
from charlstm.config.strict_yaml import load
from charlstm.nn import adaptation

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHER_NAMES = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "data/README.md")
OTHER_PAGES = [ROOT / name for name in OTHER_NAMES]

SHORT = ["training.steps=2", "schedule.warmup_steps=1", "training.workers=1"]
SHORT += ["output.report_every=1"]
CHARACTERS = 6_000  # enough for one batch of 50 x 50
SHELL_SYNTAX = re.compile(r"[|<>;&$`]|\bfor\b")
PACKAGE_FOR = {".png": "matplotlib", ".svg": "matplotlib", ".onnx": "onnx", ".pt": "torch"}
FILES_OF_OTHERS = {"theirs.safetensors", "chars.json", "their-text.txt"}


class Command(NamedTuple):
    """``text`` may have several lines; ``complaint``: the error that the page shows."""

    line: int
    text: str
    complaint: str = ""


# Reading pages


class Block(NamedTuple):
    line: int
    language: str
    lines: list[str]


def blocks_of(page: str) -> Iterator[Block]:
    """Fenced blocks; and indented ones, which have no language."""
    fence: Block | None = None
    for number, line in enumerate(page.splitlines(), 1):
        if line.startswith("```"):
            if fence is not None:
                yield fence
            fence = None if fence is not None else Block(number + 1, line[3:].strip(), [])
        elif fence is not None:
            fence.lines.append(line)
        elif line.startswith("    charlstm "):
            yield Block(number, "", [re.split(r" {3,}", line.strip())[0]])


def commands_in(page: str) -> Iterator[Command]:
    for block in blocks_of(page):
        if block.language in ("sh", "bash", ""):
            if block.language or block.lines[0].startswith("charlstm"):
                yield from commands_in_script(block)
        elif block.language == "console":
            yield from commands_in_transcript(block)


def commands_in_script(block: Block) -> Iterator[Command]:
    if block.lines[0].startswith("#!"):
        yield Command(block.line, "\n".join(block.lines))
        return
    pending: list[str] = []
    for number, line in enumerate(block.lines, block.line):
        pending.append(line)
        text = "\n".join(pending)
        loop_is_open = text.startswith("for ") and not text.rstrip().endswith("done")
        if line.endswith("\\") or loop_is_open:
            continue
        if text.strip() and not text.startswith("#"):
            yield Command(number - len(pending) + 1, text)
        pending = []
    assert not pending, f"line {block.line}: a command that does not end"


def commands_in_transcript(block: Block) -> Iterator[Command]:
    for number, line in enumerate(block.lines, block.line):
        if line.startswith("$ "):
            said = block.lines[number - block.line + 1 :][:1]
            complaint = said[0] if said and said[0].startswith("Error: ") else ""
            yield Command(number, line[2:], complaint)


def commands_in_help(name: str) -> Iterator[Command]:
    for line in (command_of(name).help or "").splitlines():
        example = re.split(r" {3,}", line.strip())[0]
        if example.startswith(("charlstm ", "eval ")):
            yield Command(0, example)


def command_of(name: str) -> click.Command:
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    return command


# A place to run them


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has at hand: the checkout with a short text, texts, and finished runs."""
    folder = tmp_path_factory.mktemp("documentation")
    for name in ("configs", "examples", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "data").mkdir()
    text = (ROOT / "data" / "harbour.txt").read_text(encoding="utf-8")[:CHARACTERS]
    for name in ("data/harbour.txt", "data/tinyshakespeare.txt", "notes.txt"):
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("ships", "ships-held-out"):
        ships = (ROOT / "data" / f"{name}.txt").read_text(encoding="utf-8").splitlines()[:300]
        (folder / "data" / f"{name}.txt").write_text("\n".join(ships) + "\n", encoding="utf-8")
    (folder / "strange.txt").write_text("\n".join(ships[:5]) + "\n", encoding="utf-8")
    for name, items in lists.lists(items=400, new_items=20).items():
        (folder / name).write_text("".join(f"{item}\n" for item in items), encoding="utf-8")
    labelled = [f"{'spam' if number % 3 else 'ham'}\t{ship}" for number, ship in enumerate(ships)]
    for name in ("messages", "train", "validation", "test"):
        (folder / f"{name}.txt").write_text("\n".join(labelled), encoding="utf-8")
    words = {word for ship in ships for word in ship.split() if word.isalpha()}
    (folder / "names.txt").write_text("\n".join(sorted(words)), encoding="utf-8")
    (folder / "new.txt").write_text("\n".join(ships[:5]), encoding="utf-8")
    (folder / "c.yaml").write_text("data: {files: notes.txt}\nmodel: {layers: 1}\n")
    (folder / "my.yaml").write_text("data: {files: notes.txt}\nmodel: {hidden_size: 8}\n")
    command = folder / "bin" / "charlstm"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\ncase $1 in train|demo) set -- "$@" {shlex.join(SHORT)};; esac\n'
        f'exec {shlex.quote(sys.executable)} -m charlstm "$@"\n'
    )
    command.chmod(0o755)
    here = Path.cwd()
    os.chdir(folder)
    try:
        train_what_pages_start_from()
    finally:
        os.chdir(here)
    shutil.copytree(folder, kept_beside(folder))
    return folder


def kept_beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-kept")


def train_what_pages_start_from() -> None:
    quick = ["train", "configs/quickstart.yaml", "-q", *SHORT]
    assert main(quick) == 0
    for run in ("sweep/a", "sweep/b", "array/a"):
        assert main([*quick, "model.hidden_size=48", "--out", f"runs/{run}"]) == 0
    plain = ["train", "my.yaml", "-q", *SHORT]
    assert main(plain) == 0
    lists = {
        "ships": ["configs/ships.yaml", "model.hidden_size=8"],
        "names": ["names.txt", "data.items=lines", "model.hidden_size=8"],
        "messages": ["messages.txt", "data.items=lines", "data.labels=true", "model.hidden_size=8"],
    }
    for run, words in lists.items():
        assert main(["train", *words, "-q", *SHORT, "--out", f"runs/{run}"]) == 0
    assert main(["export", "runs/my", "-o", "model.safetensors"]) == 0
    assert main(["import", "model.safetensors", "-o", "model.ckpt"]) == 0


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, as it was made, for one page, whose commands run one after the other.

    Always the same, because runs know where their texts lie.
    """
    folder = made
    shutil.rmtree(folder)
    shutil.copytree(kept_beside(folder), folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setattr(adaptation, "OWN_SEGMENTS", 3)  # less to measure
    return folder


# Running them


class ProblemError(Exception):
    """What is wrong with a command, in a line."""


def check(command: Command, capture: Callable[[], tuple[str, str]]) -> None:
    """Run it, or parse it where running needs what is not here. Raises `ProblemError`."""
    if command.text.startswith("#!"):
        check_batch_script(command.text)
        return
    words = shlex.split(command.text, comments=True) if not needs_shell(command.text) else []
    program = words[0] if words else ""
    if program in CHECKS:
        CHECKS[program](words[1:])
    elif program == "charlstm" and cannot_run_here(words[1:]) is None:
        if not command.complaint:
            clear_the_way(words)
        finish(command, main(shortened(words[1:])), *capture())
    elif program == "charlstm":
        parse(words[1:])
    elif re.match(r"\w+=\S+ .*examples/", command.text):
        check_example_script(command.text)
    elif "charlstm" in command.text:
        run_in_shell(command)
    else:
        raise ProblemError("nobody knows how to check this")


def needs_shell(text: str) -> bool:
    code = re.sub(r"(^|\s)#.*", "", text)
    return bool(SHELL_SYNTAX.search(code)) or bool(re.match(r"\w+=", code))


def finish(command: Command, code: int, out: str, err: str) -> None:
    del out
    if command.complaint:
        if code == 0 or err.strip() != command.complaint:
            raise ProblemError(f"is shown to say {command.complaint!r}, but: {err.strip()!r}")
    elif code != 0:
        raise ProblemError(f"exit code {code}: {err.strip()[-200:]}")


def shortened(arguments: list[str]) -> list[str]:
    """With globs expanded, as a shell does it, and a training of two steps."""
    here = Path()
    expanded: list[str] = []
    for argument in arguments:
        matches = sorted(map(str, here.glob(argument))) if argument.endswith("*") else []
        expanded += matches or [argument]
    if "--resume" in expanded and Path(expanded[1]).is_dir():
        return expanded
    if "--minutes" in expanded:  # a budget and a number of steps exclude each other
        expanded[expanded.index("--minutes") + 1] = "0.02"
        return [*expanded, *(word for word in SHORT if "steps" not in word)]
    return expanded + SHORT * (expanded[:1] in (["train"], ["demo"]))


def clear_the_way(words: list[str]) -> None:
    """A page's reader has no run yet where it says `train`, and no my.yaml where it makes one."""
    if words[1] == "train" and not {"--resume", "--dry-run"} & set(words):
        folder = words[words.index("--out") + 1] if "--out" in words else None
        shutil.rmtree(folder or Path("runs") / Path(words[2]).stem, ignore_errors=True)
    if words[1:3] == ["config", "-o"]:
        Path(words[3]).unlink(missing_ok=True)


def cannot_run_here(arguments: list[str]) -> str | None:
    """Why a command is parsed only."""
    if arguments[:1] == ["completion"]:
        return "it would write where a shell looks"
    if FILES_OF_OTHERS & set(arguments):
        return "a model from another program"
    for ending, package in PACKAGE_FOR.items():
        if any(word.endswith(ending) for word in arguments) and find_spec(package) is None:
            return f"needs {package}"
    if "--tensorboard" in arguments:
        return "the program after it; tests/look/curves/test_tensorboard.py runs it"
    return None


def parse(arguments: list[str]) -> None:
    """Command, options and their values, as click reads them; and the settings."""
    if not arguments or arguments[0] not in COMMANDS:
        raise ProblemError(f"no such command: {arguments[:1]}")
    try:
        group = commands.make_context("charlstm", list(arguments))
        name, *rest = arguments
        context = command_of(name).make_context(name, rest, parent=group)
    except click.ClickException as error:
        raise ProblemError(error.format_message()) from None
    known = {setting.path for setting in all_settings()}
    for override in context.params.get("overrides") or ():
        if override.split("=")[0] not in known:
            raise ProblemError(f"no such setting: {override}")


def run_in_shell(command: Command) -> None:
    for words in charlstm_words(command.text):
        if cannot_run_here(words):
            parse(words)
            return
        clear_the_way(["charlstm", *words])
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", command.text],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    finish(command, done.returncode, done.stdout, done.stderr)


def charlstm_words(text: str) -> Iterator[list[str]]:
    """The arguments of each ``charlstm`` in shell code; good enough for what pages hold."""
    lexer = shlex.shlex(
        text.replace("\\\n", " ").replace("\n", "\n;\n"), posix=True, punctuation_chars=True
    )
    lexer.whitespace_split = True
    words: list[str] | None = None
    for token in [*lexer, ";"]:
        if token.startswith("$("):
            yield from charlstm_words(token[2:-1])
        if set(token) <= set("|;&<>()"):
            if words is not None:
                yield words
            words = None
        elif words is not None:
            words.append(token)
        elif token == "charlstm":
            words = []


def check_batch_script(text: str) -> None:
    if subprocess.run(["bash", "-n", "-c", text], check=False, capture_output=True).returncode:
        raise ProblemError("bash cannot parse this")
    for words in charlstm_words(text):
        parse(words)


def check_example_script(text: str) -> None:
    """tests/test_examples.py runs it, with the same variables."""
    found = re.search(r"examples/\S+", text)
    script = ROOT / (found[0] if found else "nothing")
    if not (script.is_file() and os.access(script, os.X_OK)):
        raise ProblemError(f"cannot be started: {script.name}")
    for variable in re.findall(r"\b([A-Z]+)=", text):
        if f"${{{variable}:-" not in script.read_text():
            raise ProblemError(f"{script.name} reads no {variable}")


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    if not set(words) <= set(targets):
        raise ProblemError(f"no such target: {words}")


def check_python_script(words: list[str]) -> None:
    if not (ROOT / words[0]).is_file():
        raise ProblemError(f"no such file: {words[0]}")


def check_pip(words: list[str]) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in re.findall(r"\[(\w+)\]", " ".join(words)):
        if extra not in declared["optional-dependencies"]:
            raise ProblemError(f"no such extra: {extra}")


def check_mpirun(words: list[str]) -> None:
    """tests/system/test_mpi_comm.py runs it."""
    parse(words[words.index("charlstm") + 1 :])


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": check_make,
    "python": check_python_script,
    "pip": check_pip,
    "uv": check_pip,
    "mpirun": check_mpirun,
    "sbatch": lambda words: check_example_script(words[0]),
}


# The tests


@pytest.fixture
def wrong_with(place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Run commands one after the other; returns what is wrong, one line each."""

    def problems(found: list[Command]) -> list[str]:
        complaints = []
        for command in found:
            capsys.readouterr()
            before = dict(os.environ)
            try:
                check(command, capsys.readouterr)
            except ProblemError as problem:
                complaints.append(f"line {command.line}: {command.text}: {problem}")
            finally:
                os.environ.clear()
                os.environ.update(before)
        return complaints

    return problems


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_of_a_page(page: Path, wrong_with: Callable[..., list[str]]):
    assert "\n".join(wrong_with(list(commands_in(page.read_text(encoding="utf-8"))))) == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_of_help(name: str, wrong_with: Callable[..., list[str]]):
    assert "\n".join(wrong_with(list(commands_in_help(name)))) == ""


def test_there_are_examples_of_help():
    found = [command for name in COMMANDS for command in commands_in_help(name)]
    assert len(found) > 2 * len(COMMANDS)


def test_there_is_something_to_test():
    found = list(commands_in(PAGES[0].read_text(encoding="utf-8")))
    assert len(found) > 30
    assert {"train", "sample", "eval", "look", "trace", "check", "info", "export"} <= {
        words[0] for command in found for words in charlstm_words(command.text)
    }


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("charlstm trian configs/quickstart.yaml", "exit code 2"),
        ("charlstm train configs/quickstart.yaml --resmue", "exit code 2"),
        ("charlstm train configs/quickstart.yaml model.size=3", "exit code 2"),
        ("charlstm train configs/quick.yaml", "exit code 2"),
        ("charlstm compare runs/* --order bits", "exit code 2"),
        ("charlstm plot runs/* -o curves.png --metrics val_loss", "No such option"),
        ("charlstm config nothing.yaml | head -3", "exit code 2"),
        ("for h in 1 2; do\n  charlstm sample runs/quickstart --size $h\ndone", "exit code 2"),
        ("mpirun -n 4 charlstm train configs/char-rnn.yaml model.rank=3", "no such setting"),
        ("#!/bin/bash\nexec charlstm train c.yaml --again", "No such option"),
        ("SIZE=3 examples/sweep.sh", "reads no SIZE"),
        ("sbatch examples/slurm.sh", "cannot be started"),
        ("make everything", "no such target"),
        ("pip install 'charlstm[everything]'", "no such extra"),
        ("python benchmarks/nothing.py", "no such file"),
        ("rm -rf /nowhere", "nobody knows"),
    ],
)
def test_what_is_wrong_is_found(wrong_with: Callable[..., list[str]], line: str, complaint: str):
    (found,) = commands_in(f"Text.\n\n```sh\n{line}\n```\n")
    (problem,) = wrong_with([found])
    assert problem.startswith("line 4: ")
    assert complaint in problem


def test_another_error_than_shown_is_found(wrong_with: Callable[..., list[str]]):
    page = "```console\n$ charlstm sample nowhere\nError: something else\n```\n"
    (problem,) = wrong_with(list(commands_in(page)))
    assert "cannot read nowhere" in problem


# What is only named


def spans_of(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=lambda path: path.name)
def test_commands_and_options_named_in_a_text_exist(page: Path):
    options = {
        name: {word for param in command_of(name).params for word in param.opts}
        for name in COMMANDS
    }
    every_option = set().union(*options.values(), {"--help", "--version", "--torture"})
    for span in spans_of(page):
        named = re.match(r"charlstm (\w+)", span)
        if named:
            assert named[1] in COMMANDS, span
        allowed = options[named[1]] if named else every_option
        used = re.findall(r"(?<!\S)--[a-z][\w-]*", span)
        if named or span.startswith("--"):
            assert set(used) <= allowed | {"--help"}, span


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=lambda path: path.name)
def test_settings_named_in_a_text_exist(page: Path):
    known = {setting.path for setting in all_settings()}
    groups = "|".join(sorted({path.split(".")[0] for path in known if "." in path} - {"model"}))
    for span in spans_of(page):
        for name in re.findall(rf"\b(?:{groups})\.\w+(?=[=:]|$)|\bmodel\.\w+(?==)", span):
            assert name in known or name.endswith((".py", ".yaml")), span


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_configurations_in_a_text_are_valid(page: Path):
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.language in ("yaml", "yml"):
            config_from_dict(load("\n".join(block.lines), page.name).values, page.name)


def test_python_of_the_readme(place: Path, capsys: pytest.CaptureFixture[str]):
    blocks = list(blocks_of(PAGES[0].read_text(encoding="utf-8")))
    (code,) = ["\n".join(block.lines) for block in blocks if block.language == "python"]
    exec(compile(code, "README.md", "exec"), {})
    assert len(capsys.readouterr().out) > 200


def test_pictures_are_small():
    pictures = list((ROOT / "docs" / "pictures").iterdir())
    assert 0 < sum(picture.stat().st_size for picture in pictures) < 300_000
    named = PAGES[0].read_text(encoding="utf-8")
    assert [picture.name for picture in pictures if picture.name not in named] == []
