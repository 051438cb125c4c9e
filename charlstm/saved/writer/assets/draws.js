// The very numbers that `charlstm sample --seed` draws: numpy.random.default_rng([seed, 0]).random()
// (PCG64 XSL-RR, O'Neill 2014, seeded by NumPy's SeedSequence). And what is chosen by them.

class Draws {
  constructor(seed) {
    const words = Draws.expand([seed, 0, 0, 0]);
    const number = (at) => BigInt(words[at]) | (BigInt(words[at + 1]) << 32n);
    this.increment = Draws.wide(((number(4) << 64n | number(6)) << 1n) | 1n);
    this.state = Draws.wide(this.increment + (number(0) << 64n | number(2)));
    this.advance();
  }

  static wide(value) {
    return BigInt.asUintN(128, value);
  }

  // Four words of 32 bits become eight.
  static expand(entropy) {
    const hash = Draws.hasher(0x43b0d7e5, 0x931e8875);
    const pool = entropy.map(hash);
    for (let from = 0; from < 4; from++) {
      for (let to = 0; to < 4; to++) {
        if (from !== to) pool[to] = Draws.mix(pool[to], hash(pool[from]));
      }
    }
    const last = Draws.hasher(0x8b51f9dd, 0x58f38ded);
    return [...pool, ...pool].map((word) => last(word));
  }

  static hasher(constant, factor) {
    return (word) => {
      word ^= constant;
      constant = Math.imul(constant, factor);
      word = Math.imul(word, constant);
      return (word ^ (word >>> 16)) >>> 0;
    };
  }

  static mix(a, b) {
    const mixed = Math.imul(0xca01f9dd, a) - Math.imul(0x4973f715, b);
    return (mixed ^ (mixed >>> 16)) >>> 0;
  }

  advance() {
    this.state = Draws.wide(this.state * 0x2360ed051fc65da44385df649fccf645n + this.increment);
  }

  // Uniform in [0, 1).
  next() {
    this.advance();
    const word = BigInt.asUintN(64, (this.state >> 64n) ^ this.state);
    const turn = this.state >> 122n;
    const turned = BigInt.asUintN(64, (word >> turn) | (word << (64n - turn)));
    return Number(turned >> 11n) * 2 ** -53;
  }
}

// As nn/sampling.py: the first place where the cumulative weight exceeds the draw.
function choose(logits, temperature, draw) {
  const best = likeliest(logits);
  if (temperature === 0) return best;
  let total = 0;
  const sums = Float64Array.from(logits, (s) => total += Math.exp((s - logits[best]) / temperature));
  return Math.max(0, sums.findIndex((sum) => sum > draw * total));
}

function likeliest(logits) {
  let best = 0;
  for (let n = 1; n < logits.length; n++) if (logits[n] > logits[best]) best = n;
  return best;
}

// The logarithm of the sum of exponentials: log p of n is logits[n] minus it.
function logSum(logits) {
  const most = logits[likeliest(logits)];
  return most + Math.log(logits.reduce((sum, s) => sum + Math.exp(s - most), 0));
}
