// Text to ids and back: one id a character, or one a byte of its UTF-8.

const SIGNS = { "\n": "↵", "\t": "→", " ": "␣", "\u00a0": "⍽", "\x7f": "␡" };
const WORDS = { "\n": "line end", "\t": "tab", " ": "space" };

// Something that can be seen, whatever the character is.
function signOf(character) {
  const code = character.codePointAt(0);
  if (Object.hasOwn(SIGNS, character)) return SIGNS[character];
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (/\p{M}/u.test(character)) return `◌${character}`;
  return /[\p{C}\p{Z}]/u.test(character) ? nameOf(code) : character;
}

// As it stands in a text: blanks as they are.
function inText(character) {
  if (character === "\n") return "↵\n";
  return /\p{Zs}/u.test(character) ? character : signOf(character);
}

function nameOf(code) {
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

class Alphabet {
  constructor() {
    this.idOf = new Map(facts.codes.map((code, id) => [code, id]));
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

  text(id) {
    return String.fromCodePoint(facts.codes[id]);
  }

  // Whether a character can begin with it.
  begins() {
    return true;
  }

  sign(id) {
    return signOf(this.text(id));
  }

  word(id) {
    return WORDS[this.text(id)] ?? this.sign(id);
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

  begins(id) {
    return facts.codes[id] < 0x80 || (facts.codes[id] >= 0xc2 && facts.codes[id] < 0xf5);
  }

  // "" for a part of a character.
  text(id) {
    return facts.codes[id] < 0x80 ? String.fromCodePoint(facts.codes[id]) : "";
  }

  sign(id) {
    return this.text(id) ? signOf(this.text(id)) : `\\x${facts.codes[id].toString(16)}`;
  }

  word(id) {
    return this.text(id) ? WORDS[this.text(id)] ?? this.sign(id) : `byte ${this.sign(id)}`;
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
