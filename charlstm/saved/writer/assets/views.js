// What is shown of a reader: its text shaded by surprise, and what it expects next.

const MOST_BITS = 8;  // so many, or more, have the full colour
const SHOWN = 8;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// A row for each line: what is added at the end moves nothing above it.
class Shading {
  constructor(element) {
    this.element = element;
    this.shown = [];
    this.spans = [];
  }

  // As far as the reader has come. Pieces that are shown already stay.
  draw({ pieces, bits }) {
    let n = 0, read = 0;
    while (n < this.shown.length && this.shown[n] === pieces[n]) read += pieces[n++].ids.length;
    this.cut(n);
    for (; n < pieces.length && read + pieces[n].ids.length <= bits.length; n++) {
      this.add(pieces[n], bits.slice(read, read += pieces[n].ids.length));
    }
  }

  cut(count) {
    for (const span of this.spans.splice(count)) {
      const row = span.parentElement;
      span.remove();
      if (!row.hasChildNodes()) row.remove();
    }
    this.shown.length = count;
  }

  add(piece, bits) {
    if (!this.shown.length || this.shown.at(-1).text === "\n") {
      this.element.append(make("div", { className: "row" }));
    }
    const span = this.span(piece, bits);
    this.element.lastChild.append(span);
    this.shown.push(piece);
    this.spans.push(span);
  }

  span({ text, ids }, bits) {
    const surprise = bits.reduce((sum, more) => sum + more, 0);
    const title = ids.length ? Shading.title(text, surprise) : `${signOf(text)}: not in the vocabulary`;
    return make("span", { textContent: inText(text), title, className: Shading.level(ids, surprise) });
  }

  static title(text, surprise) {
    if (Number.isNaN(surprise)) return `${signOf(text)}: nothing is read before it`;
    return `${signOf(text)}: ${surprise.toFixed(2)} bits`;
  }

  static level(ids, surprise) {
    if (!ids.length) return "unknown";
    return Number.isNaN(surprise) ? "s0" : `s${Math.round(Math.min(MOST_BITS, surprise))}`;
  }
}

class NextCharacters {
  constructor(element, alphabet, take) {
    this.alphabet = alphabet;
    this.buttons = Array.from({ length: SHOWN }, () => make(
      "button", { type: "button" }, make("kbd"), make("span"), make("i")));
    for (const button of this.buttons) {
      button.onclick = () => take(Number(button.dataset.id));
    }
    element.replaceChildren(...this.buttons);
  }

  show(logits) {
    const total = logSum(logits);
    const ids = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
    this.buttons.forEach((button, rank) => {
      button.hidden = rank >= ids.length;
      if (!button.hidden) this.fill(button, ids[rank], Math.exp(logits[ids[rank]] - total));
    });
  }

  fill(button, id, probability) {
    const percent = `${(100 * probability).toFixed(1)} %`;
    const [sign, share, bar] = button.children;
    button.dataset.id = id;
    button.disabled = !this.alphabet.begins(id);
    button.setAttribute("aria-label", `${this.alphabet.word(id)}, ${percent}`);
    sign.textContent = this.alphabet.sign(id);
    share.textContent = percent;
    bar.style.width = `calc(${probability} * (100% - 16px))`;
  }
}
