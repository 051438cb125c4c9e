// The card beside a character: what the model thought of it, and what it expects next.

class Card {
  constructor(element, readings) {
    this.element = element;
    this.readings = readings;
  }

  show(place, span, quantity, value) {
    this.element.replaceChildren(this.head(place, quantity, value), ...this.next(place));
    this.element.className = "";
    this.put(span);
  }

  // `reach`: {place, shares, largest}, where shares[s] belongs to the character s + 1 places back.
  pin(place, span, quantity, value, reach, close, point) {
    this.show(place, span, quantity, value);
    this.element.className = "pinned";
    const button = make("button", { className: "close", textContent: "×", title: "Close (Esc)" });
    button.setAttribute("aria-label", "Close");
    button.onclick = close;
    this.element.append(make("h3", { textContent: "Gradient reach" }), ...chart(reach, point));
    this.element.append(button);
    this.put(span);
  }

  hide() {
    this.element.hidden = true;
  }

  head(place, quantity, value) {
    const head = make("div", { className: "head" });
    const bits = this.readings.surprise[place];
    const list = make("dl");
    const entries = [
      ["place", `${(place + 1).toLocaleString("en")} of ${count()}`],
      ["surprise", Number.isNaN(bits) ? "none: nothing is read before it" : `${bits.toFixed(2)} bits`],
    ];
    if (quantity) entries.push([quantity, signed(value)]);
    for (const [name, text] of entries) {
      list.append(make("dt", { textContent: name }), make("dd", { textContent: text }));
    }
    head.append(make("span", { className: "glyph", textContent: this.readings.label(place) }), list);
    return head;
  }

  next(place) {
    const { likeliest, probabilities, ids } = this.readings;
    const next = facts.begins.includes(place + 1) ? facts.end : ids[place + 1];
    const shown = likeliest.length / ids.length;
    const table = make("div", { className: "next" });
    for (let n = place * shown; n < (place + 1) * shown; n++) {
      const probability = probabilities[n] / 65535;
      const isRight = place + 1 < ids.length && next === likeliest[n];
      const bar = make("span", { className: "bar" });
      bar.style.width = `${100 * probability}%`;
      const name = facts.vocabulary[likeliest[n]];
      const percent = `${(100 * probability).toFixed(1)} %`;
      const style = { className: isRight ? "right" : "" };
      table.append(
        make("code", { textContent: isRight ? `✓ ${name}` : name, ...style }), bar,
        make("span", { textContent: percent, ...style }));
    }
    return [make("h3", { textContent: "Expected next" }), table];
  }

  // Below the character, or above it; when pinned at the right, clear of what comes before.
  put(span) {
    const card = this.element;
    card.hidden = false;
    const box = span.getBoundingClientRect();
    const margin = 12;
    const isPinned = card.className === "pinned";
    const rightmost = innerWidth - card.offsetWidth - margin;
    const isRoomBelow = box.bottom + card.offsetHeight + 2 * margin < innerHeight;
    const above = box.top - card.offsetHeight - margin;
    const top = isRoomBelow ? box.bottom + margin
      : isPinned ? innerHeight - card.offsetHeight - margin : above;
    card.style.left = `${isPinned ? rightmost : Math.max(margin, Math.min(box.left - 30, rightmost))}px`;
    card.style.top = `${Math.max(margin, top)}px`;
    if (isNarrow.matches) this.uncover(span);
  }

  // On a narrow screen the card is a sheet at the bottom; the character must not lie under it.
  uncover(span) {
    const hidden = span.getBoundingClientRect().bottom + 24 - this.element.getBoundingClientRect().top;
    if (hidden > 0) scrollBy(0, hidden);
  }
}

// Bars from right to left, on a logarithmic scale: each line down is ten times less.
function chart(reach, point) {
  const width = 352, height = 84, decades = 3, room = 38;  // room: for the scale at the left
  const svg = draw("svg", { viewBox: `0 -2 ${width} ${height + 16}`, class: "reach", role: "img" });
  svg.append(draw("title", {}, "Length of the gradient for each earlier character"));
  for (let n = 0; n <= decades; n++) {
    const y = 2 + (n / decades) * (height - 4);
    svg.append(draw("line", { x1: room, x2: width, y1: y, y2: y, class: "frame" }));
    const share = n ? `1/${10 ** n}` : "1";
    svg.append(draw("text", { x: room - 5, y: y + 3, "text-anchor": "end" }, share));
  }
  const step = (width - room) / reach.shares.length;
  const caption = make("p", { className: "hint", textContent: summary(reach) });
  reach.shares.forEach((share, s) => {
    if (reach.place - 1 - s < 0) return;
    const tall = Math.max(0, 1 + Math.log10(share || 1e-9) / decades) * (height - 4);
    const x = width - (s + 1) * step;
    svg.append(draw("rect", { x, y: height - 2 - tall, width: step * 0.8, height: tall }));
    const all = draw("rect", { x, y: 0, width: step, height, class: "all" });
    const place = reach.place - 1 - s;
    all.onpointerenter = () => {
      point(place);
      caption.textContent = `${s + 1} back: ${(share * reach.largest).toPrecision(3)}, `
        + `${(100 * share).toPrecision(3)} % of the strongest`;
    };
    all.onpointerleave = () => { point(null); caption.textContent = summary(reach); };
    svg.append(all);
  });
  svg.append(draw("text", { x: width, y: height + 10, "text-anchor": "end" }, "1 back"));
  svg.append(draw("text", { x: room, y: height + 10 }, `${reach.shares.length} back`));
  return [svg, caption];
}

function summary(reach) {
  const far = reach.shares.reduce((last, share, s) => (share >= 0.1 ? s : last), 0) + 1;
  const note = facts.interval > 1
    ? ` Computed for every ${facts.interval}th character; this is the nearest.` : "";
  return `How strongly the surprise at this character depends on each one before it. Strongest: `
    + `${reach.largest.toPrecision(3)} nats per unit of the ${facts.input} input; above a tenth `
    + `of that up to ${far} back.${note}`;
}

function count() {
  return facts.text.characters.length.toLocaleString("en");
}

function make(tag, properties = {}) {
  return Object.assign(document.createElement(tag), properties);
}

function draw(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}
