"""From a `Config` to plain values and to commented YAML, which `reading` reads back."""

import re
from collections.abc import Mapping
from typing import Any

from charlstm.config.schema import GROUPS, SETTINGS, Setting, value_of
from charlstm.config.settings import Config


def config_to_dict(config: Config) -> dict[str, Any]:
    """Nested plain values, as JSON can hold them; ``config_from_dict`` is the way back."""
    values: dict[str, Any] = {}
    for path in SETTINGS:
        group, _, name = path.rpartition(".")
        value = value_of(config, path)
        home = values.setdefault(group, {}) if group else values
        home[name] = list(value) if isinstance(value, tuple) else value
    return values


def dump_config(config: Config, comments: bool = True) -> str:
    """YAML text of every setting; loading it gives an equal config, by any YAML reader."""
    return _dump({path: value_of(config, path) for path in SETTINGS}, comments)


def default_config_text() -> str:
    """A file to start from: every setting with its default; ``data.files`` is left to the user."""
    head = "# Settings for charlstm train. Every line but data.files may be left out.\n"
    head += (
        "# auto: a number that fits the text, chosen when training starts; or give your own.\n\n"
    )
    values = {path: None if item.required else item.default for path, item in SETTINGS.items()}
    return head + _dump(values, comments=True)


def written(value: Any) -> str:
    """A value as the configuration writes it, on one line."""
    return ", ".join(map(_yaml_scalar, value if isinstance(value, tuple) else [value]))


def _dump(values: Mapping[str, Any], comments: bool) -> str:
    lines: list[str] = []
    current = ""
    for path, value in values.items():
        group, _, name = path.rpartition(".")
        if group != current:
            heading = f"  # {(GROUPS[group].__doc__ or '').rstrip('.')}" if comments else ""
            lines += ["", f"{group}:{heading}"]
            current = group
        indent = "  " if group else ""
        first, *more = _yaml_lines(value)
        line = f"{indent}{name}: {first}".rstrip()
        lines.append(f"{line:<35} # {_comment(SETTINGS[path])}" if comments else line)
        lines += [f"{indent}  {item}" for item in more]
    return "\n".join(lines) + "\n"


def _comment(schema: Setting) -> str:
    choices = ", ".join(schema.choices)
    if not choices or schema.auto:
        return schema.comment
    others = f" (or {choices})" if int in schema.alternatives else f": {choices}"
    return schema.comment + others


def _yaml_lines(value: Any) -> list[str]:
    if not isinstance(value, tuple):
        return [_yaml_scalar(value)]
    if len(value) == 1:
        return [_yaml_scalar(value[0])]
    return ["", *(f"- {_yaml_scalar(item)}" for item in value)]


def _yaml_scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _yaml_text(value)
    if isinstance(value, float):
        # 1e-05 is a number to us, but text to YAML 1.1 readers; 1.0e-05 is one to everybody
        return re.sub(r"^(-?[0-9]+)e", r"\1.0e", repr(value))
    return str(value)


_PLAIN = re.compile(r"(?:\.{0,2}/)?[A-Za-z_][A-Za-z0-9_./*?+-]*")
_OTHER_READERS_CONVERT = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def _yaml_text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _OTHER_READERS_CONVERT:
        return text
    return '"' + "".join(_yaml_char(char) for char in text) + '"'


def _yaml_char(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable() and char != "\ufffd":  # U+FFFD looks like a damaged file
        return char
    if ord(char) > 0xFFFF:
        return f"\\U{ord(char):08x}"
    return f"\\u{ord(char):04x}"
