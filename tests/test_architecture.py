"""The house rules that a program can check, read from the source with ``ast``."""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import pytest
from places import ROOT

PACKAGE = ROOT / "charlstm"

ROOMS = [
    # A file imports its own room or one on a lower line; rooms on one line do not know each other.
    "__main__",
    "cli",
    "api",
    "trained_model",
    "training look writing",
    "saved",
    "from_config",
    "text",
    "config nn system pages",
    "errors messages __init__",
]
RANKS = {room: rank for rank, line in enumerate(ROOMS) for room in line.split()}
ONLY = {
    "nn": {"errors", "messages"},
    "text": {"errors", "messages", "system"},
    "pages": {"errors", "messages"},
}
"""Rooms that can be read alone: what they may import besides themselves."""

LATER = {"__init__": {"api"}}
"""``import charlstm`` takes in the Python interface when it is first used."""

REQUIRED = {"numpy", "click", "tqdm", "yaml"}  # anything else waits inside a function
ONE_HOME = {"click": "cli.", "tqdm": "training.console", "yaml": "config.strict_yaml"}

WRITING = {
    *("os.open", "os.rename", "os.replace", "os.link", "os.symlink", "os.unlink", "os.remove"),
    *("os.mkdir", "os.makedirs", "os.truncate", "os.ftruncate"),
    *("shutil.copy", "shutil.copyfile", "shutil.move", "shutil.rmtree"),
    *("np.save", "np.savez", "np.savez_compressed", "np.savetxt", "np.memmap"),
}
WRITING_METHODS = {
    *("write_text", "write_bytes", "touch", "mkdir", "rmdir", "unlink", "rename", "tofile"),
    *("symlink_to", "hardlink_to"),
}
NOT_DURABLE = {
    ("saved.run_folder", "os.open"): "the lock, which holds no data",
    ("saved.run_folder", "os.ftruncate"): "the lock, which holds no data",
    ("config.reading", "os.open"): "reads, without waiting",
    ("cli.main", "os.open"): "/dev/null",
    ("cli.main", "os.fdopen"): "/dev/null",
    ("system.shared_comm", "os.truncate"): "memory that workers share",
    ("system.shared_comm", "os.fdopen"): "memory that workers share",
}


def modules() -> dict[str, ast.Module]:
    """Name within the package, and source, of every module."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(path.read_text())
        for path in sorted(PACKAGE.rglob("*.py"))
    }


MODULES = modules()


def imported(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """Every import, wherever it stands, as a dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full"
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def own_imports(tree: ast.AST) -> set[str]:
    """The modules of this package that ``tree`` imports."""
    found = set()
    for _, name in imported(tree):
        package, _, inner = name.partition(".")
        if package == "charlstm":
            inner = inner if inner in MODULES else inner.rpartition(".")[0]
            found.add(inner if inner in MODULES else f"{inner}.__init__".removeprefix("."))
    return found


def room_of(name: str) -> str:
    return name.partition(".")[0]


def allowed(name: str, other: str) -> bool:
    """Whether module ``name`` may import module ``other``."""
    room, there = room_of(name), room_of(other)
    if other in LATER.get(name, set()) or room == there:
        return True
    if room in ONLY and there not in ONLY[room] | {"__init__"}:
        return False
    return RANKS[room] < RANKS[there]


def upward_imports(name: str, tree: ast.AST) -> list[str]:
    return [other for other in own_imports(tree) if not allowed(name, other)]


def circle_in(room: str) -> str:
    """A circle of imports between the files of a room, as text; empty if there is none."""
    imports = {
        name: {other for other in own_imports(tree) if room_of(other) == room} - {name}
        for name, tree in MODULES.items()
        if room_of(name) == room
    }
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return " -> ".join(error.args[1])
    return ""


def top_level(tree: ast.Module) -> Iterator[str]:
    """Third-party packages imported as soon as the module is."""
    later = {
        node
        for home in ast.walk(tree)
        if isinstance(home, ast.FunctionDef) or is_for_the_type_checker(home)
        for node in ast.walk(home)
    }
    for node, name in imported(tree):
        package = name.partition(".")[0]
        foreign = package != "charlstm" and package not in sys.stdlib_module_names
        if foreign and node not in later:
            yield package


def is_for_the_type_checker(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def writing_calls(tree: ast.AST) -> Iterator[str]:
    """Calls that make, change or remove files."""
    for name, call in calls(tree):
        method = name.rpartition(".")[2]
        if (
            name in WRITING
            or method in WRITING_METHODS
            or (method in ("open", "fdopen") and name not in WRITING and opens_to_write(call))
        ):
            yield name


def opens_to_write(call: ast.Call) -> bool:
    """Whether an argument looks like a mode that writes; a mode that is computed counts too."""
    of_keyword = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    words = [*call.args, *of_keyword]
    modes = [word.value for word in words if isinstance(word, ast.Constant)]
    return any(isinstance(mode, str) and set(mode) & set("wax+") for mode in modes) or any(
        not isinstance(value, ast.Constant) for value in of_keyword
    )


def test_every_room_has_its_line():
    assert {room_of(name) for name in MODULES} == RANKS.keys()


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name: str):
    assert upward_imports(name, MODULES[name]) == []


@pytest.mark.parametrize("room", RANKS)
def test_no_room_has_a_circle(room: str):
    assert circle_in(room) == ""


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("look.")])
def test_the_folders_of_look_are_strangers(name: str):
    folders = {"curves", "gradients", "cells"}
    own = name.split(".")[1]
    known = {
        other.split(".")[1] for other in own_imports(MODULES[name]) if room_of(other) == "look"
    }
    assert own not in folders or not (known & folders) - {own}


@pytest.mark.parametrize("room", [room for room in RANKS if f"{room}.__init__" in MODULES])
def test_a_room_says_in_one_sentence_what_it_is(room: str):
    sentence = ast.get_docstring(MODULES[f"{room}.__init__"])
    assert sentence
    assert sentence.splitlines()[0].endswith(".")


@pytest.mark.parametrize("name", MODULES)
def test_only_the_required_packages_are_imported_at_once(name: str):
    assert set(top_level(MODULES[name])) <= REQUIRED


@pytest.mark.parametrize("package", ONE_HOME)
def test_a_package_is_used_in_one_place(package: str):
    users = [name for name, tree in MODULES.items() if package in top_level(tree)]
    assert users
    assert all(name.startswith(ONE_HOME[package]) for name in users)


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("cli.")])
def test_commands_import_nothing_heavy_before_they_run(name: str):
    assert set(top_level(MODULES[name])) <= {"click"}


@pytest.mark.parametrize("name", [name for name in MODULES if name != "system.files"])
def test_only_files_writes_files(name: str):
    writing = {call for call in writing_calls(MODULES[name]) if (name, call) not in NOT_DURABLE}
    assert writing == set()


@pytest.mark.parametrize("name", MODULES)
def test_json_is_written_where_nan_is_kept_out(name: str):
    """By ``messages.json_text``, or with texts and whole numbers alone."""
    own = {"messages", "text.cache", "saved.interchange.description", "system.shared_comm"}
    writers = own | {"system.safetensors", "system.sealed"}
    assert name in writers or not {"json.dumps", "json.dump"} & {n for n, _ in calls(MODULES[name])}


@pytest.mark.parametrize("name", MODULES)
def test_nothing_prints(name: str):
    """Commands use click.echo, which knows about closed pipes; the library says nothing."""
    printed = [call for called, call in calls(MODULES[name]) if called == "print"]
    assert [call for call in printed if not any(word.arg == "file" for word in call.keywords)] == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("nn.model", "from charlstm.config.settings import Config"),
        ("nn.model", "def f():\n    from charlstm.training.run import run_training"),
        ("nn.lstm", "import charlstm.system.files"),
        ("text.corpus", "from charlstm.nn import loss"),
        ("look.inspection", "from charlstm.training import run"),
        ("errors", "from charlstm.system.files import show"),
    ],
)
def test_an_upward_import_is_noticed(name: str, source: str):
    assert len(upward_imports(name, ast.parse(source))) == 1


def test_a_foreign_import_is_noticed():
    assert set(top_level(ast.parse("import torch.nn\nif x:\n    from pandas import y"))) == {
        "torch",
        "pandas",
    }
    assert set(top_level(ast.parse("import json\ndef f():\n    import torch"))) == set()
    assert set(top_level(ast.parse("if TYPE_CHECKING:\n    import torch"))) == set()


@pytest.mark.parametrize(
    "source",
    [
        "open(path, 'w')",
        "path.open('ab')",
        "open(path, mode='r+')",
        "open(path, mode=mode)",
        "path.write_text(text)",
        "os.rename(a, b)",
        "os.fdopen(descriptor, 'wb')",
    ],
)
def test_a_writing_call_is_noticed(source: str):
    assert len(list(writing_calls(ast.parse(source)))) == 1


@pytest.mark.parametrize("source", ["open(path)", "path.open('rb')", "text.replace('a', 'b')"])
def test_a_reading_call_is_not(source: str):
    assert list(writing_calls(ast.parse(source))) == []
