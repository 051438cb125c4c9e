"""``make results``: what is reached on texts with published figures, into docs/results.md.

    python benchmarks/results.py run [--only plays] [--long]   # what was not run yet
    python benchmarks/results.py table                          # docs/results.md anew

Each row is a training that anyone can repeat: the command, its parameters, wall time, processor
and seed, and the loss on the part that the published figures are of, read exactly as `charlstm
eval` does. Choices were made on training or validation parts, and the test part is read once. What
is done is kept in results.jsonl; a training that was interrupted goes on where it was. Rows that
take a quarter of an hour or more wait for ``--long``.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import processor

from charlstm.saved.history import read_history

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
DONE = HERE / "results.jsonl"
PAGE = ROOT / "docs" / "results.md"
RUNS = ROOT / "runs" / "results"
SEED, CORES = 1, 2
HELD_OUT = ("validation", "test")
HALF_AN_HOUR = 28  # and two for the evaluation
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->"


class Published(NamedTuple):
    """A figure of others: nats a character, parameters as they state them, and where."""

    nats: float
    parameters: str
    who: str


class Text(NamedTuple):
    """``part``: the one that all figures are of; ``files``: below the corpora's folder."""

    title: str
    files: str
    part: str
    settings: tuple[str, ...]
    published: tuple[Published, ...]


class Row(NamedTuple):
    """A training; ``config``: one that ships, or the text itself. Of several ``seeds`` as many,
    whose probabilities are mixed: one after the other, or with `ONE_CORE` two at a time.
    """

    text: str
    name: str
    config: str | None
    settings: tuple[str, ...] = ()
    minutes: float | None = None
    long: bool = False
    seeds: tuple[int, ...] = (SEED,)

    @property
    def title(self) -> str:
        return self.name if len(self.seeds) == 1 else f"{self.name}, {len(self.seeds)} seeds mixed"


KARPATHY = "Karpathy, Johnson & Fei-Fei 2015, table 1, quoted from memory"
FENG = "Feng et al. 2024"
TEXTS = {
    "plays": Text(
        "Tiny Shakespeare, the last 10 %, state carried",
        "tinyshakespeare.txt",
        "validation",
        (),
        (
            Published(1.4697, "10.7 M", "nanoGPT on an A100, windows of 256"),
            Published(1.4565, "10.7 M", "a later run of the same"),
            Published(1.548, "", f"minGRU, {FENG}, test"),
            Published(1.555, "", f"minLSTM, {FENG}, test"),
            Published(1.575, "", f"Mamba, {FENG}, test"),
            Published(1.547, "", f"Transformer, {FENG}, test"),
            Published(1.7236, "0.83 M", "a GPT of the nanoGPT recipe for CPUs"),
        ),
    ),
    "warpeace": Text(
        "War and Peace in bytes, 80/10/10, the last 10 %",
        "warpeace_paper.bin",
        "test",
        (
            "data.unit=bytes",
            "data.byte_values=observed",
            "data.validation_fraction=0.1",
            "data.test_fraction=0.1",
        ),
        (
            Published(1.449, "1 x 64", KARPATHY),
            Published(1.277, "1 x 128", KARPATHY),
            Published(1.189, "1 x 256", KARPATHY),
            Published(1.161, "1 x 512", KARPATHY),
            Published(1.082, "3 layers, as many as 1 x 512", KARPATHY),
            Published(1.077, "the best GRU", KARPATHY),
        ),
    ),
    "names": Text(
        "The names of the makemore lectures, each on its own, validation part",
        "names_train.txt",
        "validation",
        (),
        (
            Published(1.993, "76 k", "WaveNet of the makemore lectures"),
            Published(2.027, "22 k", "8 characters of context, makemore"),
            Published(1.92, "200 k", "Transformer of makemore, on another split"),
        ),
    ),
    "harbour": Text(
        "The newspaper of data/, the last 10 %; its source: 0.346 nats",
        "harbour.txt",
        "validation",
        (),
        (),
    ),
}


def _in_place_of(
    published: int,
    layers: int,
    units: int,
    embedding: int,
    *others: str,
    minutes: float = HALF_AN_HOUR,
) -> Row:
    """With no more parameters than the published layer has of 87 symbols, one-hot."""
    sizes = (
        f"model.layers={layers}",
        f"model.hidden_size={units}",
        f"model.embedding_size={embedding}",
    )
    norm = ", layer norm," if NORM in others else ""
    name = f"{layers} x {units}{norm} in the place of 1 x {published}"
    name += "" if minutes == HALF_AN_HOUR else f", {minutes:g} minutes"
    return Row("warpeace", name, None, (*sizes, *others), minutes=minutes, long=True)


SKIPS = "model.skips=true"
NORM = "model.cell=layer-norm"
ONE_CORE = "training.workers=1"  # two of these can run at once
SLOWER, QUICKER = "training.learning_rate=6e-3", "training.learning_rate=8e-3"
LANES = "training.batch_size=32"
WIDE = ("model.embedding_size=64", "model.dropout=0.3", "training.learning_rate=5e-3")
NORMALIZED = (
    *(NORM, "model.layers=2", "model.hidden_size=128", SKIPS),
    *("model.embedding_size=32", "model.forget_bias=5", "model.dropout=0"),
    *("training.batch_size=8", "training.sequence_length=128", "training.learning_rate=1e-2"),
)
LONGER = (*NORMALIZED, ONE_CORE, "model.dropout=0.1", "training.learning_rate=8e-3")
SEVERAL = (ONE_CORE, "model.hidden_size=116", "training.epochs=80")
SMALL = (ONE_CORE, "model.layers=1", "model.hidden_size=352", "model.dropout=0.35")
QUARTER_OF_AN_HOUR = Row(
    "plays", "15 minutes, 1 x 512", "shakespeare.yaml", WIDE, minutes=15, long=True
)
ROWS = (
    Row("plays", "1 minute, auto", None, minutes=1),
    Row("plays", "3 minutes, auto", None, minutes=3),
    Row("plays", "configs/shakespeare.yaml", "shakespeare.yaml"),
    QUARTER_OF_AN_HOUR,
    QUARTER_OF_AN_HOUR._replace(seeds=(1, 2)),
    Row(
        "plays",
        "15 minutes, 1 x 352, dropout 0.35",
        None,
        SMALL,
        minutes=14.5,
        long=True,
        seeds=(1, 2),
    ),
    Row("harbour", "configs/quickstart.yaml", "quickstart.yaml"),
    Row("harbour", "3 minutes, auto", None, minutes=3),
    Row("harbour", "3 minutes, 2 x 128", None, NORMALIZED, minutes=3),
    Row("harbour", "15 minutes, 2 x 128", None, LONGER, minutes=14.5, long=True, seeds=(1, 2)),
    Row("names", "configs/names.yaml", "names.yaml"),
    Row("names", "1 x 116, 80 epochs", "names.yaml", SEVERAL, long=True, seeds=(1, 2, 3)),
    _in_place_of(64, 1, 86, 16, ONE_CORE),
    _in_place_of(128, 1, 154, 16, ONE_CORE),
    _in_place_of(128, 2, 93, 16, ONE_CORE, "model.dropout=0"),
    _in_place_of(128, 2, 88, 16, SKIPS, ONE_CORE, LANES, "model.dropout=0.02"),
    _in_place_of(256, 2, 166, 32, ONE_CORE, LANES, "model.dropout=0.05"),
    _in_place_of(256, 2, 160, 24, SKIPS, "model.dropout=0.15", SLOWER),
    _in_place_of(256, 2, 160, 24, SKIPS, NORM, "model.dropout=0.1", QUICKER),
    _in_place_of(512, 2, 304, 32, SKIPS, "model.dropout=0.3"),
    _in_place_of(512, 2, 304, 32, SKIPS, NORM, "model.dropout=0.15", SLOWER),
    _in_place_of(512, 2, 304, 32, SKIPS, NORM, "model.dropout=0.2", SLOWER, minutes=58),
)


def command_of(row: Row, corpora: Path, out: Path, seed: int) -> list[str]:
    text = TEXTS[row.text]
    words = [str(ROOT / "configs" / row.config)] if row.config else []
    if row.text == "names":
        words += [f"data.{part}_files={file_of(row, part, corpora)}" for part in HELD_OUT]
    files = str(file_of(row, "train", corpora))
    words += [f"data.files={files}"] if row.config else [files]
    words += [*text.settings, *row.settings, f"seed={seed}"]
    words += [] if row.minutes is None else ["--minutes", f"{row.minutes:g}"]
    return ["train", *words, "--out", str(out), "--resume", "--quiet"]


def file_of(row: Row, part: str, corpora: Path) -> Path:
    """Where the part is read from."""
    if row.text == "harbour":
        return ROOT / "data" / TEXTS[row.text].files
    return corpora / (f"names_{part}.txt" if row.text == "names" else TEXTS[row.text].files)


def charlstm(*words: str) -> str:
    command = [sys.executable, "-m", "charlstm", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def run(row: Row, corpora: Path) -> dict[str, Any]:
    """The figures of a row; trainings that were finished before are not repeated."""
    outs = [folder_of(row, seed) for seed in row.seeds]
    commands = [command_of(row, corpora, *pair) for pair in zip(outs, row.seeds, strict=True)]
    side_by_side = min(len(row.seeds), CORES) if ONE_CORE in row.settings else 1
    with ThreadPoolExecutor(side_by_side) as pool:
        each = list(pool.map(trained, commands, outs))
    seconds = sum(each) if side_by_side == 1 else max(each) * math.ceil(len(each) / side_by_side)
    folders = [str(out) for out in outs]
    part = TEXTS[row.text].part
    adapt = [] if row.text == "names" else ["--adapt"]
    text = file_of(row, part, corpora)
    found = json.loads(charlstm("eval", *folders, str(text), "--part", part, "--json", *adapt))
    facts = [json.loads(charlstm("info", folder, "--json")) for folder in folders]
    shown = [word.replace(str(corpora), "CORPORA").replace(f"{ROOT}/", "") for word in commands[0]]
    return {
        "text": row.text,
        "name": row.title,
        "command": " ".join(shown[: shown.index("--out")]),
        "nats": found["loss"],
        "adapted": found["adapted"]["loss"] if adapt else None,
        "parameters": sum(each["parameter_count"] for each in facts),
        "seconds": seconds,
        "processor": processor.model(),
        "seed": SEED,
    }


def folder_of(row: Row, seed: int) -> Path:
    name = f"{row.text}-{row.name}".replace(" ", "-").replace("/", "-").replace(",", "")
    return RUNS / (name if seed == SEED else f"{name}-seed-{seed}")


def trained(words: list[str], out: Path) -> float:
    """The seconds that the training takes, or took if it was finished before."""
    began = time.perf_counter()
    charlstm(*words)
    took = time.perf_counter() - began
    return max(took, read_history(out / "metrics.jsonl").rows[-1]["seconds"])


def done() -> list[dict[str, Any]]:
    lines = DONE.read_text("utf-8").splitlines() if DONE.exists() else []
    return [json.loads(line) for line in lines]


def run_all(options: argparse.Namespace) -> None:
    known = {(row["text"], row["name"]) for row in done()}
    for row in ROWS:
        named = options.only in (None, row.text) and options.name in row.title
        wanted = named and (options.long or not row.long)
        if wanted and (row.text, row.title) not in known:
            found = run(row, options.corpora)
            with DONE.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
            print(f"{row.text:10} {row.title:26} {found['nats']:.4f} nats", flush=True)


def table(name: str, text: Text, found: list[dict[str, Any]]) -> Iterator[str]:
    yield f"## {text.title}"
    yield ""
    yield "| nats | adapted | bits | parameters | time | what |"
    yield "|--:|--:|--:|--:|--:|---|"
    for nats, parameters, who in text.published:
        yield f"| {nats:g} | | {nats / 0.693147:.3f} | {parameters} | | {who} |"
    for row in sorted(found, key=lambda row: row["parameters"]):
        if row["text"] == name:
            what = f"{row['name']}: `charlstm {row['command']}` ({row['processor']})"
            adapted = "" if row["adapted"] is None else f"{row['adapted']:.4f}"
            yield (
                f"| **{row['nats']:.4f}** | {adapted} | {row['nats'] / 0.693147:.4f}"
                f" | {row['parameters']:,} | {row['seconds']:.0f} s | {what} |"
            )
    yield ""


def write_page() -> None:
    """Between the two marks in docs/results.md."""
    before, rest = PAGE.read_text("utf-8").split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    found = done()
    lines = [line for name, text in TEXTS.items() for line in table(name, text, found)]
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + END + after, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--only", choices=TEXTS, help="this text")
    parser.add_argument("--name", default="", help="rows with this in their name")
    parser.add_argument("--long", action="store_true", help="rows of a quarter of an hour too")
    parser.add_argument("--corpora", type=Path, default=ROOT.parent / "shared" / "data")
    options = parser.parse_args()
    if options.what == "run":
        run_all(options)
    write_page()


if __name__ == "__main__":
    main()
