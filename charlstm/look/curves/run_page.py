"""The page: one file, without scripts, that asks the network for nothing."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from charlstm import __version__
from charlstm.config.reading import defaults_beside
from charlstm.config.schema import all_settings, value_of
from charlstm.config.writing import written
from charlstm.errors import FileError
from charlstm.look.curves.comparison import names_of, parameter_count, speed_of
from charlstm.look.curves.panels import panels_of
from charlstm.look.curves.svg import figure
from charlstm.messages import duration, printable, show
from charlstm.nn.loss import bits
from charlstm.pages.template import asset, filled
from charlstm.saved.checkpoint import Checkpoint
from charlstm.saved.finding import newest_of, require_run, state_of
from charlstm.saved.history import History
from charlstm.saved.samples import Sample, after_sampled_item, read_samples, spread

METRICS = ("train_loss", "val_loss", "learning_rate", "grad_norm")
MOST_SAMPLES = 12
LONGEST_SAMPLE = 2000
MOST_CHARACTERS = 3000
SPACES = {"\n": "↵", "\t": "→", " ": "␣"}

Rows = Iterable[tuple[str, str]]


def page(path: Path) -> str:
    """HTML about the run in the folder ``path``: the same for the same files.

    Raises `FileError` if it is no run, or has no checkpoint yet.
    """
    folder = require_run(path)
    checkpoint, problem = newest_of(folder)
    if checkpoint is None:
        raise FileError(f"{show(path)}: nothing to report, {problem}")
    state, history = state_of(folder, checkpoint)
    samples = read_samples(folder.samples)
    tiles = list(_tiles(checkpoint, history, state))
    parts = {
        "columns": str(columns_for(len(tiles))),
        "style": _file("page.css"),
        "name": escape(names_of([path])[0]),
        "figures": "".join(tiles),
        "curves": curves(history),
        "samples": "".join(_samples(samples, between_items(checkpoint))),
        "settings": "".join(_settings(checkpoint)),
        "vocabulary": _vocabulary(checkpoint),
        "environment": _table(_environment(checkpoint)),
        "version": escape(__version__),
    }
    return filled(_file("page.html"), parts)


def _file(name: str) -> str:
    return asset("charlstm.look.curves", name)


def curves(history: History) -> str:
    panels = panels_of({"run": history}, METRICS)
    return "".join(map(figure, panels)) or "<p>No report has been written yet.</p>"


def columns_for(tiles: int) -> int:
    """At most two rows of at most four to begin with, and none with a single tile in it."""
    return tiles if tiles <= 4 else -(-tiles // 2)


def _tiles(checkpoint: Checkpoint, history: History, state: str) -> Iterator[str]:
    for label, value, more in _figures(checkpoint, history, state):
        yield (
            f"<div><dt>{escape(label)}</dt><dd>{escape(value)}"
            f"<small>{escape(more)}</small></dd></div>\n"
        )


def _figures(
    checkpoint: Checkpoint, history: History, state: str
) -> Iterator[tuple[str, str, str]]:
    """Label, value, and what there is to add."""
    progress, model = checkpoint.progress, checkpoint.config.model
    reason = f"; {history.failure}" if state == "failed" else ""
    yield "state", state, f"step {progress.step:,}, epoch {progress.epoch:.4g}{reason}"
    if progress.best_val_loss is not None:
        loss = progress.best_val_loss
        where = f"bits per character, validation; {loss:.4f} nats, step {progress.best_step:,}"
        yield "best", f"{bits(loss):.4f}", where
    for name, label in (("val_loss", "last validation"), ("train_loss", "last training")):
        last = getattr(progress, name)
        if last is not None:
            yield label, f"{bits(last):.4f}", f"bits per character; {last:.4f} nats"
    of_items = history.finite("val_bits_per_item")
    if of_items:
        yield (
            "an item",
            f"{min(of_items):.2f}",
            "bits with its end, validation, at best",
        )
    source = history.finite("source_bits_per_char")
    if source:
        yield "the text's source", f"{source[-1]:.4f}", "bits per character: no model can do better"
    size = f"{model.cell}, {model.layers} x {model.hidden_size}"
    yield "parameters", f"{parameter_count(checkpoint):,}", size
    speed = speed_of(history)
    told = "" if speed is None else f"{speed:,.0f} characters per second"
    yield "time", duration(progress.seconds), told


# Samples -----------------------------------------------------------------------------------------


def between_items(checkpoint: Checkpoint) -> str | None:
    """What parts the items of a sample; None where it is one text."""
    items = checkpoint.config.data.items
    return None if items == "none" else after_sampled_item(items, checkpoint.vocabulary)


def _samples(samples: Sequence[Sample], between: str | None) -> Iterator[str]:
    if not samples:
        yield "<p>None were written; <code>output.sample_every</code> asks for them.</p>"
        return
    shown = spread(samples, MOST_SAMPLES)
    if len(shown) < len(samples):
        yield f"<p>{len(shown)} of {len(samples):,}; samples.txt has them all.</p>"
    yield '<div class="samples">'
    for step, text in shown:
        cut = text[:LONGEST_SAMPLE] + ("…" if len(text) > LONGEST_SAMPLE else "")
        yield f"<article><h3>step {step:,}</h3>{_sample(cut, between)}</article>\n"
    yield "</div>"


def _sample(text: str, between: str | None) -> str:
    """One text, or a list of them."""
    shown = escape(printable(text, keep="\n\t"))
    if between is None:
        return f"<pre>{shown}</pre>"
    entries = shown.strip("\n").split(between)
    return f"<ol>{''.join(f'<li>{entry}</li>' for entry in entries)}</ol>"


# Settings and environment ------------------------------------------------------------------------


def _settings(checkpoint: Checkpoint) -> Iterator[str]:
    """Those that are not at their default first; the rest folded away."""
    config = checkpoint.config
    defaults = defaults_beside(config)
    chosen, others = [], []
    for schema in all_settings():
        value, default = (_written(value_of(c, schema.path)) for c in (config, defaults))
        if schema.required:
            chosen.append((schema.path, value))
        elif value != default:
            chosen.append((schema.path, f"{value} <small>default {default}</small>"))
        else:
            others.append((schema.path, value))
    yield _table(chosen)
    yield f"<details><summary>{len(others)} at their defaults</summary>{_table(others)}</details>"


def _written(value: Any) -> str:
    return f"<code>{escape(written(value))}</code>"


def _environment(checkpoint: Checkpoint) -> Rows:
    for name, version in checkpoint.versions.items():
        yield printable(name), escape(printable(version))
    corpus = checkpoint.corpus
    yield "text", f"{corpus.characters:,} characters"
    yield "its SHA-256", f"<code>{escape(printable(corpus.sha256))}</code>"
    told = escape(printable(checkpoint.fingerprint))
    exact = "resuming is exact where the machine computes the same"
    yield "arithmetic", f"<code>{told}</code> <small>{exact}</small>"


def _table(rows: Rows) -> str:
    """Names are escaped here; values are HTML."""
    lines = "".join(f"<tr><th>{escape(name)}</th><td>{value}</td></tr>\n" for name, value in rows)
    return f"<table>{lines}</table>"


# Vocabulary --------------------------------------------------------------------------------------


def _vocabulary(checkpoint: Checkpoint) -> str:
    vocabulary = checkpoint.vocabulary
    names = ", ".join(escape(printable(symbol)) for symbol in vocabulary.specials)
    reserved = f"<p>Reserved symbols: {names}</p>" if names else ""
    if vocabulary.unit == "bytes":
        known = len(vocabulary.code_points)
        return f"<p>{'All 256' if known == 256 else f'{known} of the 256'} bytes.</p>" + reserved
    points = vocabulary.code_points
    keys = "".join(map(_key, map(chr, points[:MOST_CHARACTERS])))
    more = len(points) - MOST_CHARACTERS
    rest = f"<p>and {more:,} more</p>" if more > 0 else ""
    return f'<p>{len(points):,} characters</p><div class="keys">{keys}</div>{rest}' + reserved


def _key(character: str) -> str:
    name = f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()
    sign = SPACES.get(character, printable(character) if character != "\r" else "\\r")
    if unicodedata.combining(character):
        sign = "◌" + sign
    return f'<span title="{escape(name)}">{escape(sign)}</span>'
