"""``charlstm completion``."""

import click
from click.shell_completion import BashComplete, get_completion_class

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
