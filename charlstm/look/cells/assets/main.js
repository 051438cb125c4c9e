// What is chosen, and what the reader does.

const SURPRISE = "surprise";
const MOST_BITS = 8;  // a surprise of so many bits, or more, has the full colour
const DRAWN_DECADES = 2;  // a gradient of a hundredth of the strongest has no colour

const $ = (id) => document.getElementById(id);
const isNarrow = matchMedia("(max-width: 900px)");

class Page {
  constructor(network, readings) {
    this.network = network;
    this.readings = readings;
    this.text = new TextView($("text"));
    this.card = new Card($("card"), readings);
    this.state = { layer: 0, unit: 0, quantity: "c" };
    this.here = null;
    this.chosen = null;
  }

  choose(change) {
    Object.assign(this.state, change);
    this.chosen = null;
    this.card.hide();
    this.draw();
  }

  walk(step) {
    const all = facts.layers * facts.units;
    const place = (this.state.layer * facts.units + this.state.unit + step + all) % all;
    this.choose({ layer: Math.floor(place / facts.units), unit: place % facts.units });
  }

  draw() {
    const { layer, unit, quantity } = this.state;
    for (const button of $("quantities").children) {
      button.setAttribute("aria-pressed", String(button.dataset.quantity === quantity));
    }
    $("layer").value = layer;
    $("unit").value = unit;
    const isSurprise = quantity === SURPRISE;
    this.values = isSurprise ? this.readings.surprise : this.network.unit(layer, unit)[quantity];
    const top = this.top();
    this.text.colour((n) => levelOf((this.values[n] || 0) / top));
    this.text.mark("chosen", null);
    this.legend(isSurprise || facts.sigmoids.includes(quantity) ? 0 : -top, top, isSurprise ? " bits" : "");
    showSelection(layer, unit);
  }

  top() {
    if (this.state.quantity === SURPRISE) return MOST_BITS;
    if (!$("stretch").checked) return 1;
    return this.values.reduce((top, value) => Math.max(top, Math.abs(value)), 0) || 1;
  }

  legend(low, high, unit) {
    const digits = Number.isInteger(high) ? 0 : 3;
    const text = (value) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(digits) + unit;
    $("low").textContent = text(low);
    $("high").textContent = text(high);
    $("scale").replaceChildren();
    for (let level = low < 0 ? -facts.levels : 0; level <= facts.levels; level += 2) {
      $("scale").append(make("i", { className: `v${level + facts.levels}` }));
    }
  }

  point(place) {
    if (this.chosen !== null) return;
    this.here = place;
    this.text.mark("here", place);
    if (place === null) this.card.hide();
    else this.card.show(place, this.text.spans[place], this.quantityName(), this.values[place]);
  }

  quantityName() {
    const name = facts.quantities[this.state.quantity];
    return name ? name.split(", ")[0] : "";
  }

  reachFrom(place) {
    const row = Math.min(Math.max(Math.round(place / facts.interval), 1),
      this.readings.largest.length) - 1;
    if (row < 0) return null;
    const codes = this.readings.saliency.subarray(row * facts.reach, (row + 1) * facts.reach);
    const shares = Array.from(codes, (code) => (code ? 2 ** ((code - 255) / facts.saliencySteps) : 0));
    return { place: (row + 1) * facts.interval, shares, largest: this.readings.largest[row] };
  }

  pin(place) {
    const reach = this.reachFrom(place);
    if (reach === null || this.chosen === reach.place) return this.unpin();
    if (this.chosen !== null) this.unpin();
    place = reach.place;
    this.text.mark("here", null);
    this.text.colour((n) => {
      const share = n < place ? reach.shares[place - 1 - n] || 0 : 0;
      return share ? levelOf(Math.max(0, 1 + Math.log10(share) / DRAWN_DECADES)) : 0;
    });
    this.text.mark("chosen", place);
    this.card.pin(place, this.text.spans[place], this.quantityName(), this.values[place], reach,
      () => this.unpin(), (other) => this.text.mark("here", other));
    this.chosen = this.here = place;
  }

  unpin() {
    if (this.chosen === null) return;
    this.chosen = null;
    this.card.hide();
    this.draw();
    this.text.mark("here", null);
  }

  move(step) {
    const place = this.here === null ? 0 : this.here + step;
    this.unpin();
    this.point(Math.max(0, Math.min(facts.text.characters.length - 1, place)));
    this.text.spans[this.here].scrollIntoView({ block: "nearest" });
  }
}

function describe() {
  const { about, text } = facts;
  const size = `${facts.layers} × ${facts.units} units, ${facts.cell}`;
  const cut = text.cut ? "the first " : "";
  $("about").textContent = `${about.name}, step ${about.step.toLocaleString("en")}: ${size}. `
    + `Reads ${cut}${count()} characters of ${text.name} `
    + `at ${facts.bitsPerChar.toFixed(3)} bits per character.`;
  $("fidelity").textContent = `The page keeps h in ${facts.scales.bits} bits and works out the `
    + "gates and the cell from it; colours may be a step off. Correlations, surprise and reach "
    + "were computed without rounding.";
  document.title = `charlstm look: ${text.name}`;
}

function buildControls(page) {
  const names = { ...facts.quantities, [SURPRISE]: "surprise, in bits" };
  for (const [quantity, name] of Object.entries(names)) {
    const button = make("button", { textContent: name.split(",")[0], title: name });
    button.dataset.quantity = quantity;
    button.onclick = () => page.choose({ quantity });
    $("quantities").append(button);
  }
  for (let layer = 0; layer < facts.layers; layer++) {
    $("layer").append(make("option", { value: layer, textContent: layer }));
  }
  $("unit").max = facts.units - 1;
  $("layer").onchange = () => { page.choose({ layer: Number($("layer").value) }); $("layer").blur(); };
  $("unit").onchange = () => {
    const unit = Math.round(Number($("unit").value)) || 0;
    page.choose({ unit: Math.max(0, Math.min(facts.units - 1, unit)) });
  };
  $("stretch").onchange = () => page.choose({});
  $("previous").onclick = () => page.walk(-1);
  $("next").onclick = () => page.walk(1);
}

function listen(page) {
  const text = $("text");
  text.onpointerover = (event) => page.point(page.text.placeOf(event.target));
  text.onpointerleave = () => page.point(null);
  text.onclick = (event) => {
    const place = page.text.placeOf(event.target);
    if (place === null) page.unpin();
    else page.pin(place);
  };
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("select, input[type=number]") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape") page.unpin();
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const step = event.key === "ArrowLeft" ? -1 : 1;
      if (event.shiftKey) page.move(step);
      else page.walk(step);
      event.preventDefault();
    } else if (event.key === "Enter" && page.here !== null && event.target === text) page.pin(page.here);
  });
}

function keepBelowHeader() {
  const header = document.querySelector("header");
  const set = () => document.documentElement.style
    .setProperty("--below-header", `${header.offsetHeight + 14}px`);
  new ResizeObserver(set).observe(header);
}

async function start() {
  const readings = {
    surprise: await array("surprise"), likeliest: await array("likeliest"),
    probabilities: await array("probabilities"), saliency: await array("saliency"),
    largest: await array("largest"),
  };
  const network = await Network.load();
  readings.ids = network.ids;
  readings.label = (place) => facts.vocabulary[readings.ids[place]];
  if (isNarrow.matches) for (const part of document.querySelectorAll("aside details")) part.open = false;
  const page = new Page(network, readings);
  describe();
  buildControls(page);
  showTellingCells((layer, unit, quantity) => page.choose({ layer, unit, quantity }));
  showGatePlots((layer, unit, quantity) => page.choose({ layer, unit, quantity }));
  listen(page);
  keepBelowHeader();
  const [layer, unit] = facts.best ?? [0, 0];
  page.choose({ layer, unit });
  document.documentElement.dataset.ready = "yes";
  return page;
}

const started = start();
started.catch((error) => {
  $("text").textContent = `This page cannot be shown (${error.message}). `
    + "It needs a browser of 2023 or newer.";
});
