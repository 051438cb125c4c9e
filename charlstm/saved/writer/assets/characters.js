// Text to ids and back: one id a character, or one a byte of its UTF-8.

const SIGNS = new Map([["\n", "↵"], ["\t", "→"], [" ", "␣"], ["\u00a0", "⍽"], ["\x7f", "␡"]]);
const WORDS = new Map([["\n", "line end"], ["\t", "tab"], [" ", "space"]]);

// Something that can be seen, whatever the character is.
function signOf(character) {
  const code = character.codePointAt(0);
  if (SIGNS.has(character)) return SIGNS.get(character);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (/\p{M}/u.test(character)) return `◌${character}`;
  return /[\p{C}\p{Z}]/u.test(character) ? nameOf(code) : character;
}

// As it stands in a line: blanks as they are.
function inText(character) {
  return /\p{Zs}/u.test(character) ? character : signOf(character);
}

function nameOf(code) {
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

class Alphabet {
  constructor() {
    this.idOf = new Map(facts.codes.map((code, id) => [code, id]));
  }

  // What ends an item of a list or begins one: no text has it, and it writes nothing.
  isReserved(id) {
    return id >= facts.codes.length;
  }

  // Something that can be seen, and that a screen reader says.
  sign(id) {
    if (this.isReserved(id)) return facts.specials[id - facts.codes.length];
    return this.text(id) ? signOf(this.text(id)) : `\\x${facts.codes[id].toString(16)}`;
  }

  word(id) {
    return WORDS.get(this.text(id)) ?? this.sign(id);
  }

  static of(unit) {
    return unit === "bytes" ? new Bytes() : new Characters();
  }

  // [{text, ids}], a piece for each character that is read; without ids if the model lacks it.
  pieces(text) {
    return Array.from(this.prepared(text), (character) => ({ text: character, ids: this.ids(character) }));
  }
}

class Characters extends Alphabet {
  prepared(text) {
    if (facts.newlines === "normalize") text = text.replace(/\r\n?/g, "\n");
    return facts.normalize === "NFC" ? text.normalize("NFC") : text;
  }

  ids(character) {
    const code = character.codePointAt(0);
    if (this.idOf.has(code)) return [this.idOf.get(code)];
    return facts.replacement ? this.ids(facts.replacement) : [];
  }

  // "" for what is no character.
  text(id) {
    return this.isReserved(id) ? "" : String.fromCodePoint(facts.codes[id]);
  }

  // Whether a character can begin with it.
  begins(id) {
    return !this.isReserved(id);
  }

  decoder() {
    return { decode: (id) => this.text(id), end: () => "" };
  }
}

class Bytes extends Alphabet {
  prepared(text) {
    return text;
  }

  ids(character) {
    if (/\p{Cs}/u.test(character)) return [];  // half of a pair: it has no UTF-8
    const ids = Array.from(new TextEncoder().encode(character), (byte) => this.idOf.get(byte));
    return ids.includes(undefined) ? [] : ids;
  }

  text(id) {
    return facts.codes[id] < 0x80 ? String.fromCodePoint(facts.codes[id]) : "";
  }

  begins(id) {
    return facts.codes[id] < 0x80 || (facts.codes[id] >= 0xc2 && facts.codes[id] < 0xf5);
  }

  // What is no UTF-8 becomes U+FFFD; the bytes of a character are held back until all are there.
  decoder() {
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
    return {
      decode: (id) => utf8.decode(Uint8Array.of(facts.codes[id]), { stream: true }),
      end: () => utf8.decode(),
    };
  }
}
