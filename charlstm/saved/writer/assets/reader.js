// Where the model is in a text: what it has read, what that surprised it, what it expects next.

const MARK = 64;  // states are kept so many characters apart: going back reads at most these again
const SLICE = 12;  // milliseconds until the page may do something else

const breath = () => new Promise((resolve) => setTimeout(resolve));

class Reader {
  constructor(model, alphabet) {
    this.model = model;
    this.alphabet = alphabet;
    this.pieces = [];
    this.ids = [];
    this.bits = [];  // NaN where nothing was read before
    this.marks = [];  // marks[k]: the state before id number k * MARK
    this.turn = 0;
    this.start = facts.starts[0].ids;
    this.logits = null;
  }

  // Before a text stands what `charlstm sample` reads where there is no prompt; before each item of
  // a list what the items begin with.
  begin() {
    this.model.forget();
    for (const id of this.start) this.read(id);
  }

  beginWith(start) {
    this.start = start;
    this.keep(0);
    this.begin();
  }

  step(id) {
    if (id === facts.end) this.begin();
    else this.read(id);
  }

  read(id) {
    this.logits = this.model.step(id);
    if (!Number.isFinite(this.logits[likeliest(this.logits)])) throw new Overflow();
  }

  push(id) {
    const { ids, bits, marks, model, logits } = this;
    if (ids.length % MARK === 0) marks.push(model.state());
    bits.push((logSum(logits) - logits[id]) / Math.LN2);
    ids.push(id);
    this.step(id);
  }

  // Back to the first `count` ids.
  keep(count) {
    const { ids, bits, marks, model } = this;
    if (count === ids.length) return;
    const mark = Math.floor(Math.max(0, count - 1) / MARK);
    const again = ids.slice(mark * MARK, count), known = bits.slice(0, count);
    model.restore(marks[mark]);
    ids.length = bits.length = mark * MARK;
    marks.length = mark;
    for (const id of again) this.push(id);
    this.bits = known;
    if (count === 0) this.begin();
  }

  // Reads `text` from where it differs from what was read. False if another text came meanwhile.
  async follow(text, progress) {
    const turn = ++this.turn;
    if (!this.logits) this.begin();
    this.pieces = reused(this.pieces, this.alphabet.pieces(text));
    const ids = this.pieces.flatMap((piece) => piece.ids);
    let place = 0;
    while (place < ids.length && ids[place] === this.ids[place]) place++;
    this.keep(place);
    if (place === 0 && ids.length && facts.end === null) this.readFirst(ids[place++]);
    while (place < ids.length) {
      for (const end = performance.now() + SLICE; place < ids.length && performance.now() < end;) {
        this.push(ids[place++]);
      }
      progress(place / ids.length);
      await breath();
      if (turn !== this.turn) return false;
    }
    return true;
  }

  readFirst(id) {
    this.model.forget();
    this.push(id);
    this.bits[0] = NaN;
  }

  // Texts, one for each character that the model writes; no more after the end of an item.
  *write(length, temperature, seed) {
    const draws = new Draws(seed), decoder = this.alphabet.decoder();
    for (let n = 0, ids = []; n < length; n++) {
      const id = choose(this.logits, temperature, draws.next());
      if (this.alphabet.isReserved(id)) break;
      this.push(id);
      ids.push(id);
      const text = decoder.decode(id);
      if (text) this.pieces.push({ text, ids: ids.splice(0) });
      yield text;
    }
    yield decoder.end();
  }

  // The character that begins with `id`: of several bytes, each is the likeliest after the last.
  characterFrom(id) {
    const { model, alphabet } = this;
    const state = model.state(), logits = this.logits.slice(), decoder = alphabet.decoder();
    let text = decoder.decode(id);
    while (!text) {
      id = likeliest(model.step(id).map((score, next) => alphabet.begins(next) ? -Infinity : score));
      text = decoder.decode(id);
    }
    model.restore(state);
    this.logits.set(logits);
    return text;
  }

  meanBits() {
    const known = this.bits.filter((bits) => !Number.isNaN(bits));
    return known.length ? known.reduce((sum, bits) => sum + bits) / known.length : NaN;
  }
}

// The pieces of a text, those at its beginning that it shares with `before` being the same objects.
function reused(before, pieces) {
  let count = 0;
  while (count < pieces.length && before[count]?.text === pieces[count].text) count++;
  return [...before.slice(0, count), ...pieces.slice(count)];
}

class Overflow extends Error {
  constructor() {
    super("The weights of this model are so large that what they compute is infinite.");
  }
}
