// Matrices out of what weights.py made of them.

// A Float32Array, row after row: from levels with a scale for each row, or from half floats.
async function matrix(name) {
  const codes = await array(name);
  if (!exists(`${name}-scale`)) return Float32Array.from(codes, (code) => HALF_FLOATS[code]);
  const scale = await array(`${name}-scale`);
  const columns = codes.length / scale.length;
  return Float32Array.from(codes, (code, n) => (code - 127) * scale[Math.floor(n / columns)]);
}

const HALF_FLOATS = Float32Array.from({ length: 1 << 16 }, (_, bits) => {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
});
