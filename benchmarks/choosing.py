"""How close `auto` comes to settings made by hand: the table of docs/choosing.md.

    python benchmarks/choosing.py run [--minutes 3] [--texts notes-60k,code-500k] [--seed 1]
    python benchmarks/choosing.py table [--minutes 3]     # into docs/choosing.md

On each text of texts.py: the rule of charlstm/config/fitting.py, at least twelve settings made by
hand, and the old defaults, all for the same time on two cores. Time is that of a processor at its
best: the speed of each setting is measured for a moment, one process on one core, a fixed matrix
product after each step says how fast the core is meanwhile, and the characters that two cores read
in the time are trained on. So neither other work nor the hour disturbs a comparison. Every run is
the program's own training step and evaluation. What is done is kept in choosing.jsonl, and a
second call goes on from there.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from texts import HERE, TEXTS, write_texts

CORES = 2
RESULTS = HERE / "choosing.jsonl"
PAGE = HERE.parent / "docs" / "choosing.md"
SHORT = 200_000  # characters up to which a text is learned by heart within minutes
EVALUATIONS = 24
PATIENCE = 6
PRODUCT_SECONDS = 6.6e-3  # of the fixed product on a core of an AMD EPYC (Zen 3) at its best
QUICK_LOOK = 12_000  # characters read by an evaluation on the way, where there are more


class Hand(NamedTuple):
    """A setting made by hand; passes are those over the training text, unless time ends first."""

    width: int
    dropout: float
    lanes: int
    rate: float
    passes: float = 25
    embedding: int = 0
    layers: int = 1
    cell: str = "lstm"

    @property
    def name(self) -> str:
        extra = f" E{self.embedding}" if self.embedding else ""
        kind = "" if self.cell == "lstm" else f" {self.cell}"
        return (
            f"{self.layers} x {self.width}{extra}{kind}, dropout {self.dropout:g},"
            f" B {self.lanes}, {self.rate:g}, {self.passes:g} passes"
        )


FOR_SHORT_TEXTS = (
    Hand(128, 0.3, 16, 6e-3),
    Hand(256, 0.5, 16, 4e-3),
    Hand(256, 0.5, 8, 4e-3, 16),
    Hand(256, 0.5, 8, 4e-3, 8),
    Hand(192, 0.5, 16, 6e-3, 25, embedding=32),
    Hand(192, 0.5, 8, 4e-3, 10, embedding=32),
    Hand(192, 0.5, 8, 4e-3, 16, embedding=32),
    Hand(192, 0.5, 8, 8e-3, 10, embedding=16),
    Hand(256, 0.6, 8, 4e-3, 16, embedding=32),
    Hand(384, 0.6, 8, 3e-3, 8),
    Hand(384, 0.7, 16, 4e-3, 16, embedding=32),
    Hand(128, 0.3, 16, 1e-2, 20, cell="layer-norm"),
    Hand(128, 0.3, 8, 6e-3, 10, embedding=16),
    Hand(128, 0.5, 16, 6e-3, 16, layers=2),
    Hand(512, 0.6, 16, 3e-3, 12, embedding=64),
    Hand(512, 0.6, 8, 4e-3, 14, embedding=64),
)
FOR_LONG_TEXTS = (
    Hand(128, 0.0, 32, 1e-2),
    Hand(384, 0.1, 16, 5e-3, embedding=64),
    Hand(256, 0.0, 32, 1e-2),
    Hand(256, 0.1, 16, 7e-3),
    Hand(256, 0.0, 32, 1e-2, embedding=32),
    Hand(256, 0.0, 64, 1e-2, embedding=64),
    Hand(256, 0.0, 32, 1e-2, cell="layer-norm"),
    Hand(384, 0.0, 32, 8e-3),
    Hand(384, 0.1, 16, 6e-3, embedding=32),
    Hand(512, 0.15, 32, 6e-3),
    Hand(512, 0.0, 64, 8e-3),
    Hand(256, 0.1, 32, 5e-3, layers=2),
    Hand(256, 0.3, 16, 5e-3, 15, embedding=32),
    Hand(384, 0.3, 16, 5e-3, 8, embedding=64),
    Hand(512, 0.4, 16, 4e-3, 8, embedding=64),
)
OLD_DEFAULTS = {
    "model": {"layers": 2, "hidden_size": 128},
    "training": {
        "batch_size": 50,
        "sequence_length": 50,
        "learning_rate": 2e-3,
        "epochs": 50,
        "early_stopping": 0,
    },
    "evaluation": {"every": 1000},
}
RULE, OLD = "auto", "old defaults"


def settings_by_hand(hand: Hand) -> dict[str, Any]:
    return {
        "model": {
            "cell": hand.cell,
            "layers": hand.layers,
            "hidden_size": hand.width,
            "embedding_size": hand.embedding,
            "dropout": hand.dropout,
        },
        "training": {
            "batch_size": hand.lanes,
            "sequence_length": 64,
            "learning_rate": hand.rate,
            "epochs": hand.passes,
        },
        "schedule": {"kind": "cosine", "minimum": 1e-4},
    }


def settings_by_rule(path: Path, seconds: float) -> dict[str, Any]:
    """As the program resolves `auto`: sizes for the nominal speed, then the course for the real."""
    from charlstm.config.fitting import NOMINAL_SPEED, Text, course, sizes, work_per_character

    text = path.read_text("utf-8")
    length = math.floor(len(text) * 0.9)
    facts = Text(length, len(text) - length, len(set(text)))
    found = sizes(facts, work=seconds * NOMINAL_SPEED)
    settings = {
        "model": {
            "cell": found.cell,
            "layers": found.layers,
            "hidden_size": found.hidden_size,
            "embedding_size": found.embedding_size,
        },
        "training": {
            "batch_size": found.batch_size,
            "sequence_length": found.sequence_length,
        },
    }
    speed = CORES * characters_per_second(path, settings)
    way = course(facts, found, work=seconds * speed * work_per_character(found, facts.symbols))
    settings["model"]["dropout"] = way.dropout
    settings["training"]["learning_rate"] = way.learning_rate
    settings["training"]["steps"] = way.steps
    settings["training"]["early_stopping"] = way.early_stopping
    settings["schedule"] = {
        "kind": "cosine",
        "minimum": way.minimum,
        "warmup_steps": way.warmup_steps,
    }
    settings["evaluation"] = {"every": way.evaluate_every}
    return settings


def trainer_for(path: Path, settings: dict[str, Any], seed: int = 1) -> tuple[Any, Any]:
    """The trainer and its text, as `charlstm train` makes them on one core."""
    from charlstm.config.reading import config_from_dict
    from charlstm.system.comm import Alone
    from charlstm.training.dataset import read_dataset
    from charlstm.training.setup import prepare

    full = {"seed": seed, "data": {"files": [str(path)]}, **settings}
    config = config_from_dict(full, "choosing")
    dataset = read_dataset(config)
    trainer, _ = prepare(dataset, Alone(), None)
    return trainer, dataset


def characters_per_second(path: Path, settings: dict[str, Any]) -> float:
    """Of training on one core as fast as the machine of `PRODUCT_SECONDS` at its best."""
    from charlstm.training.trainer import Requests

    trainer, _ = trainer_for(path, settings)
    product = _fixed_product()
    steps, products, until = [], [], time.process_time() + 4.0
    while time.process_time() < until:
        steps.append(_seconds(lambda: trainer.step(Requests())))
        products.append(_seconds(product))
    speed_now = PRODUCT_SECONDS / min(products)
    return float(trainer.characters_per_step / min(steps) / speed_now)


def _fixed_product() -> Callable[[], object]:
    import numpy as np

    left, right = np.ones((256, 512), np.float32), np.ones((512, 2048), np.float32)
    out = np.empty((256, 2048), np.float32)
    return lambda: np.matmul(left, right, out=out)


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def run(path: Path, settings: dict[str, Any], seconds: float, seed: int) -> dict[str, Any]:
    """Train for the characters that two cores read in the time; bits are those of the best."""
    if "steps" not in settings["training"]:
        settings = _filling_the_time(path, settings, seconds)
    trainer, dataset = trainer_for(path, settings, seed)
    steps = dataset.total_steps
    every = settings.get("evaluation", {}).get("every") or max(1, steps // EVALUATIONS)
    patience = settings["training"].get("early_stopping", PATIENCE)
    quick = _evaluation(trainer, dataset, QUICK_LOOK)
    best, best_step, best_values, waiting = math.inf, 0, None, 0
    looks: list[float] = []
    spent = time.process_time()
    for loss, step in _evaluated(trainer, quick, steps, every):
        waiting = 0 if loss < best else waiting + 1
        if loss < best:
            best, best_step, best_values = loss, step, trainer.model.values.copy()
        looks.append(round(best / math.log(2), 4))
        if 0 < patience <= waiting:
            break
    spent = time.process_time() - spent
    trainer.model.values[...] = best_values
    whole = _evaluation(trainer, dataset, 0).mean_loss()
    return {
        "bits": whole / math.log(2),
        "best_step": best_step,
        "stopped": trainer.step_number,
        "steps": steps,
        "passes": trainer.epoch,
        "looks": looks,
        "core_seconds": spent,
        "settings": settings,
    }


def _filling_the_time(path: Path, settings: dict[str, Any], seconds: float) -> dict[str, Any]:
    """With steps in the place of epochs: as many, or as time allows."""
    trainer, dataset = trainer_for(path, settings)
    speed = CORES * characters_per_second(path, settings)
    allowed = int(seconds * speed / trainer.characters_per_step)
    steps = max(1, min(dataset.total_steps, allowed))
    filled = {**settings, "training": {**settings["training"], "steps": steps}}
    if "schedule" in settings:
        filled["schedule"] = {**settings["schedule"], "warmup_steps": min(100, steps // 20)}
    return filled


def _evaluation(trainer: Any, dataset: Any, characters: int) -> Any:
    from charlstm.training.evaluation import LaneEvaluation

    part = dataset.validation[: characters + 1] if characters else dataset.validation
    return LaneEvaluation(trainer.model, part, 32, 64, trainer.comm)


def _evaluated(trainer: Any, quick: Any, steps: int, every: int) -> Iterator[tuple[float, int]]:
    from charlstm.training.trainer import Requests

    while trainer.step_number < steps:
        trainer.step(Requests())
        if trainer.step_number % every == 0 or trainer.step_number == steps:
            yield quick.mean_loss(), trainer.step_number


def candidates(path: Path, seconds: float) -> Iterator[tuple[str, Any]]:
    """Names, and what makes their settings when their turn has come."""
    yield RULE, lambda: settings_by_rule(path, seconds)
    short = len(path.read_text("utf-8")) < SHORT
    for hand in FOR_SHORT_TEXTS if short else FOR_LONG_TEXTS:
        yield hand.name, lambda hand=hand: settings_by_hand(hand)
    yield OLD, lambda: OLD_DEFAULTS


def known() -> list[dict[str, Any]]:
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]


def run_all(options: argparse.Namespace) -> None:
    from charlstm.nn.blas_threads import blas_environment

    os.environ.update(blas_environment(1))
    names = options.texts.split(",") if options.texts else list(TEXTS)
    done = {(r["text"], r["setting"], r["minutes"], r["seed"]) for r in known()}
    for path in write_texts(options.folder, options.corpora, names):
        for name, settings in candidates(path, options.minutes * 60):
            if options.only and options.only not in name:
                continue
            if (path.stem, name, options.minutes, options.seed) in done:
                continue
            row = {"text": path.stem, "setting": name, "minutes": options.minutes}
            row |= {"seed": options.seed}
            row |= run(path, settings(), options.minutes * 60, options.seed)
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{path.stem:14} {row['bits']:.4f} bits  {name}", flush=True)


def table(rows: list[dict[str, Any]], minutes: float) -> str:
    """Markdown; texts of which neither the rule nor a setting by hand was run are left out."""
    lines = [
        "| text | `auto` chose | `auto` | best by hand | of | `auto` is | old defaults | best |",
        "|---|---|--:|--:|--:|--:|--:|---|",
    ]
    for text in TEXTS:
        found = {r["setting"]: r for r in rows if (r["text"], r["minutes"]) == (text, minutes)}
        rule, old = found.pop(RULE, None), found.pop(OLD, None)
        if rule and found:
            lines.append(f"| {text} | {_chosen(rule)} | {_compared(rule, old, found)} |")
    return "\n".join(lines)


def _compared(
    rule: dict[str, Any], old: dict[str, Any] | None, hands: dict[str, dict[str, Any]]
) -> str:
    name, best = min(hands.items(), key=lambda item: item[1]["bits"])
    difference = 100 * (rule["bits"] / best["bits"] - 1)
    cells = [f"{rule['bits']:.3f}", f"{best['bits']:.3f}", str(len(hands)), f"{difference:+.1f} %"]
    return " | ".join([*cells, f"{old['bits']:.3f}" if old else "not run", name])


def _chosen(row: dict[str, Any]) -> str:
    model, training = row["settings"]["model"], row["settings"]["training"]
    embedding = f" E{model['embedding_size']}" if model["embedding_size"] else ""
    return (
        f"{model['layers']} x {model['hidden_size']}{embedding}, dropout {model['dropout']:g},"
        f" B {training['batch_size']}, {training['learning_rate']:.2g}, {row['passes']:.1f} passes"
    )


def write_table(options: argparse.Namespace) -> None:
    """Between the two marks in docs/choosing.md."""
    begin, end = f"<!-- table {options.minutes:g} -->\n", "<!-- end -->"
    before, rest = PAGE.read_text("utf-8").split(begin, 1)
    after = rest.split(end, 1)[1]
    written = before + begin + table(known(), options.minutes) + "\n" + end + after
    PAGE.write_text(written, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--texts", help="names from texts.py with commas between; all of them")
    parser.add_argument("--only", help="settings whose name holds this")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=HERE.parent / "runs" / "choosing")
    parser.add_argument("--corpora", type=Path, default=HERE.parent.parent / "shared" / "data")
    options = parser.parse_args()
    {"run": run_all, "table": write_table}[options.what](options)


if __name__ == "__main__":
    main()
