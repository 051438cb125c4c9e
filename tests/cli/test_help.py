"""Help is complete, quick, and has an example to paste."""

import re
import subprocess
import sys

import click
import pytest
from program import completed

import charlstm
from charlstm.cli.main import COMMANDS, commands, with_unwrapped_examples


def command_of(name: str) -> click.Command:
    found = commands.get_command(click.Context(commands), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help_with_an_example(call, name: str, flag: str):
    code, out, err = call(name, flag)
    assert (code, err) == (0, "")
    assert re.search(rf"^  charlstm {name}\b", out, re.MULTILINE)
    assert "\\b" not in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_listed_with_what_it_does_and_its_default(call, name: str):
    _, _, section = call(name, "--help").out.partition("\nOptions:\n  -")
    entries = [" ".join(f"-{entry}".split()) for entry in section.split("\n  -")]
    options = [param for param in command_of(name).params if isinstance(param, click.Option)]
    for option, entry in zip(options, entries[:-1], strict=True):
        assert entry.startswith(", ".join(option.opts))
        assert option.help, entry
        assert " ".join(option.help.split()) in entry
        assert option.is_flag or option.required or "[default: " in entry, entry
    assert entries[-1] == "-h, --help Show this message and exit."


def test_help_without_a_command(call):
    assert call() == call("--help")
    assert [name for name in COMMANDS if f"\n  {name} " not in call().out] == []


def test_version(call):
    assert call("--version") == call("-V") == (0, f"charlstm {charlstm.__version__}\n", "")


def test_python_minus_m():
    assert completed("--version").stdout.decode() == f"charlstm {charlstm.__version__}\n"


def test_help_does_not_import_numpy():
    code = f"""if True:
        import sys
        from charlstm.cli.main import main
        for name in {COMMANDS}:
            main([name, "--help"])
        main(["--version"]); main(["config"]); main(["train"]); main(["train", "nowhere.yaml"])
        sys.exit("numpy" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0


def test_the_mark_in_front_of_examples_is_turned_into_clicks():
    example = click.Command("x", help="Words.\n\n\\b\nx one\nx two")
    assert "x one\n  x two" in with_unwrapped_examples(example).get_help(click.Context(example))
