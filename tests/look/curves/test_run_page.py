import html.parser
import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path

import pytest
import tiny

from charlstm.config.schema import all_settings
from charlstm.errors import FileError
from charlstm.look.curves.panels import Line, Panel, panels_of
from charlstm.look.curves.run_page import LONGEST_SAMPLE, columns_for, page
from charlstm.look.curves.svg import MOST_POINTS, figure, thinned
from charlstm.saved.history import Curve, History
from charlstm.saved.samples import Sample, read_samples, spread

HOSTILE = '<script>alert(1)</script> & "quoted" <!-- style --> \u202e\x07\x1b[2J é船\u0301\r\n\t'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "<i>texts & co"
    folder.mkdir()
    settings = {"output.sample_every": 10, "output.sample_length": 40, "training.steps": 60}
    settings |= {"schedule.kind": "cosine"}  # or the learning rate would be flat
    config = tiny.tiny_config(folder, tiny.TEXT + HOSTILE * 4, **settings)
    run = folder / "<b>run & co"
    tiny.train(config, run)
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / made.name))


VOID = {"meta", "link", "path"}


class Elements(html.parser.HTMLParser):
    """Every element and text; an end without a beginning, or the other way round, is an error."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


# The page


def test_it_asks_the_network_for_nothing(run: Path):
    source = page(run)
    parsed = Elements(source)
    assert {tag for tag, _ in parsed.elements}.isdisjoint({"script", "img", "iframe", "object"})
    links = [a[n] for _, a in parsed.elements for n in ("src", "href", "data") if n in a]
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert not re.search(r"https?:|//|url\(|@import", source.replace("</", ""))
    assert not [a for _, a in parsed.elements if any(name.startswith("on") for name in a)]
    assert "default-src 'none'" in source


def test_every_link_leads_somewhere(run: Path):
    elements = Elements(page(run)).elements
    ids = {a["id"] for _, a in elements if "id" in a}
    targets = {a["href"][1:] for tag, a in elements if tag == "a"}
    assert targets == ids == {"curves", "samples", "settings", "vocabulary", "environment"}


def test_hostile_texts_are_only_texts(run: Path):
    (run / "samples.txt").write_text(f"--- step 10\n{HOSTILE}", newline="")
    parsed = Elements(page(run))
    assert '<script>alert(1)</script> & "quoted" <!-- style -->' in parsed.text
    assert r"\u202e\x07\x1b[2J" in parsed.text
    assert "<b>run & co" in parsed.text
    assert "/<i>texts & co/text.txt" in parsed.text
    assert {tag for tag, _ in parsed.elements}.isdisjoint({"i", "script"})
    assert not set(map(chr, range(32))) - {"\n", "\t"} & set(page(run))
    assert "\u202e" not in page(run)


def test_it_says_how_the_run_ended(run: Path):
    text = " ".join(Elements(page(run)).text.split())
    progress = tiny.newest(run).progress
    assert "statefinishedstep 60," in text
    assert f"best{progress.best_val_loss / 0.6931471805599453:.4f}bits per character" in text
    assert f"step {progress.best_step}" in text
    assert "lstm, 2 x 5" in text


def test_it_says_why_a_run_failed(run: Path):
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": 61, "failed": "loss became <nan>"}\n')
    text = " ".join(Elements(page(run)).text.split())
    assert re.search(r"statefailedstep 60, epoch [\d.]+; loss became <nan>", text)


def test_changed_settings_come_first(run: Path):
    settings = page(run).partition('id="settings"')[2].partition("</section>")[0]
    changed, rest = settings.split("<details>")
    size = "<td><code>5</code> <small>default <code>auto</code></small></td>"
    assert f"<th>model.hidden_size</th>{size}" in changed
    assert "<th>data.files</th>" in changed
    assert "<th>training.optimizer</th><td><code>adam</code></td>" in rest
    assert "model.hidden_size" not in rest
    assert settings.count("<tr>") == len(all_settings())


def test_the_environment(run: Path):
    text = Elements(page(run)).text
    last = tiny.newest(run)
    assert all(f"{name}{version}" in text for name, version in last.versions.items())
    assert last.corpus.sha256 in text


def test_every_character_has_its_key(run: Path):
    found = tiny.newest(run).vocabulary
    keys = [a["title"] for _, a in Elements(page(run)).elements if "title" in a]
    assert [int(key[2:6], 16) for key in keys] == list(found.code_points)
    assert "U+0041 LATIN CAPITAL LETTER A" not in keys
    assert "U+0061 LATIN SMALL LETTER A" in keys


def test_bytes(tmp_path: Path):
    tiny.train(tiny.tiny_config(tmp_path, **{"data.unit": "bytes"}), tmp_path / "run")
    assert "All 256 bytes." in page(tmp_path / "run")
    assert "<code>output.sample_every</code> asks for them" in page(tmp_path / "run")


def test_the_same_run_gives_the_same_page(run: Path):
    assert page(run) == page(run)


def test_a_run_that_has_lost_its_metrics(run: Path):
    (run / "metrics.jsonl").unlink()
    (run / "samples.txt").unlink()
    assert "No report has been written yet." in page(run)


def test_a_run_without_a_checkpoint(tmp_path: Path):
    (tmp_path / "run.lock").touch()
    with pytest.raises(FileError, match="nothing to report, no checkpoint was saved"):
        page(tmp_path)


# Samples


def test_samples_of_a_run(run: Path):
    samples = read_samples(run / "samples.txt")
    assert [sample.step for sample in samples] == [10, 20, 30, 40, 50, 60]
    text = Elements(page(run)).text
    assert [f"step {step}" in text for step in range(10, 70, 10)] == [True] * 6
    assert samples[0].text.split()[0] in text


def test_a_sample_may_look_like_a_heading(tmp_path: Path):
    file = tmp_path / "samples.txt"
    file.write_text("--- step 10\none\n--- step 5\n\n--- step x\n--- step 20\ntwo\n")
    assert read_samples(file) == [
        Sample(10, "one\n--- step 5\n\n--- step x"),
        Sample(20, "two"),
    ]


LISTS = {
    "lines": ("ham\tab\nspam\t<b>\n" * 20, ["end"]),
    "paragraphs": ("ham\tab\na\n\nspam\t<b>\n\n" * 20, []),
}


@pytest.mark.parametrize("items", LISTS)
def test_items_are_shown_as_items(tmp_path: Path, items: str):
    content, missing = LISTS[items]
    settings = {"data.items": items, "data.labels": True, "output.sample_every": 60}
    settings |= {"output.sample_length": 40, "training.steps": 60}
    tiny.train(tiny.tiny_config(tmp_path, content, **settings), tmp_path / "run")
    ((_, text),) = read_samples(tmp_path / "run" / "samples.txt")
    html = page(tmp_path / "run")
    shown = [unescape(entry) for entry in re.findall(r"<li>(.*?)</li>", html, re.S)]
    assert len(shown) == text.count("\t") > 2
    assert all(entry.partition("\t")[0] in ("ham", "spam") for entry in shown)
    assert "<pre>" not in html
    assert re.search(r"<dt>an item</dt><dd>[0-9]+\.[0-9]{2}<", html)
    reserved = [name for name in ("end", "label:ham", "label:spam") if name not in missing]
    assert f"Reserved symbols: {', '.join(reserved)}" in html


def test_no_samples(tmp_path: Path):
    assert read_samples(tmp_path / "samples.txt") == []


def test_a_long_sample_is_cut(run: Path):
    (run / "samples.txt").write_text("--- step 1\n" + "\u2603" * 10_000 + "\n")
    assert page(run).count("\u2603") == LONGEST_SAMPLE


def test_samples_are_spread_over_the_run():
    samples = [Sample(n, "") for n in range(0, 1001)]
    assert [s.step for s in spread(samples, 5)] == [0, 250, 500, 750, 1000]
    assert spread(samples[:5], 5) == samples[:5]


# Drawing


def test_a_figure_has_the_points_in_its_own_coordinates():
    panel = Panel("loss", "step", [Line("a", Curve([0, 50, 100], [4.0, 2.0, 3.0]))])
    source = figure(panel)
    assert 'd="M0.0 0.0L500.0 1000.0 1000.0 500.0"' in source
    assert 'aria-label="a from 4 to 3"' in source
    assert '<span class="y" style="top:50.00%">3</span>' in source
    assert '<span class="x" style="left:100.00%">100</span>' in source


def test_gaps_and_lonely_points():
    curve = Curve([0, 1, 2, 3, 4], [1.0, float("nan"), 2.0, 3.0, float("nan")])
    source = figure(Panel("loss", "step", [Line("a", curve)]))
    assert re.search(r'd="M0\.0 1000\.0L0\.0 1000\.0M500\.0 500\.0L750\.0 0\.0"', source)


def test_a_point_that_stands_alone_is_a_dot():
    lonely = Curve([5, 6, 7], [2.0, float("nan"), float("nan")])
    source = figure(Panel("loss", "step", [Line("a", lonely)]))
    assert re.search(r'<path class="line-0 dots" d="M[\d. ]+L[\d. ]+"/>', source)
    whole = figure(Panel("loss", "step", [Line("a", Curve([5, 6], [2.0, 1.0]))]))
    assert "dots" not in whole


@pytest.mark.parametrize("tiles", range(1, 9))
def test_no_tile_stands_alone_in_its_row(tiles: int):
    columns = columns_for(tiles)
    assert columns <= 4
    assert tiles % columns != 1 or tiles == 1
    assert -(-tiles // columns) <= 2


def test_the_page_says_how_many_columns(run: Path):
    html = page(run)
    tiles = html.partition("</dl>")[0].count("<dt>")
    assert f'class="figures" style="--columns: {columns_for(tiles)}"' in html


def test_labels_are_escaped():
    panel = Panel("<loss>", "<step>", [Line('<"a">', Curve([0], [1])), Line("b", Curve([0], [1]))])
    source = figure(panel)
    assert "<loss>" not in source
    assert '<"a">' not in source
    assert '<"a">' in unescape(source)


def test_thinning_keeps_peaks_and_ends():
    stroke = [(n / 99_999, 0.5) for n in range(100_000)]
    stroke[31_007] = (stroke[31_007][0], 1.0)
    stroke[64_003] = (stroke[64_003][0], 0.0)
    kept = thinned(stroke)
    assert len(kept) <= MOST_POINTS + 2
    assert {stroke[0], stroke[31_007], stroke[64_003], stroke[-1]} <= set(kept)
    assert kept == sorted(kept)
    assert thinned(stroke[:1000]) == stroke[:1000]


def test_many_panels_of_a_long_run_stay_small():
    rows = [{"step": n, "train_loss": n % 97 / 10.0} for n in range(50_000)]
    (panel,) = panels_of({"a": History(rows)}, ["train_loss"])
    assert len(figure(panel)) < 40_000


# In a browser


BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

MEASURE = """<!DOCTYPE html><body style="margin:0">
<iframe style="border:0;width:{width}px;height:900px" srcdoc="{page}"></iframe>
<pre></pre><script>
onload = () => {{
  const view = document.querySelector("iframe").contentWindow, root = view.document;
  const all = (selector) => [...root.querySelectorAll(selector)];
  const lines = all("svg path:not(.grid)").map((path) => path.getBoundingClientRect());
  const texts = all("body *").filter((e) => [...e.childNodes].some((n) => n.nodeType == 3
    && n.data.trim()));
  const shown = {{
    overflow: root.documentElement.scrollWidth - view.innerWidth,
    paths: lines.map((box) => [box.width, box.height]),
    stroke: view.getComputedStyle(root.querySelector("svg path.line-0")).stroke,
    back: view.getComputedStyle(root.body).backgroundColor,
    smallest: Math.min(...texts.map((e) => parseFloat(view.getComputedStyle(e).fontSize))),
    cut: all(".plot span").filter((e) => e.getBoundingClientRect().left < 0
      || e.getBoundingClientRect().right > view.innerWidth).length,
  }};
  document.querySelector("pre").textContent = JSON.stringify(shown);
}};
</script></body>"""


def browse(file: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    if BROWSER is None:
        pytest.skip("needs Chromium")
    return subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *("--disable-background-networking", "--enable-logging=stderr"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=2000"),
            *(f"--user-data-dir={folder / 'profile'}", *options, file.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def test_a_browser_has_nothing_to_complain_about(run: Path, tmp_path: Path):
    file = tmp_path / "page.html"
    file.write_text(page(run))
    done = browse(file, tmp_path)
    assert "<footer>" in done.stdout
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []


def test_a_browser_would_complain(tmp_path: Path):
    file = tmp_path / "page.html"
    file.write_text("<script>console.error('here')</script>")
    assert re.search(r"CONSOLE.*here", browse(file, tmp_path).stderr)


@pytest.mark.parametrize(("width", "dark"), [(400, False), (1400, True)])
def test_curves_are_visible_and_nothing_is_cut_off(
    run: Path, tmp_path: Path, width: int, dark: bool
):
    file = tmp_path / "measure.html"
    file.write_text(MEASURE.format(width=width, page=escape(page(run))))
    theme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    shown = browse(file, tmp_path, "--window-size=1500,1000", theme).stdout
    found = json.loads(unescape(re.search(r"<pre>(\{.*?\})</pre>", shown)[1]))
    assert found["overflow"] <= 0
    assert found["cut"] == 0
    assert found["smallest"] >= 12
    assert len(found["paths"]) == 4
    assert all(box_width > 250 for box_width, _ in found["paths"])
    assert all(height > 5 for _, height in found["paths"]), found["paths"]
    assert max(height for _, height in found["paths"]) == pytest.approx(240, abs=1)
    assert (found["back"] == "rgb(15, 17, 21)") is dark
    assert found["stroke"] != found["back"]
