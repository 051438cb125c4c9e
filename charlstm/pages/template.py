"""A page put together from its parts."""

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from charlstm.messages import json_text


def asset(package: str, name: str) -> str:
    """The text of a file in the folder ``assets`` of a package."""
    return resources.files(package).joinpath("assets", name).read_text(encoding="utf-8")


def filled(html: str, parts: Mapping[str, str]) -> str:
    """``html`` with a part in the place of each ``<!-- name -->``; no part is looked into."""
    return re.sub(r"<!-- (\w+) -->", lambda found: parts[found[1]], html)


def script_json(value: Any) -> str:
    """JSON for a script element: without the signs that could end it."""
    text = json_text(value)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def source_hash(content: str) -> str:
    """What allows an inline script or style, and no other (W3C, Content Security Policy 2)."""
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
