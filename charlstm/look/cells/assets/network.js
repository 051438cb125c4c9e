// One unit's gates and cell for the whole text, worked out from the outputs h of all units of the
// step before and of the layer below: the equations of nn/lstm.py and nn/layer_norm_lstm.py.

class Network {
  static async load() {
    const network = new Network();
    network.T = facts.text.characters.length;
    network.ids = await array("ids");
    network.layers = [];
    for (let number = 0; number < facts.layers; number++) {
      network.layers.push({
        h: await array(`h-${number}`),
        weights: await array(`weights-${number}`),
        weightScales: await array(`weight-scales-${number}`),
        affine: await array(`affine-${number}`),
        anchors: await array(`anchors-${number}`),
        norms: exists(`norms-${number}`) ? await array(`norms-${number}`) : null,
      });
    }
    network.begins = new Uint8Array(network.T);  // 1 where nothing comes before
    for (const place of facts.begins) network.begins[place] = 1;
    network.latest = { key: "", values: null };
    return network;
  }

  // {c, h, i, f, o, g}, each a Float32Array over the text; c stands for tanh(c).
  unit(number, unit) {
    const key = `${number} ${unit}`;
    if (this.latest.key !== key) {
      const gates = this.activate(this.preActivations(number, unit), number, unit);
      const values = { c: this.cell(gates, number, unit), h: this.output(number, unit) };
      facts.gates.forEach((gate, k) => { values[gate] = gates[k]; });
      this.latest = { key, values };
    }
    return this.latest.values;
  }

  output(number, unit) {
    const scale = facts.scales.h[number][unit];
    return Float32Array.from(this.row(number, unit), (code) => (code - facts.scales.half) * scale);
  }

  row(number, unit) {
    return this.layers[number].h.subarray(unit * this.T, (unit + 1) * this.T);
  }

  preActivations(number, unit) {
    const layer = this.layers[number];
    const columns = layer.weights.length / (4 * facts.units);
    const below = number > 0 ? facts.units : 0;
    const weights = [0, 1, 2, 3].map((k) => {
      const start = (unit * 4 + k) * columns;
      const scale = layer.weightScales[unit * 4 + k];
      return Float32Array.from(layer.weights.subarray(start, start + columns), (w) => w * scale);
    });
    const readsCharacters = number === 0 || facts.skips;
    const sums = weights.map((w) => readsCharacters
      ? Float32Array.from(this.ids, (id) => w[below + id]) : new Float32Array(this.T));
    if (number > 0) this.addOutputs(sums, weights, 0, number - 1, 0);
    this.addOutputs(sums, weights, columns - facts.units, number, 1);
    return sums;
  }

  // Adds to each gate's sums what the outputs of a layer, `delay` steps before, give it.
  addOutputs(sums, weights, first, number, delay) {
    const [s0, s1, s2, s3] = sums;
    for (let j = 0; j < facts.units; j++) {
      const [w0, w1, w2, w3] = weights.map((w) => w[first + j] * facts.scales.h[number][j]);
      const codes = this.row(number, j);
      for (let t = delay; t < this.T; t++) {
        if (delay && this.begins[t]) continue;
        const h = codes[t - delay] - facts.scales.half;
        s0[t] += w0 * h;
        s1[t] += w1 * h;
        s2[t] += w2 * h;
        s3[t] += w3 * h;
      }
    }
  }

  activate(sums, number, unit) {
    const { affine, norms } = this.layers[number];
    sums.forEach((sum, k) => {
      const gain = affine[k * facts.units + unit];
      const shift = affine[(4 + k) * facts.units + unit];
      const isSigmoid = facts.sigmoids.includes(facts.gates[k]);
      for (let t = 0; t < this.T; t++) {
        const a = sum[t] * (norms ? norms[k * this.T + t] : 1) * gain + shift;
        sum[t] = isSigmoid ? 1 / (1 + Math.exp(-a)) : Math.tanh(a);
      }
    });
    if (facts.inputGate === "capped") this.cap(sums);
    return sums;
  }

  cap(gates) {
    const [i, f] = ["i", "f"].map((gate) => gates[facts.gates.indexOf(gate)]);
    for (let t = 0; t < this.T; t++) i[t] = Math.min(i[t], 1 - f[t]);
  }

  cell(gates, number, unit) {
    const { affine, norms, anchors } = this.layers[number];
    const [i, f, g] = ["i", "f", "g"].map((gate) => gates[facts.gates.indexOf(gate)]);
    const gain = affine[8 * facts.units + unit];
    const shift = affine[9 * facts.units + unit];
    const perUnit = Math.floor(this.T / facts.anchor);
    const squashed = new Float32Array(this.T);
    let c = 0;
    for (let t = 0; t < this.T; t++) {
      c = (this.begins[t] ? 0 : f[t] * c) + i[t] * g[t];
      if (norms) c = (c - norms[4 * this.T + t]) * norms[5 * this.T + t] * gain + shift;
      if ((t + 1) % facts.anchor === 0) {
        c = anchors[unit * perUnit + (t + 1) / facts.anchor - 1] * facts.scales.anchors[number];
      }
      squashed[t] = Math.tanh(c);
    }
    return squashed;
  }
}
