"""``charlstm completion``, and what a shell can complete in KEY=VALUE arguments."""

import click
from click.shell_completion import BashComplete, CompletionItem, get_completion_class

from charlstm.config.schema import all_settings

VARIABLE = "_CHARLSTM_COMPLETE"  # how the scripts ask the program

BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' type value
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
        [[ $value == *= ]] && compopt -o nospace
    done < <(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
        %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Click's, but no space goes after the ``=`` of a setting."""

    source_template = BASH


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    r"""Print the completion script of a shell.

    It completes commands, options, and settings after `charlstm train my.yaml`.

    \b
    charlstm completion bash > ~/.local/share/bash-completion/completions/charlstm
    charlstm completion zsh > "${fpath[1]}/_charlstm"
    charlstm completion fish > ~/.config/fish/completions/charlstm.fish

    \b
    eval "$(charlstm completion bash)"      for this shell only
    """
    kind = Bash if shell == "bash" else get_completion_class(shell)
    assert kind is not None
    complete = kind(context.find_root().command, {}, "charlstm", VARIABLE)
    click.echo(complete.source_template % complete.source_vars(), nl=False)


def complete_setting(
    context: click.Context, argument: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of settings with their ``=``; after it the words that such a setting may be."""
    del argument
    name, equals, value = incomplete.partition("=")
    if equals:
        return [CompletionItem(f"{name}={word}") for word in words_of(name, value)]
    name = name_cut_off(context)
    if name:
        return [CompletionItem(word) for word in words_of(name, incomplete)]
    return [
        CompletionItem(f"{setting.path}=", help=setting.comment)
        for setting in all_settings()
        if setting.path.startswith(incomplete)
    ]


def words_of(name: str, beginning: str) -> list[str]:
    choices = next((item.choices for item in all_settings() if item.path == name), ())
    return [word for word in choices if word.startswith(beginning)]


def name_cut_off(context: click.Context) -> str:
    """The name before the cursor where a shell made three words of it: bash parts NAME = VALUE."""
    words: tuple[str, ...] = context.params.get("overrides") or ()
    if len(words) >= 2 and words[-1] == "=":
        return words[-2]
    known = {setting.path for setting in all_settings()}
    return words[-1] if words and words[-1] in known else ""
