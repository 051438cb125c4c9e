"""KEY=VALUE arguments: what a shell can complete in them."""

import click
from click.shell_completion import CompletionItem

from charlstm.config.schema import all_settings


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
