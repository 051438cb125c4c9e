// The text: one span for each character, one row for each line and item, colours by class.

class TextView {
  constructor(element) {
    this.element = element;
    this.spans = [];
    this.levels = [];
    const all = document.createDocumentFragment();
    const begins = new Set(facts.begins);
    let row = null;
    facts.text.characters.forEach((character, n) => {
      if (row === null || begins.has(n)) {
        row = document.createElement("div");
        row.className = "row";
        all.append(row);
      }
      const span = document.createElement("span");
      span.textContent = character === "\n" ? "↵" : character;
      span.place = n;
      this.spans.push(span);
      this.levels.push("");
      row.append(span);
      if (character === "\n" && !begins.has(n)) row = null;
    });
    element.replaceChildren(all);
  }

  // `level(n)`: a whole number from -levels to levels.
  colour(level) {
    this.spans.forEach((span, n) => {
      let name = `v${level(n) + facts.levels}`;
      if (facts.text.characters[n] === "\n") name += " end";
      if (facts.text.characters[n] === "") name += " part";
      if (name === this.levels[n]) return;
      this.levels[n] = name;
      span.className = name;
    });
  }

  placeOf(target) {
    return target instanceof Element && target.place !== undefined ? target.place : null;
  }

  mark(name, place) {
    for (const span of this.element.getElementsByClassName(name)) span.classList.remove(name);
    if (place !== null) this.spans[place].classList.add(name);
  }
}

function levelOf(value) {
  const level = Math.round(value * facts.levels);
  return Math.max(-facts.levels, Math.min(facts.levels, level)) || 0;
}
