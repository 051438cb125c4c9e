// The arrays of the page: base64, deflated, one byte plane after the other (see packing.py).

const facts = JSON.parse(document.getElementById("facts").textContent);

const ARRAYS = {
  Uint8: Uint8Array, Uint16: Uint16Array, Uint32: Uint32Array,
  Int16: Int16Array, Float32: Float32Array,
};

function exists(name) {
  return document.getElementById(name) !== null;
}

async function array(name) {
  const element = document.getElementById(name);
  const planes = await inflated(bytesOf(element.textContent));
  element.remove();  // tens of megabytes of text that nobody reads again
  const type = ARRAYS[element.dataset.kind];
  const size = type.BYTES_PER_ELEMENT;
  if (size === 1) return planes;
  const bytes = new Uint8Array(planes.length);
  const count = planes.length / size;
  for (let plane = 0; plane < size; plane++) {
    for (let n = 0; n < count; n++) bytes[n * size + plane] = planes[plane * count + n];
  }
  return new type(bytes.buffer);
}

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) bytes[n] = text.charCodeAt(n);
  return bytes;
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
