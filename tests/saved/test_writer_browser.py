"""The page that writes, in a real browser, against the model that it was made of."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import NARROW, WIDE, Browser, needs_chromium
from looks import facts_of
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from writers import CELLS, PROSE, a_model, logits_of, trained_model

from charlstm.api import Model
from charlstm.nn.model import CharLM
from charlstm.saved.checkpoint import LoadedModel
from charlstm.saved.writer.page import page
from charlstm.saved.writer.weights import rounded

pytestmark = needs_chromium

HOSTILE = 'a\u202eb</script><img src=x onerror="alert(1)">\u2028\x00\x1b\u200f&\u0301 \n'


class WriterBrowser(Browser):
    """With what this page does."""

    def open(self, loaded: LoadedModel, folder: Path, **options: Any) -> Path:
        path = folder / "model.html"
        path.write_text(page(loaded, options.pop("weights", "float16")), encoding="utf-8")
        self.visit(path, **options)
        return path

    def wait(self, script: str, *arguments: Any) -> Any:
        """Of an expression that may be a promise, in which ``page`` is the page."""
        return self.driver.execute_async_script(
            f"const [args, done] = arguments; started.then(async (page) => done({script}))",
            arguments,
        )

    def put(self, text: str) -> None:
        self.run("document.getElementById('text').value = arguments[0]", text)
        self.wait("await page.follow()")

    def set(self, **fields: Any) -> None:
        for name, value in fields.items():
            self.run("document.getElementById(arguments[0]).value = arguments[1]", name, str(value))

    def write(self) -> str:
        self.wait("await page.write()")
        return self.text()

    def text(self) -> str:
        return str(self.run("return document.getElementById('text').value"))

    def shown(self, name: str) -> str:
        return str(self.run("return document.getElementById(arguments[0]).textContent", name))

    def spans(self) -> list[dict[str, str]]:
        script = """return [...document.querySelectorAll('#shaded span')].map(
            (s) => ({text: s.textContent, level: s.className, title: s.title}))"""
        return list(self.run(script))

    def next_ones(self) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, "#next button:not([hidden])")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WriterBrowser]:
    browser = WriterBrowser(tmp_path_factory.mktemp("driver") / "log")
    yield browser
    browser.driver.quit()


@pytest.fixture(autouse=True)
def nothing_to_complain_about(browser: WriterBrowser) -> Iterator[None]:
    browser.complaints()
    browser.requests()
    yield
    assert browser.complaints() == []
    assert all(url.startswith(("file:", "data:,")) for url in browser.requests())


LOGITS = "await (async () => { const { model } = page.reader; model.forget();"
LOGITS += " return args[0].map((id) => Array.from(model.step(id))); })()"


@pytest.mark.parametrize("weights", ["float16", "int8"])
@pytest.mark.parametrize(("cell", "embedding_size"), CELLS)
def test_logits_are_those_of_the_model(
    cell: str, embedding_size: int, weights: str, browser: WriterBrowser, tmp_path: Path
):
    loaded = trained_model(cell, embedding_size)
    browser.open(loaded, tmp_path, weights=weights)
    ids = loaded.vocabulary.encode(PROSE[:300]).tolist()
    found = np.array(browser.wait(LOGITS, ids))
    expected = logits_of(rounded(loaded, weights), ids)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    if weights == "float16":
        ours = logits_of(loaded, ids)
        np.testing.assert_allclose(found, ours, rtol=0, atol=1e-3 * np.abs(ours).max())


@pytest.mark.parametrize("prompt", ["", "The c"])
@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0])
def test_it_writes_what_sample_writes(
    prompt: str, temperature: float, browser: WriterBrowser, tmp_path: Path
):
    loaded = a_model("layer-norm")
    browser.open(loaded, tmp_path)
    browser.put(prompt)
    browser.set(temperature=temperature, length=120, seed=4_294_967_295)
    expected = Model(rounded(loaded, "float16")).sample(
        prompt, length=120, temperature=temperature, seed=4_294_967_295
    )
    assert browser.write() == prompt + expected
    assert browser.shown("status").startswith("120 characters in ")
    assert "seed 4294967295" in browser.shown("status")


def test_draws_are_numpys(browser: WriterBrowser, tmp_path: Path):
    browser.open(a_model(), tmp_path)
    script = "const d = new Draws(arguments[0]); return Array.from({length: 50}, () => d.next());"
    for seed in (0, 7, 2**31, 2**32 - 1):
        assert browser.run(script, seed) == np.random.default_rng([seed, 0]).random(50).tolist()


def test_bits_are_those_of_eval(browser: WriterBrowser, tmp_path: Path):
    loaded = a_model()
    browser.open(loaded, tmp_path)
    score = Model(rounded(loaded, "float16")).score(PROSE[:700])
    browser.put(PROSE[:700])
    found = browser.wait("await page.reader.bits.slice(1)")
    np.testing.assert_allclose(found, score.bits, rtol=0, atol=1e-4)
    mean = f"{score.bits_per_character:.3f} bits a character on average"
    assert browser.shown("mean") == mean
    spans = browser.spans()
    assert "".join(span["text"] for span in spans) == PROSE[:700].replace("\n", "↵")
    levels = [int(span["level"].removeprefix("s")) for span in spans[1:]]
    np.testing.assert_allclose(levels, np.minimum(8, score.bits), atol=0.51)
    assert f"{score.bits[30]:.2f} bits" in spans[31]["title"]


def test_going_back_and_changing_the_middle_is_as_reading_anew(
    browser: WriterBrowser, tmp_path: Path
):
    loaded = a_model("layer-norm", 5)
    browser.open(loaded, tmp_path)
    first, changed = PROSE[:300], PROSE[:100] + "zz" + PROSE[110:290]
    for text in (first, changed, first[:64], first[:65], "", first):
        browser.put(text)
        expected = Model(rounded(loaded, "float16")).score(text).bits if text else []
        found = browser.wait("await page.reader.bits.slice(1)")
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        assert len(browser.spans()) == len(text)


def test_likeliest_next_and_clicking_them(browser: WriterBrowser, tmp_path: Path):
    loaded = a_model()
    browser.open(loaded, tmp_path)
    browser.put("The")
    scores = logits_of(rounded(loaded, "float16"), loaded.vocabulary.encode("The"))[-1].astype(
        float
    )
    shares = np.exp(scores - np.logaddexp.reduce(scores))
    best = np.argsort(-shares)[:8]
    buttons = browser.next_ones()
    assert [int(button.get_attribute("data-id")) for button in buttons] == best.tolist()
    for button, share in zip(buttons, shares[best], strict=True):
        assert button.get_attribute("aria-label").endswith(f", {100 * share:.1f} %")
    buttons[2].send_keys(Keys.ENTER)
    WebDriverWait(browser.driver, 5).until(
        lambda _: browser.wait("await page.reader.ids.length") == 4
    )
    assert browser.text() == "The" + loaded.vocabulary.decode(best[2:3])


def test_stop_and_take_back(browser: WriterBrowser, tmp_path: Path):
    browser.open(a_model(hidden_size=64), tmp_path)
    browser.put("Sea ")
    browser.set(length=100_000, seed="")
    button = browser.find("#write")
    button.click()
    assert button.text == "Stop"
    assert browser.find("#text").get_attribute("readonly")
    time.sleep(0.2)
    browser.press(Keys.ESCAPE)
    WebDriverWait(browser.driver, 5).until(lambda _: button.text == "Write")
    WebDriverWait(browser.driver, 5).until(lambda _: "seed" in browser.shown("status"))
    assert 4 < len(browser.text()) < 100_000
    assert browser.text().startswith("Sea ")
    browser.find("#back").click()
    assert browser.text() == "Sea "
    assert not browser.find("#back").is_enabled()


def test_the_keyboard_alone(browser: WriterBrowser, tmp_path: Path):
    browser.open(a_model(), tmp_path)
    browser.set(length=30, seed=1)
    browser.press(Keys.TAB, "The ")
    ActionChains(browser.driver).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(
        Keys.CONTROL
    ).perform()
    WebDriverWait(browser.driver, 5).until(lambda _: "seed 1" in browser.shown("status"))
    assert len(browser.text()) == 34


def test_what_the_model_does_not_know_is_left_out_and_named(browser: WriterBrowser, tmp_path: Path):
    browser.open(a_model(), tmp_path)
    browser.put("The 🜚 s\u202eea")
    assert "🜚 (U+1F71A), U+202E (U+202E)" in browser.shown("status")
    assert [span["text"] for span in browser.spans() if span["level"] == "unknown"] == [
        "🜚",
        "U+202E",
    ]
    assert browser.wait("await page.reader.ids.length") == 8
    browser.put("αβγδεζη")
    assert browser.shown("status").endswith("ε (U+03B5) and 2 more.")


def test_hostile_characters_stay_text(browser: WriterBrowser, tmp_path: Path):
    loaded = a_model(text=HOSTILE, path="<img src=x onerror=alert(1)>/x")
    browser.open(loaded, tmp_path)
    assert browser.find("h1").text == "<img src=x onerror=alert(1)> writes"
    browser.put(HOSTILE)
    assert browser.driver.find_elements(By.CSS_SELECTOR, "img") == []
    known = "".join(span["text"] for span in browser.spans())
    assert known == 'aU+202Eb</script><img src=x onerror="alert(1)">U+2028␀␛U+200F&◌\u0301 ↵'
    assert browser.wait("await page.reader.ids") == loaded.vocabulary.encode(HOSTILE).tolist()
    browser.set(length=300, seed=3)
    assert browser.write().startswith(HOSTILE)


def test_a_model_of_bytes(browser: WriterBrowser, tmp_path: Path):
    text = "añ “b” 😀\n" * 3
    loaded = a_model(text=text, unit="bytes")
    browser.open(loaded, tmp_path)
    browser.put(text)
    assert browser.wait("await page.reader.ids") == loaded.vocabulary.encode(text).tolist()
    spans = browser.spans()
    assert "".join(span["text"] for span in spans) == text.replace("\n", "↵")
    bits = Model(rounded(loaded, "float16")).score(text).bits
    assert spans[1]["title"] == f"ñ: {bits[0:2].sum():.2f} bits"
    assert browser.shown("mean").endswith("bits a byte on average")
    browser.set(length=200, seed=3, temperature=1)
    expected = Model(rounded(loaded, "float16")).sample(text, length=200, seed=3)
    assert "\ufffd" in expected
    assert browser.write() == text + expected
    script = "page.alphabet.pieces('a\\ud800b').map((piece) => piece.ids.length)"
    assert browser.wait(script) == [1, 0, 1]
    signs = [button.text.split()[0] for button in browser.next_ones()]
    assert any(sign.startswith("\\x") for sign in signs)


def test_a_character_of_several_bytes_is_taken_whole(browser: WriterBrowser, tmp_path: Path):
    loaded = a_model(text="жшц😀\n", unit="bytes")
    browser.open(loaded, tmp_path)
    browser.put("ж")
    before = browser.wait("Array.from(page.reader.logits)")
    lead = int(loaded.vocabulary.encode("ш")[0])
    character = browser.wait("page.reader.characterFrom(args[0])", lead)
    model = rounded(loaded, "float16")
    ids = [*loaded.vocabulary.encode("ж").tolist(), lead]
    inner = [code for code in range(loaded.vocabulary.size) if is_inner(loaded, code)]
    second = max(inner, key=lambda code: logits_of(model, ids)[-1][code])
    assert character == loaded.vocabulary.decode(np.array([lead, second]))
    assert browser.wait("Array.from(page.reader.logits)") == before
    for button in browser.next_ones():
        assert button.is_enabled() != is_inner(loaded, int(button.get_attribute("data-id")))
    next(button for button in browser.next_ones() if button.is_enabled()).click()
    WebDriverWait(browser.driver, 5).until(lambda _: len(browser.text()) == 2)
    assert "\ufffd" not in browser.text()


def is_inner(loaded: LoadedModel, id: int) -> bool:
    return bool(0x80 <= loaded.vocabulary.code_points[id] < 0xC0)


def test_a_text_goes_through_what_the_models_did(browser: WriterBrowser, tmp_path: Path):
    text = "Caf\u00e9\n_a"
    loaded = a_model(text=text, newlines="normalize", normalize="NFC", min_count=2, replacement="_")
    browser.open(loaded, tmp_path)
    found = browser.wait("await page.alphabet.pieces(args[0])", "Cafe\u0301\r\nX")
    assert [piece["text"] for piece in found] == list("Caf\u00e9\nX")
    expected = loaded.vocabulary.encode("Caf\u00e9\n_").tolist()
    assert [piece["ids"][0] for piece in found] == expected


def of_items(items: str, specials: tuple[str, ...], *, labels: bool = False) -> LoadedModel:
    """Of a list: each item is read from a state of zero."""
    plain = a_model(text="abc\n", items=items, labels=labels)
    vocabulary = plain.vocabulary.with_specials(specials)
    model = CharLM(replace(plain.model.shape, vocabulary_size=vocabulary.size), seed=4)
    return replace(plain, vocabulary=vocabulary, model=model)


def bits_of_item(loaded: LoadedModel, start: int, text: str) -> list[float]:
    """Of each character, after what an item begins with."""
    ids = [start, *loaded.vocabulary.encode(text).tolist()]
    scores = logits_of(rounded(loaded, "float16"), ids[:-1]).astype(float)
    of_next = scores[range(len(text)), ids[1:]]
    return list((np.logaddexp.reduce(scores, axis=1) - of_next) / np.log(2))


def test_each_line_of_a_list_is_read_from_its_beginning(browser: WriterBrowser, tmp_path: Path):
    loaded = of_items("lines", ())
    browser.open(loaded, tmp_path)
    browser.put("abba\ncab")
    end = int(loaded.vocabulary.encode("\n")[0])
    expected = bits_of_item(loaded, end, "abba\n") + bits_of_item(loaded, end, "cab")
    np.testing.assert_allclose(browser.wait("page.reader.bits"), expected, rtol=0, atol=1e-4)


def test_the_end_of_an_item_ends_the_writing(browser: WriterBrowser, tmp_path: Path):
    loaded = of_items("paragraphs", ("end",))
    browser.open(loaded, tmp_path)
    end = loaded.vocabulary.size - 1
    browser.put("abc")
    expected = bits_of_item(loaded, end, "abc")
    np.testing.assert_allclose(browser.wait("page.reader.bits"), expected, rtol=0, atol=1e-4)
    (sign,) = [b for b in browser.next_ones() if b.get_attribute("data-id") == str(end)]
    assert sign.text.startswith("end")
    assert not sign.is_enabled()
    browser.wait("page.reader.model.b_y[args[0]] = 3", end)
    browser.put("ab")
    browser.set(length=1000, seed=1, temperature=1)
    assert len(browser.write()) < 100


def test_a_label_is_chosen(browser: WriterBrowser, tmp_path: Path):
    loaded = of_items("lines", ("label:<b>", "label:spam"), labels=True)
    browser.open(loaded, tmp_path)
    browser.put("ab")
    for option, number in (("<b>", 4), ("spam", 5)):
        browser.find(f"#label option:nth-child({number - 3})").click()
        assert browser.shown("label") == "<b>spam"
        assert browser.run("return document.getElementById('label').value") == option
        browser.wait("await page.follow()")
        expected = bits_of_item(loaded, number, "ab")
        np.testing.assert_allclose(browser.wait("page.reader.bits"), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [WIDE, (800, 900), NARROW], ids=["wide", "middle", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_in_both_schemes(
    size: tuple[int, int], scheme: str, browser: WriterBrowser, tmp_path: Path
):
    browser.open(a_model(), tmp_path, size=size, scheme=scheme)
    browser.put("A line that is long enough to be broken, " * 5 + "x" * 300)
    assert browser.run("return document.documentElement.scrollWidth") <= size[0]
    assert browser.is_dark() == (scheme == "dark")


CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const luminance = (colour) => {
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => {
    const c = part / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const groundOf = (element) => {
  const ground = getComputedStyle(element).backgroundColor;
  return ground === "rgba(0, 0, 0, 0)" ? groundOf(element.parentElement) : ground;
};
return [...document.querySelectorAll(arguments[0])].map((element) => {
  const [a, b] = [getComputedStyle(element).color, groundOf(element)].map(luminance);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
});
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_enough(scheme: str, browser: WriterBrowser, tmp_path: Path):
    """4.5 to 1 and more, as WCAG 2.1 asks of text: whatever the surprise."""
    browser.open(a_model(), tmp_path, scheme=scheme)
    browser.run("""for (let level = 0; level <= 8; level++) $("shaded").append(
        make("span", { textContent: "a", className: `s${level}` }));""")
    named = "h1, h2, p, label, button:enabled, textarea, #shaded span, #next span"
    ratios = browser.run(CONTRAST, named)
    assert len(ratios) > 30
    assert min(ratios) >= 4.5


def test_everything_has_a_name(browser: WriterBrowser, tmp_path: Path):
    browser.open(a_model(), tmp_path)
    browser.put("The ")
    assert not browser.find("#label").is_displayed()
    for element in browser.driver.find_elements(By.CSS_SELECTOR, "button, input, textarea"):
        assert element.accessible_name
    assert browser.find("#text").accessible_name == "Text"
    assert browser.find("#shaded").accessible_name.startswith("How much each character")
    assert browser.find("#status").aria_role == "status"


def test_little_moves_where_little_may(browser: WriterBrowser, tmp_path: Path):
    browser.open(a_model(hidden_size=64), tmp_path)
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    changes = """await (async () => {
        let count = 0;
        const put = page.put;
        page.put = (text) => { count++; put.call(page, text); };
        await page.write();
        return count;
    })()"""
    browser.set(length=1500)
    began = time.monotonic()
    count = browser.wait(changes)
    assert count <= 2 + (time.monotonic() - began) / 0.5


def test_weights_that_compute_nothing_finite(browser: WriterBrowser, tmp_path: Path):
    browser.open(a_model(), tmp_path)
    browser.wait("page.reader.model.b_y.fill(Infinity)")
    browser.put("The")
    assert "infinite" in browser.shown("status")
    browser.write()
    assert "infinite" in browser.shown("status")
    assert browser.text() == "The"


def test_it_writes_500_characters_a_second(browser: WriterBrowser, tmp_path: Path):
    """Others may have the processor for most of the time: the best of many short texts."""
    browser.open(a_model(hidden_size=128), tmp_path)
    browser.set(length=100)
    seconds = """await (async () => {
        const start = performance.now();
        await page.write();
        return (performance.now() - start) / 1000;
    })()"""
    assert any(100 / browser.wait(seconds) > 500 for _ in range(20))


def test_the_file_needs_nothing_else(browser: WriterBrowser, tmp_path: Path):
    loaded = replace(a_model(), path=Path("runs/s/best.safetensors"))
    path = browser.open(loaded, tmp_path)
    assert facts_of(path.read_text(encoding="utf-8"))["step"] == 1234
    log = [json.loads(e["message"])["message"] for e in browser.driver.get_log("performance")]
    asked = [
        m["params"]["request"]["url"] for m in log if m["method"] == "Network.requestWillBeSent"
    ]
    assert set(asked) <= {path.as_uri(), "data:,"}
    script = "await fetch('https://example.com/').then(() => 'sent', () => 'refused')"
    assert browser.wait(script) == "refused"
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())
