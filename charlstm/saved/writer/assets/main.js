// What the reader of the page does, and what happens then.

const $ = (id) => document.getElementById(id);
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");
const CALM = 500;  // milliseconds between changes of the screen where little may move
const NAMED = 5;
const SHARE = 5;  // showing a long text takes at most one of so many parts of the time

class Page {
  constructor(model) {
    this.alphabet = Alphabet.of(facts.unit);
    this.reader = new Reader(model, this.alphabet);
    this.shading = new Shading($("shaded"));
    this.next = new NextCharacters($("next"), this.alphabet, (id) => this.append(id));
    this.isWriting = false;
    this.before = null;  // the text before the model wrote
    this.drawn = 0;  // when, and how long it took
    this.cost = 0;
  }

  // The text is another one.
  async follow() {
    const isRead = await this.attempt(() => this.reader.follow($("text").value, (share) => {
      if (this.mayDraw()) this.draw();
      if (share < 1) this.say(`Reading, ${10 * Math.floor(10 * share)} %`);
    }));
    if (!isRead) return false;
    this.draw();
    this.next.show(this.reader.logits);
    this.say(this.unknown());
    return true;
  }

  append(id) {
    this.forgetBefore();
    this.put(this.reader.characterFrom(id));
    return this.follow();
  }

  put(text) {
    const element = $("text"), end = element.value.length;
    element.setRangeText(text, end, end, "end");
    element.scrollTop = element.scrollHeight;
  }

  async write() {
    if (!await this.follow()) return;
    const seed = this.seed(), length = this.length(), start = performance.now();
    const before = this.reader.ids.length;
    this.begin();
    const isWhole = await this.attempt(() => this.writeFrom(seed, length));
    const count = this.reader.ids.length - before, seconds = (performance.now() - start) / 1000;
    this.flush();
    this.showWriting(false);
    if (isWhole && await this.follow()) {
      const made = `${count.toLocaleString("en")} ${facts.unit} in ${seconds.toFixed(1)} s`;
      this.say(`${made}, seed ${seed}. ${this.unknown()}`);
    }
  }

  async writeFrom(seed, length) {
    for (const text of this.reader.write(length, Number($("temperature").value), seed)) {
      this.pending += text;
      if (performance.now() > this.sliceEnd) await this.pause();
      if (!this.isWriting) break;
    }
    return true;
  }

  begin() {
    this.before = $("text").value;
    this.pending = "";
    this.sliceEnd = performance.now() + SLICE;
    this.showWriting(true);
    this.say("Writing …");
  }

  async pause() {
    if (this.mayDraw()) this.flush();
    await breath();
    this.sliceEnd = performance.now() + SLICE;
  }

  mayDraw() {
    const rest = Math.max(isCalm.matches ? CALM : 0, SHARE * this.cost);
    return performance.now() > this.drawn + rest;
  }

  flush() {
    const start = performance.now();
    this.put(this.pending);
    this.pending = "";
    this.draw();
    $("shaded").scrollTop = $("shaded").scrollHeight;
    this.cost = performance.now() - start;
  }

  showWriting(is) {
    this.isWriting = is;
    $("text").readOnly = $("label").disabled = is;
    $("text").setAttribute("aria-busy", String(is));
    $("write").textContent = is ? "Stop" : "Write";
    for (const button of $("next").children) button.inert = is;
    $("back").disabled = is || this.before === null;
  }

  takeBack() {
    $("text").value = this.before;
    this.forgetBefore();
    $("text").focus();
    return this.follow();
  }

  forgetBefore() {
    this.before = null;
    $("back").disabled = true;
  }

  seed() {
    const typed = $("seed").value.trim();
    if (/^\d+$/.test(typed)) return Math.min(Number(typed), 2 ** 32 - 1);
    return crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;
  }

  length() {
    const { value, max } = $("length");
    return Math.min(Math.max(1, Math.floor(Number(value)) || 1), Number(max));
  }

  draw() {
    this.shading.draw(this.reader);
    const mean = this.reader.meanBits(), one = facts.unit === "bytes" ? "byte" : "character";
    $("mean").textContent = Number.isNaN(mean) ? "" : `${mean.toFixed(3)} bits a ${one} on average`;
    this.drawn = performance.now();
  }

  unknown() {
    const lacking = new Set(this.reader.pieces.filter((p) => !p.ids.length).map((p) => p.text));
    if (!lacking.size) return "";
    const named = Array.from(lacking).map((text) => `${signOf(text)} (${nameOf(text.codePointAt(0))})`);
    const more = named.length > NAMED ? ` and ${named.length - NAMED} more` : "";
    return `Left out, for the model does not know them: ${named.slice(0, NAMED).join(", ")}${more}.`;
  }

  say(text) {
    if ($("status").textContent !== text) $("status").textContent = text;
  }

  async attempt(action) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof Overflow)) throw error;
      this.say(error.message);
      return false;
    }
  }

  listen() {
    $("text").oninput = () => {
      this.forgetBefore();
      return this.follow();
    };
    $("label").onchange = () => {
      this.reader.beginWith(facts.starts[$("label").selectedIndex].ids);
      return this.follow();
    };
    $("write").onclick = () => this.toggle();
    $("back").onclick = () => this.takeBack();
    $("temperature").oninput = () => { $("shown").textContent = Number($("temperature").value).toFixed(2); };
    document.onkeydown = (event) => {
      if (event.key === "Escape") this.isWriting = false;
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.toggle();
    };
  }

  toggle() {
    if (this.isWriting) this.isWriting = false;
    else return this.write();
  }
}

function describe() {
  const many = (count) => count.toLocaleString("en");
  document.title = $("title").textContent = `${facts.name} writes`;
  $("about").textContent = `${facts.cell} ${facts.layers} × ${facts.units}, ${many(facts.parameters)} parameters, `
    + `${many(facts.codes.length)} ${facts.unit}, step ${many(facts.step)} of its training. All of it is in this file.`;
}

function offerLabels() {
  $("label").append(...facts.starts.map(({ label }) => make("option", { textContent: label })));
  $("label").parentElement.hidden = facts.starts.length < 2;
}

async function start() {
  describe();
  offerLabels();
  const page = new Page(await Model.load());
  page.listen();
  await page.follow();
  $("write").disabled = false;
  document.documentElement.dataset.ready = "yes";
  return page;
}

const started = start();
