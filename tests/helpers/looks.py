"""A model away from its start, a text, and its page; and the page's arrays read back."""

import base64
import json
import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from layers import shape_of

from charlstm.look.cells.activations import ItemStarts
from charlstm.look.cells.findings import Findings, findings_of
from charlstm.look.cells.page import page
from charlstm.look.cells.text import Text
from charlstm.nn.model import CharLM
from charlstm.text.vocabulary import Vocabulary

TEXT = 'She said: "No (not [yet]) <b>!"\n\nAnd so, in 1871,\x1b\n"</script><!-- é' + " it was." * 20


def a_look(
    cell: str = "lstm",
    embedding_size: int = 0,
    text: str = TEXT,
    H: int = 6,
    layers: int = 2,
    *,
    begins: Sequence[int] = (),
) -> tuple[Findings, CharLM, Vocabulary]:
    vocabulary = Vocabulary.of_characters(map(ord, text))
    shape = shape_of(vocabulary.size, cell, layers, H, embedding_size)
    model = CharLM(shape, seed=4)
    rng = np.random.default_rng(8)
    model.values += 0.4 * rng.standard_normal(model.values.shape).astype(np.float32)
    starts = np.isin(np.arange(len(text)), begins)
    items = ItemStarts(starts, 1) if begins else None
    read = Text("some.txt", vocabulary.encode(text), list(text), cut=False, items=items)
    return findings_of(model, read, reach=9), model, vocabulary


def html_of(look: tuple[Findings, CharLM, Vocabulary]) -> str:
    return page(*look, {"name": "run/best.safetensors", "step": 1234})


def facts_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', html, re.S)
    assert found
    facts: dict[str, Any] = json.loads(found[1])
    return facts


def array_of(html: str, name: str) -> np.ndarray:
    found = re.search(rf'id="{name}" data-kind="(\w+)">([^<]*)<', html)
    assert found, name
    dtype = np.dtype(found[1].lower())
    planes = np.frombuffer(zlib.decompress(base64.b64decode(found[2])), np.uint8)
    return np.ascontiguousarray(planes.reshape(dtype.itemsize, -1).T).view(dtype)[:, 0]
