// The equations of nn/lstm.py and nn/layer_norm_lstm.py for one text, one character at a time.

const CELLS = {
  "lstm": { squash: Math.tanh, isNormed: false },
  "simple": { squash: (c) => c, isNormed: false },
  "layer-norm": { squash: Math.tanh, isNormed: true },
};

const INPUT_GATES = { "free": (i, f) => i, "capped": (i, f) => Math.min(i, 1 - f) };

const sigmoid = (a) => 1 / (1 + Math.exp(-a));

// out[r] += the dot product of row r of W with x. Four sums at a time do not wait for each other.
function addProduct(W, x, out) {
  const columns = x.length;
  for (let r = 0, w = 0; r < out.length; r++) {
    let s0 = 0, s1 = 0, s2 = 0, s3 = 0, k = 0;
    for (; k + 4 <= columns; k += 4, w += 4) {
      s0 += W[w] * x[k];
      s1 += W[w + 1] * x[k + 1];
      s2 += W[w + 2] * x[k + 2];
      s3 += W[w + 3] * x[k + 3];
    }
    for (; k < columns; k++, w++) s0 += W[w] * x[k];
    out[r] += s0 + s1 + s2 + s3;
  }
}

function normalise(a, gain, shift) {
  let mean = 0, variance = 0;
  for (const value of a) mean += value / a.length;
  for (const value of a) variance += (value - mean) ** 2 / a.length;
  const r = 1 / Math.sqrt(variance + facts.epsilon);
  for (let u = 0; u < a.length; u++) a[u] = gain[u] * (a[u] - mean) * r + shift[u];
}

class Layer {
  static async load(number) {
    const layer = new Layer();
    const name = (part) => `lstm.${number}.${part}`;
    Object.assign(layer, CELLS[facts.cell]);
    layer.bounded = INPUT_GATES[facts.inputGate];
    layer.W_x = await matrix(name("W_x"));
    layer.W_h = await matrix(name("W_h"));
    for (const part of layer.isNormed ? ["gain", "shift", "gain_c", "shift_c"] : ["b"]) {
      layer[part] = await array(name(part));
    }
    const H = facts.units;
    layer.a = new Float32Array(4 * H);  // pre-activations of o, i, f, g
    layer.gates = [0, 1, 2, 3].map((k) => layer.a.subarray(k * H, (k + 1) * H));
    layer.h = new Float32Array(H);
    layer.c = new Float32Array(H);
    return layer;
  }

  // `addInput(W_x, a)` adds the input's part to the pre-activations.
  step(addInput) {
    const { a, h, c, gates: [o, i, f, g] } = this;
    if (this.isNormed) a.fill(0);
    else a.set(this.b);
    addInput(this.W_x, a);
    addProduct(this.W_h, h, a);
    if (this.isNormed) this.normaliseGates();
    for (let u = 0; u < c.length; u++) {
      const keep = sigmoid(f[u]);
      c[u] = keep * c[u] + this.bounded(sigmoid(i[u]), keep) * Math.tanh(g[u]);
    }
    if (this.isNormed) normalise(c, this.gain_c, this.shift_c);
    for (let u = 0; u < c.length; u++) h[u] = sigmoid(o[u]) * this.squash(c[u]);
    return h;
  }

  normaliseGates() {
    const H = facts.units;
    this.gates.forEach((gate, k) => {
      const place = [k * H, (k + 1) * H];
      normalise(gate, this.gain.subarray(...place), this.shift.subarray(...place));
    });
  }
}

class Model {
  static async load() {
    const model = new Model();
    model.E = exists("embedding.E") ? await matrix("embedding.E") : null;
    model.layers = [];
    for (let number = 0; number < facts.layers; number++) model.layers.push(await Layer.load(number));
    model.W_y = await matrix("linear.W_y");
    model.b_y = await array("linear.b_y");
    model.size = model.b_y.length;
    if (!model.E) model.layers[0].W_x = transposed(model.layers[0].W_x, model.size);
    model.logits = new Float32Array(model.size);
    return model;
  }

  // Reads a character; the logits of what may follow, which the next step overwrites.
  step(id) {
    const outputs = [this.layers[0].step((W_x, a) => this.addCharacter(id, W_x, a))];
    for (const layer of this.layers.slice(1)) {
      const h = outputs.at(-1);
      const x = facts.skips ? joined([h, this.embedded(id)]) : h;
      outputs.push(layer.step((W_x, a) => addProduct(W_x, x, a)));
    }
    this.logits.set(this.b_y);
    addProduct(this.W_y, facts.skips ? joined(outputs) : outputs.at(-1), this.logits);
    return this.logits;
  }

  embedded(id) {
    const E = this.E.length / this.size;
    return this.E.subarray(id * E, (id + 1) * E);
  }

  addCharacter(id, W_x, a) {
    if (this.E) {
      addProduct(W_x, this.embedded(id), a);
    } else {
      for (let k = 0, w = id * a.length; k < a.length; k++, w++) a[k] += W_x[w];
    }
  }

  forget() {
    for (const { h, c } of this.layers) {
      h.fill(0);
      c.fill(0);
    }
  }

  state() {
    return this.layers.map(({ h, c }) => [h.slice(), c.slice()]);
  }

  restore(state) {
    this.layers.forEach(({ h, c }, number) => {
      h.set(state[number][0]);
      c.set(state[number][1]);
    });
  }
}

function joined(arrays) {
  const all = new Float32Array(arrays.reduce((size, array) => size + array.length, 0));
  let start = 0;
  for (const array of arrays) {
    all.set(array, start);
    start += array.length;
  }
  return all;
}

// A one-hot input picks a column: made a row, it is found in one place.
function transposed(W, columns) {
  const rows = W.length / columns;
  const result = new Float32Array(W.length);
  for (let r = 0; r < rows; r++) {
    for (let k = 0; k < columns; k++) result[k * rows + r] = W[r * columns + k];
  }
  return result;
}
