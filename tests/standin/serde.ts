/**
 * JSON read and written as Rust's serde_json does it: by a declared shape, failing with serde's words at serde's
 * line and column, so that a value that a CnosDB version could not read fails here with the same text.
 */

/** What failed, as serde_json words it: `missing field \`is_root_admin\` at line 1 column 198`. */
export class SerdeError extends Error {}

/** How one type is read from JSON and written back. Integers are bigints, as an id has 39 digits. */
export interface Shape<T> {
  read(input: Reader): T;
  write(value: T): string;
  /** The value of a field that is not there; without it the field is required. */
  missing?(): T;
  /** Whether a field with this value is left out. */
  skip?(value: T): boolean;
}

/** The type that a shape reads. */
export type Read<S> = S extends Shape<infer T> ? T : never;

/** A string without escapes, as nearly all are. */
// deno-lint-ignore no-control-regex
const PLAIN = /"([^"\\\u0000-\u001f]*)"/y;
const NUMBER = /-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;

/** A cursor over a JSON text. */
export class Reader {
  index = 0;
  constructor(readonly text: string) {}

  /** The next character that is no white space, not taken; undefined at the end. */
  peek(): string | undefined {
    let next = this.text[this.index];
    while (next === " " || next === "\n" || next === "\t" || next === "\r") next = this.text[++this.index];
    return next;
  }

  /** Fails here. Columns count bytes. */
  fail(message: string, index = this.index): never {
    const before = this.text.slice(0, index);
    const line = before.split("\n").length;
    const column = new TextEncoder().encode(before.slice(before.lastIndexOf("\n") + 1)).length;
    throw new SerdeError(`${message} at line ${line} column ${column}`);
  }

  /** Fails at the character that is next, counting it. */
  failPeek(message: string): never {
    this.fail(message, Math.min(this.text.length, this.index + 1));
  }

  /** Takes a word such as `null`. */
  word(word: string): void {
    for (const letter of word) {
      const next = this.text[this.index];
      if (next === undefined) this.fail("EOF while parsing a value");
      this.index++;
      if (next !== letter) this.fail("expected ident");
    }
  }

  /** Takes a string, the opening quote being next. */
  string(): string {
    PLAIN.lastIndex = this.index;
    const plain = PLAIN.exec(this.text)?.[1];
    if (plain !== undefined) return this.index = PLAIN.lastIndex, plain;
    const start = this.index++;
    for (;; this.index++) {
      const next = this.text[this.index];
      if (next === undefined) this.fail("EOF while parsing a string");
      if (next < " ") {
        this.index++;
        this.fail("control character (\\u0000-\\u001F) found while parsing a string");
      }
      if (next === "\\") {
        const escape = this.text[++this.index];
        if (escape === undefined) this.fail("EOF while parsing a string");
        const valid = escape === "u"
          ? /^[0-9a-fA-F]{4}$/.test(this.text.slice(this.index + 1, this.index + 5))
          : '"\\/bfnrt'.includes(escape);
        if (!valid) {
          this.index++;
          this.fail("invalid escape");
        }
      }
      if (next === '"') break;
    }
    return JSON.parse(this.text.slice(start, ++this.index));
  }

  /** Takes a number and gives its text. */
  number(): string {
    NUMBER.lastIndex = this.index;
    const match = NUMBER.exec(this.text);
    if (match === null) {
      this.index++;
      this.failPeek("invalid number");
    }
    this.index += match[0].length;
    if (/^-?0$/.test(match[0]) && /\d/.test(this.text[this.index] ?? "")) this.failPeek("invalid number");
    return match[0];
  }

  /** Takes digits and gives them. */
  digits(): string {
    const start = this.index;
    while (/\d/.test(this.text[this.index] ?? "")) this.index++;
    return this.text.slice(start, this.index);
  }

  /** Calls `entry` for each key of an object, `{` being next; it takes the value. */
  object(entry: (key: string) => void): void {
    this.index++;
    for (let first = true;; first = false) {
      let next = this.peek();
      if (next === "}") break;
      if (next === undefined) this.failPeek("EOF while parsing an object");
      if (!first) {
        if (next !== ",") this.failPeek("expected `,` or `}`");
        this.index++;
        next = this.peek();
        if (next === undefined) this.failPeek("EOF while parsing a value");
        if (next === "}") this.failPeek("trailing comma");
      }
      if (next !== '"') this.failPeek("key must be a string");
      entry(this.string());
    }
    this.index++;
  }

  /** Takes the colon after a key. */
  colon(): void {
    const next = this.peek();
    if (next === undefined) this.failPeek("EOF while parsing an object");
    if (next !== ":") this.failPeek("expected `:`");
    this.index++;
  }

  /** Calls `item` for each item of an array, `[` being next; it takes the item. */
  array(item: () => void): void {
    this.index++;
    for (let first = true;; first = false) {
      let next = this.peek();
      if (next === "]") break;
      if (next === undefined) this.failPeek("EOF while parsing a list");
      if (!first) {
        if (next !== ",") this.failPeek("expected `,` or `]`");
        this.index++;
        next = this.peek();
        if (next === undefined) this.failPeek("EOF while parsing a value");
        if (next === "]") this.failPeek("trailing comma");
      }
      item();
    }
    this.index++;
  }

  /** Fails because the value that is next is none of `expected`. */
  invalidType(expected: string): never {
    const next = this.peek();
    const invalid = (what: string) => this.fail(`invalid type: ${what}, expected ${expected}`);
    if (next === undefined) this.failPeek("EOF while parsing a value");
    if (next === "n") return this.word("null"), invalid("null");
    if (next === "t") return this.word("true"), invalid("boolean `true`");
    if (next === "f") return this.word("false"), invalid("boolean `false`");
    if (next === '"') return invalid(`string ${JSON.stringify(this.string())}`);
    if (next === "[") invalid("sequence");
    if (next === "{") invalid("map");
    if (/[-\d]/.test(next)) {
      const number = this.number();
      return invalid(`${/[.eE]/.test(number) ? "floating point" : "integer"} \`${number}\``);
    }
    this.failPeek("expected value");
  }

  /** Takes any value, unread. */
  ignore(): void {
    const next = this.peek();
    if (next === "{") {
      return this.object(() => {
        this.colon();
        this.ignore();
      });
    }
    if (next === "[") return this.array(() => this.ignore());
    if (next === '"') return void this.string();
    if (next !== undefined && /[-\d]/.test(next)) return void this.number();
    const word = ["null", "true", "false"].find((word) => word[0] === next);
    if (word !== undefined) return this.word(word);
    this.failPeek(next === undefined ? "EOF while parsing a value" : "expected value");
  }
}

/** Reads a whole text by a shape. Throws SerdeError. */
export function decode<T>(shape: Shape<T>, text: string): T {
  const input = new Reader(text);
  const value = shape.read(input);
  if (input.peek() !== undefined) input.failPeek("trailing characters");
  return value;
}

/** A string. */
export const string: Shape<string> = {
  read: (input) => input.peek() === '"' ? input.string() : input.invalidType("a string"),
  write: (value) => JSON.stringify(value),
};

/** A boolean. */
export const bool: Shape<boolean> = {
  read(input) {
    const next = input.peek();
    if (next !== "t" && next !== "f") input.invalidType("a boolean");
    input.word(next === "t" ? "true" : "false");
    return next === "t";
  },
  write: (value) => String(value),
};

function integer(name: string, bits: bigint): Shape<bigint> {
  const signed = name.startsWith("i");
  const max = 2n ** (signed ? bits - 1n : bits) - 1n, min = signed ? -max - 1n : 0n;
  return {
    read(input) {
      const next = input.peek();
      if (next === undefined || !/[-\d]/.test(next)) {
        if (bits === 128n && next !== undefined) input.fail("invalid number", input.index + 1);
        input.invalidType(name);
      }
      if (bits === 128n && next === "-") input.failPeek("number out of range");
      // A 128-bit integer ends at its last digit: what follows is another value, and one too many.
      const text = bits === 128n ? input.digits() : input.number();
      if (/[.eE]/.test(text) || BigInt(text) >= 2n ** 64n && bits < 128n) {
        input.fail(`invalid type: floating point \`${Number(text)}\`, expected ${name}`);
      }
      const value = BigInt(text);
      if (value > max || value < min) input.fail(`invalid value: integer \`${text}\`, expected ${name}`);
      return value;
    },
    write: (value) => String(value),
  };
}

export const u8 = integer("u8", 8n);
export const i16 = integer("i16", 16n);
export const u32 = integer("u32", 32n);
export const u64 = integer("u64", 64n);
export const i64 = integer("i64", 64n);
export const usize = integer("usize", 64n);
export const u128 = integer("u128", 128n);

/** Any value, kept as its text. */
export const raw: Shape<string> = {
  read(input) {
    input.peek();
    const start = input.index;
    input.ignore();
    return input.text.slice(start, input.index);
  },
  write: (value) => value,
};

/** Something or null; as a field it may be missing. */
export function option<T>(shape: Shape<T>): Shape<T | null> {
  return {
    read: (input) => input.peek() === "n" ? (input.word("null"), null) : shape.read(input),
    write: (value) => value === null ? "null" : shape.write(value),
    missing: () => null,
  };
}

/** The same, as a field left out where it is null. */
export function skipNull<T>(shape: Shape<T>): Shape<T | null> {
  return { ...option(shape), skip: (value) => value === null };
}

/** The same with a default for a missing field. */
export function orElse<T>(shape: Shape<T>, missing: T): Shape<T> {
  return { ...shape, missing: () => missing };
}

/** A list. */
export function list<T>(shape: Shape<T>): Shape<T[]> {
  return {
    read(input) {
      if (input.peek() !== "[") input.invalidType("a sequence");
      const items: T[] = [];
      input.array(() => items.push(shape.read(input)));
      return items;
    },
    write: (items) => `[${items.map((item) => shape.write(item)).join(",")}]`,
  };
}

/** A list of one length, each item with its own shape. */
export function tuple(...shapes: Shape<unknown>[]): Shape<unknown[]> {
  return {
    read(input) {
      if (input.peek() !== "[") input.invalidType(`a tuple of size ${shapes.length}`);
      const items: unknown[] = [];
      input.array(() => {
        const shape = shapes[items.length] ?? input.failPeek("trailing characters");
        items.push(shape.read(input));
      });
      if (items.length < shapes.length) {
        input.fail(`invalid length ${items.length}, expected a tuple of size ${shapes.length}`);
      }
      return items;
    },
    write: (items) => `[${shapes.map((shape, i) => shape.write(items[i])).join(",")}]`,
  };
}

/** An object with any keys. */
export function map<T>(shape: Shape<T>): Shape<Map<string, T>> {
  return {
    read(input) {
      if (input.peek() !== "{") input.invalidType("a map");
      const entries = new Map<string, T>();
      input.object((key) => {
        input.colon();
        entries.set(key, shape.read(input));
      });
      return entries;
    },
    write: (entries) =>
      `{${[...entries].map(([k, v]) => `${JSON.stringify(k)}:${shape.write(v)}`).join(",")}}`,
  };
}

const oneOf = (names: string[]) =>
  names.length > 2
    ? `expected one of ${names.map((name) => `\`${name}\``).join(", ")}`
    : `expected ${names.map((name) => `\`${name}\``).join(" or ")}`;

/** A struct; `strict` where unknown fields are refused and not ignored. */
export function struct<F extends Record<string, Shape<unknown>>>(
  name: string,
  fields: F,
  strict = false,
): Shape<{ [K in keyof F]: Read<F[K]> }> {
  const names = Object.keys(fields);
  return {
    read(input) {
      if (input.peek() !== "{") input.invalidType(`struct ${name}`);
      const found: Record<string, unknown> = {};
      input.object((key) => {
        const shape = Object.hasOwn(fields, key) ? fields[key] : undefined;
        if (shape === undefined && strict) input.fail(`unknown field \`${key}\`, ${oneOf(names)}`);
        if (Object.hasOwn(found, key)) input.fail(`duplicate field \`${key}\``);
        input.colon();
        if (shape === undefined) input.ignore();
        else found[key] = shape.read(input);
      });
      const value: Record<string, unknown> = {};
      for (const [key, shape] of Object.entries(fields)) {
        if (!Object.hasOwn(found, key) && shape.missing === undefined) input.fail(`missing field \`${key}\``);
        value[key] = Object.hasOwn(found, key) ? found[key] : shape.missing?.();
      }
      return value as { [K in keyof F]: Read<F[K]> };
    },
    write(value) {
      const kept = Object.entries(fields).filter(([key, shape]) => !shape.skip?.(value[key]));
      return `{${kept.map(([key, shape]) => `"${key}":${shape.write(value[key])}`).join(",")}}`;
    },
  };
}

/** A value of an enum: the variant's name, or its name and content. */
export type Variant = string | { name: string; content: unknown };

/** An enum: the shape of each variant's content, null for a variant without. */
export function variants(shapes: Record<string, Shape<unknown> | null>): Shape<Variant> {
  const names = Object.keys(shapes);
  const variant = (input: Reader) => {
    if (input.peek() !== '"') input.invalidType("variant identifier");
    const key = input.string();
    if (!Object.hasOwn(shapes, key)) input.fail(`unknown variant \`${key}\`, ${oneOf(names)}`);
    return key;
  };
  return {
    read(input) {
      const next = input.peek();
      if (next === '"') {
        const key = variant(input);
        if (shapes[key] !== null) input.fail("invalid type: unit variant, expected newtype variant");
        return key;
      }
      if (next === undefined) input.failPeek("EOF while parsing a value");
      if (next !== "{") input.failPeek("expected value");
      input.index++;
      const key = variant(input);
      input.colon();
      const shape = shapes[key] ?? null;
      const content = shape === null ? (input.peek(), input.word("null")) : shape.read(input);
      if (input.peek() !== "}") input.fail("expected value");
      input.index++;
      return shape === null ? key : { name: key, content };
    },
    write: (value) =>
      typeof value === "string"
        ? JSON.stringify(value)
        : `{${JSON.stringify(value.name)}:${shapes[value.name]!.write(value.content)}}`,
  };
}

/** An enum whose variants have no content. */
export function units(...names: string[]): Shape<string> {
  return variants(Object.fromEntries(names.map((unit) => [unit, null]))) as Shape<string>;
}
