"""The tables of benchmarks/README.md: one set for each processor that `make bench` ran on.

python benchmarks/tables.py    # write them anew from benchmarks/results/*.json
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE / "README.md"
BEGIN, END = "<!-- processors -->\n", "<!-- end of processors -->"


def keep(results: dict[str, Any], slug: str) -> None:
    """In the file of this processor, in the place of what was measured there before."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{slug}.json").write_text(json.dumps(results, indent=1) + "\n")
    write()


def write() -> None:
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    sets = (json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json")))
    middle = "\n".join(line for results in sets for line in [*of(results), ""])
    PAGE.write_text(before + BEGIN + "\n" + middle + "\n" + END + after, "utf-8")


def of(results: dict[str, Any]) -> Iterator[str]:
    """Markdown; what was not measured is left out."""
    limit = results["product_gflops"]
    yield f"### {results['machine'].partition(';')[0]}"
    yield ""
    yield (
        f"{results['machine']}; {results['cores']} cores; plain product {limit:.0f} GFLOP/s"
        f"{'; ' + results['date'] if 'date' in results else ''}{results.get('source', '')}."
    )
    yield ""
    yield from _training(results, limit)
    yield from _sampling(results.get("sampling", []))
    yield from _start_up(results.get("start_up_ms", {}))
    yield from _memory(results["training"])
    yield from _growth(results.get("growth", {}))


def _training(results: dict[str, Any], limit: float) -> Iterator[str]:
    yield "| shape | ours ms | PyTorch ms | ratio (min to max) | char/s | of the product limit |"
    yield "|---|--:|--:|--:|--:|--:|"
    for row, shape in zip(results["training"], results["shapes"], strict=True):
        share = shape["flops"] / (row["ours_ms"] * 1e6) / limit
        spread = (
            f" ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})" if "ratio_min" in row else ""
        )
        yield (
            f"| {row['shape']} | {row['ours_ms']:.2f} | {row['peer_ms']:.2f}"
            f" | **{row['ratio']:.2f}**{spread} | {row['chars_per_second']:,.0f} | {share:.0%} |"
        )


def _sampling(rows: list[dict[str, Any]]) -> Iterator[str]:
    if rows:
        yield from ("", "| sampling, H 128 L 2 | ours us/step | PyTorch us/step | ratio |")
        yield "|---|--:|--:|--:|"
    for row in rows:
        yield (
            f"| {row['texts']} at once | {row['ours_us']:.0f} | {row['peer_us']:.0f}"
            f" | **{row['ratio']:.1f}** |"
        )


def _start_up(times: dict[str, float]) -> Iterator[str]:
    if times:
        yield from ("", "| start | ms |", "|---|--:|")
    yield from (f"| {name} | {value:.0f} |" for name, value in times.items())


def _memory(rows: list[dict[str, Any]]) -> Iterator[str]:
    rows = [row for row in rows if "ours_mb" in row]
    if rows:
        yield from ("", "| peak memory, MB | ours (rank 0) | PyTorch |", "|---|--:|--:|")
    yield from (f"| {row['shape']} | {row['ours_mb']} | {row['peer_mb']} |" for row in rows)


def _growth(grown: dict[str, list[tuple[int, float]]]) -> Iterator[str]:
    if grown:
        yield from ("", "| our step, ms, from the first shape | | | | |", "|---|--:|--:|--:|--:|")
    for letter, values in grown.items():
        yield f"| {letter} " + "".join(f"| {n:,}: {ms:.1f} " for n, ms in values) + "|"


if __name__ == "__main__":
    write()
