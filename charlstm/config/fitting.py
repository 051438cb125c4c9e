"""Settings that fit a text: from its length and vocabulary, and the work one is ready to wait for.

Two limits decide how wide the layer is. What more units would gain on a short text is not worth
their time; and of W multiply-adds most is learned where three characters are read for each weight,
or up to seven and a half, if it takes them to read a long text once. To read a text more often than
`PASSES` times only teaches its wording, if there is room for it, so that ends the run on a short
text, and time does on a long one. One wide layer, because the same weights in two narrow ones learn
less from each character read. An embedding, however few the symbols: what goes into the layer is
then numbers that even a short text can teach. The wider a layer, the more of its units change an
output at once, so the rate falls as the width grows; a run that reads its text a few times only has
little time to learn, and a higher one. The more often a text is read the more is dropped, unless
there are too few weights to learn it by heart; and nothing stops a run early that reads it a few
times. Lanes that keep two workers busy, but no more unless they leave `UPDATES`, because a run of
minutes has too few updates rather than too noisy ones: above all for many symbols, most of them
rare. A list is read in sequences that hold nine in ten of its items whole, in as many more lanes as
they are shorter.

Work is counted in multiply-adds, so the same settings come out on every machine; a budget of time
becomes work by the speed that was measured. Where the constants come from, and how close all this
comes to settings made by hand, is in docs/choosing.md.
"""

import math
from typing import NamedTuple

WIDTHS = (32, 48, 64, 96, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024)
PASSES = 12
FEW = 4  # passes, below which the rate is higher and nothing is learned by heart
ONCE = 1.3  # passes that give every part of a text its turn before the rate falls
LANES = 32  # with which two workers are quick, so as many even where they leave few updates
UPDATES = 2000  # with more lanes than that, or many symbols
MANY_SYMBOLS = 256
EVALUATIONS = 24
PATIENCE = 6
SHORTEST = (
    16  # steps of a list's sequences: with fewer, what a step costs beside its products shows
)
NOMINAL_SPEED = 32e9
"""Multiply-adds a second: two cores of a server (AMD Zen 3, no AVX-512), 256 units."""
NOMINAL_SECONDS = 300
"""For a text of a million characters, at `NOMINAL_SPEED`, when there is no budget."""


class Text(NamedTuple):
    """Length of the training and of the validation part, and how many different ``symbols``.

    All in what the model reads: characters, or bytes. ``item_length``: what nine in ten items of a
    list stay within; 0 for one text.
    """

    characters: int
    validation: int
    symbols: int
    item_length: int = 0


class Sizes(NamedTuple):
    """What decides how long a step takes; an ``embedding_size`` of 0 is one-hot input."""

    cell: str
    layers: int
    hidden_size: int
    embedding_size: int
    batch_size: int
    sequence_length: int
    skips: bool = False


class Course(NamedTuple):
    """What follows once the sizes are known; the schedule is a cosine of ``steps`` steps.

    ``evaluation_characters``: so many of the validation part are read at each evaluation on the
    way; 0: all of them, where that is hardly more.
    """

    dropout: float
    learning_rate: float
    minimum: float
    steps: int
    warmup_steps: int
    evaluate_every: int
    evaluation_characters: int
    early_stopping: int


def sizes(text: Text, *, work: float | None = None) -> Sizes:
    """The sizes for a text and ``work`` multiply-adds, by default `nominal_work`."""
    work = nominal_work(text) if work is None else work
    width = _nearest(min(10 * math.cbrt(text.characters), _affordable_width(text, work)))
    many_symbols = text.symbols > MANY_SYMBOLS
    embedding = min(width, 128 if many_symbols else 64)
    found = Sizes("lstm", 1, width, embedding, 8, 64)
    steps = min(64, max(SHORTEST, text.item_length)) if text.item_length else 64
    affordable = max(0 if many_symbols else LANES, _read(text, found, work) / (64 * UPDATES))
    lanes = min(math.sqrt(text.characters) / 28, affordable)
    return found._replace(
        batch_size=_lanes(text, lanes * 64 / steps),
        sequence_length=max(1, min(steps, text.characters // 64)),
    )


def course(
    text: Text, sizes: Sizes, *, work: float | None = None, steps: int | None = None
) -> Course:
    """How a run of these sizes goes when it may do ``work`` multiply-adds, or so many steps."""
    work = nominal_work(text) if work is None else work
    characters = sizes.batch_size * sizes.sequence_length
    read = _read(text, sizes, work) if steps is None else steps * characters
    steps = max(1, round(read / characters))
    few = max(8192, round(read / (6 * EVALUATIONS)))
    is_long = read < FEW * text.characters
    return Course(
        dropout=round(min(0.6, 0.06 * read / text.characters) * _room(text, sizes), 2),
        learning_rate=min(8e-3, float(f"{(2.6 if is_long else 2) / sizes.hidden_size:.2g}")),
        minimum=1e-4,
        steps=steps,
        warmup_steps=min(100, steps // 20),
        evaluate_every=max(1, steps // EVALUATIONS),
        evaluation_characters=few if 2 * few < text.validation else 0,
        early_stopping=0 if is_long or not text.validation else PATIENCE,
    )


def work_per_character(sizes: Sizes, symbols: int) -> float:
    """Multiply-adds of training on one character: the forward products, and twice as many back.

    What the first layer reads is looked up, which counts nothing, unless there are more symbols
    than characters in a batch.
    """
    H, E, L = sizes.hidden_size, sizes.embedding_size, sizes.layers
    also_read, read_by_softmax = (E, L * H) if sizes.skips else (0, H)
    above = (L - 1) * 4 * H * (2 * H + also_read)
    is_looked_up = symbols < sizes.batch_size * sizes.sequence_length and not (
        sizes.skips and L > 1
    )
    first = 4 * H * (H + (0 if is_looked_up else E))
    return 3.0 * (first + above + read_by_softmax * symbols)


def nominal_work(text: Text) -> float:
    """What a run without a budget may do: five minutes for a million characters, as a rule.

    It grows with the square root of the length, since a longer text is worth a larger model, up
    to an hour for 144 million characters and more.
    """
    longer = math.sqrt(max(1.0, text.characters / 1e6))
    return NOMINAL_SECONDS * NOMINAL_SPEED * min(12.0, longer)


def _affordable_width(text: Text, work: float) -> float:
    """12 H^2 multiply-adds a character: sqrt(W) characters are three for each of 4 H^2 weights."""
    read = max(math.sqrt(work), min(ONCE * text.characters, math.sqrt(2.5 * work)))
    return math.sqrt(work / (12 * read))


def _read(text: Text, sizes: Sizes, work: float) -> float:
    """How many characters the run reads in all."""
    affordable = work / work_per_character(sizes, text.symbols)
    return min(affordable, PASSES * text.characters / _room(text, sizes))


def _room(text: Text, sizes: Sizes) -> float:
    """For learning the text by heart: 1 from half a weight for each of its characters."""
    weights = work_per_character(sizes, text.symbols) / 3
    return min(1.0, 2 * weights / text.characters)


def _lanes(text: Text, wanted: float) -> int:
    """A power of two near ``wanted`` from 16 to 128; fewer where the text is shorter than that."""
    lanes = 1 << round(math.log2(max(16, min(128, wanted))))
    return max(1, min(lanes, text.characters // 512))


def _nearest(width: float) -> int:
    """The size nearest to ``width``, by ratio."""
    return min(WIDTHS, key=lambda size: abs(math.log(size / width)))
