"""``charlstm look`` from the outside."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from looks import facts_of
from tiny import TEXT, tiny_config, train

from charlstm.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("look")
    train(tiny_config(folder), folder / "run")
    return folder / "run"


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "sea.txt"
    path.write_text(TEXT[:120])
    return str(path)


def test_page(run: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["look", str(run), text, "-o", str(tmp_path / "p.html")]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"Written: .*p\.html \(0\.\d MB\)", err)
    facts = facts_of((tmp_path / "p.html").read_text(encoding="utf-8"))
    assert "".join(facts["text"]["characters"]) == TEXT[:120]
    assert facts["about"]["step"] == 20


def json_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["look", *arguments]) == 0
    table: dict[str, Any] = json.loads(capsys.readouterr().out)
    return table


def test_json(run: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = json_of([str(run), text, "--json"], capsys)
    assert table["characters"] == 120
    assert "Pearson" in table["measure"]
    assert {cell["feature"] for cell in table["cells"]} <= set(table["features"])
    words = [c for c in table["cells"] if c["feature"] == "inside a word"]
    sizes = [abs(cell["correlation"]) for cell in words]
    assert sizes == sorted(sizes, reverse=True)
    assert len(words) == 10
    page = [str(run), text, "--json", "-o", str(tmp_path / "p.html")]
    assert json_of(page, capsys)["cells"] == table["cells"]


def test_terminal(run: Path, text: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    arguments = ["--terminal", "--layer", "1", "--unit", "3", "--gate", "f"]
    assert main(["look", str(run), text, *arguments]) == 0
    out, err = capfdbinary.readouterr()
    assert out.decode().splitlines()[0] == TEXT.split("\n")[0] + "↵"
    assert b"\x1b" not in out
    assert err.decode() == "Layer 1, unit 3, f\n"


def test_the_most_telling_unit(
    run: Path, text: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["look", str(run), text, "--json"]) == 0
    cells = json.loads(capfdbinary.readouterr().out)["cells"]
    best = max(cells, key=lambda cell: abs(cell["correlation"]))
    assert main(["look", str(run), text, "--terminal"]) == 0
    told = capfdbinary.readouterr().err.decode()
    assert f"{best['feature']}: correlation {best['correlation']:+.2f}" in told
    assert f"Layer {best['layer']}, unit {best['unit']}, c" in told


ITEMS = {
    ("lines", "false"): ("sea\nlow tide\n", ["↵sea", "↵low tide"]),
    ("paragraphs", "false"): ("sea\nis\n\nlow\n", ["‹end›sea↵", "is", "‹end›low"]),
    ("lines", "true"): ("ham\tsea\nspam\tlow\n", ["‹ham›sea", "‹spam›low"]),
}


@pytest.mark.parametrize("items", ITEMS)
def test_items_of_a_list(
    items: tuple[str, str], tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    content, shown = ITEMS[items]
    settings = {"data.items": items[0], "data.labels": items[1] == "true"}
    train(tiny_config(tmp_path, content * 20, **settings), tmp_path / "run")
    (tmp_path / "new.txt").write_text(content)
    look = ["look", str(tmp_path / "run"), str(tmp_path / "new.txt")]
    assert main([*look, "--terminal"]) == 0
    out, err = capfdbinary.readouterr()
    assert out.decode().splitlines()[: 2 * len(shown) : 2] == shown
    assert b"Note" not in err
    assert main([*look, "-o", str(tmp_path / "p.html")]) == 0
    facts = facts_of((tmp_path / "p.html").read_text(encoding="utf-8"))
    signs = [sign.replace("\n", "↵") for sign in facts["text"]["characters"]]
    assert "".join(signs) == "".join(shown)
    assert len(facts["begins"]) == 2
    assert facts["end"] == (0 if items[0] == "lines" else len(facts["vocabulary"]) - 1)


REFUSED = {
    "": "give -o PAGE.html, --json or --terminal",
    "--json --terminal": "choose one",
    "--terminal --layer 2": "--layer 2: the model has layers 0 to 1",
    "--terminal --unit 5": "--unit 5: the model has units 0 to 4",
    "--terminal --gate z": "'z'",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_refusals(arguments: str, run: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["look", str(run), text, *arguments.split()]) == 2
    assert REFUSED[arguments] in capsys.readouterr().err


def test_unknown_characters(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.txt").write_text("sea ?!")
    assert main(["look", str(run), str(tmp_path / "t.txt"), "--json"]) == 3
    error = capsys.readouterr().err
    assert "'?' (U+003F), '!' (U+0021)" in error
    assert error.count("\n") == 1


def test_a_long_text_is_cut_and_said_to_be(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.txt").write_text("sea " * 5001)
    assert main(["look", str(run), str(tmp_path / "t.txt"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["characters"] == 20_000
    assert "the first 20,000 characters" in err


def test_the_page_opens_on_the_best_of_all_cells(
    run: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "p.html"
    table = json_of([str(run), text, "--json", "-o", str(page)], capsys)
    best = max(table["cells"], key=lambda cell: abs(cell["correlation"]))
    assert facts_of(page.read_text(encoding="utf-8"))["best"] == [best["layer"], best["unit"]]


def test_russian_in_bytes_is_shown_once(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    russian = "\u041c\u043e\u0440\u0435 \u0431\u044b\u043b\u043e \u0442\u0438\u0445\u043e.\n" * 8
    train(tiny_config(tmp_path, russian, **{"data.unit": "bytes"}), tmp_path / "run")
    source = str(tmp_path / "text.txt")
    assert main(["look", str(tmp_path / "run"), source, "--terminal"]) == 0
    out = capfdbinary.readouterr().out.decode()
    assert out.splitlines()[0] == russian.split("\n", maxsplit=1)[0] + "\u21b5"
    assert main(["look", str(tmp_path / "run"), source, "-o", str(tmp_path / "p.html")]) == 0
    facts = facts_of((tmp_path / "p.html").read_text(encoding="utf-8"))
    assert "".join(facts["text"]["characters"]) == russian
