/** The words of a statement, and what reads them one after another. */
import { SqlError } from "./sql_values.ts";

interface Token {
  kind: "word" | "quoted" | "string" | "number" | "sign" | "end";
  text: string;
}

const TOKEN =
  /\s+|--[^\n]*|\/\*[\s\S]*?\*\/|(?<string>'(?:[^']|'')*')|(?<quoted>"(?:[^"]|"")*"|`[^`]*`)|(?<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?<word>[\p{L}_][\p{L}\p{N}_$]*)|(?<sign><=|>=|<>|!=|\|\||::|[^\s])/gu;

function tokens(sql: string): Token[] {
  const found: Token[] = [];
  for (const { groups } of sql.matchAll(TOKEN)) {
    const [kind, text] = Object.entries(groups ?? {}).find(([, text]) => text !== undefined) ?? [];
    if (kind === "string") found.push({ kind, text: text!.slice(1, -1).replaceAll("''", "'") });
    else if (kind === "quoted") {
      found.push({ kind, text: text!.slice(1, -1).replaceAll(text![0]!.repeat(2), text![0]!) });
    } else if (kind !== undefined) found.push({ kind: kind as Token["kind"], text: text! });
  }
  return found;
}

/** Reads words of a statement. */
export class Words {
  readonly #tokens: Token[];
  #next = 0;

  constructor(sql: string) {
    this.#tokens = tokens(sql);
  }

  get peek(): Token {
    return this.#tokens[this.#next] ?? { kind: "end", text: "EOF" };
  }

  /** Whether a string follows the next word, as after INTERVAL. */
  get nextIsString(): boolean {
    return this.#tokens[this.#next + 1]?.kind === "string";
  }

  /** How many statements there are. */
  get statements(): number {
    const semicolons = (token: Token) => token.kind === "sign" && token.text === ";";
    let count = 0, empty = true;
    for (const token of this.#tokens) {
      if (!semicolons(token) && empty) count++;
      empty = semicolons(token);
    }
    return count;
  }

  fail(expected: string): never {
    throw new SqlError("010009", `sql parser error: Expected ${expected}, found: ${this.peek.text}`);
  }

  take(): Token {
    const token = this.peek;
    this.#next++;
    return token;
  }

  #is(text: string, token: Token | undefined): boolean {
    return token !== undefined && (token.kind === "word" ? token.text.toUpperCase() : token.text) === text &&
      (token.kind === "word" || token.kind === "sign");
  }

  /** Takes these words or signs if they are next. */
  accept(...texts: string[]): boolean {
    if (!texts.every((text, i) => this.#is(text, this.#tokens[this.#next + i]))) return false;
    this.#next += texts.length;
    return true;
  }

  expect(...texts: string[]): void {
    if (!this.accept(...texts)) this.fail(texts.join(" "));
  }

  /** A name: as it is in quotes, in small letters without. */
  name(): string {
    const token = this.peek;
    if (token.kind !== "word" && token.kind !== "quoted") this.fail("identifier");
    this.#next++;
    return token.kind === "word" ? token.text.toLowerCase() : token.text;
  }

  /** Names with dots between. */
  path(): string[] {
    const names = [this.name()];
    while (this.accept(".")) names.push(this.name());
    return names;
  }

  string(): string {
    if (this.peek.kind !== "string") this.fail("literal string");
    return this.take().text;
  }

  number(): bigint {
    if (this.peek.kind !== "number") this.fail("literal int");
    return BigInt(this.take().text);
  }

  /** A list in brackets. */
  list<T>(item: () => T): T[] {
    this.expect("(");
    const items: T[] = [];
    do items.push(item()); while (this.accept(","));
    this.expect(")");
    return items;
  }

  /** `= (key = value, …)`, keys in small letters. */
  options(): Map<string, string> {
    this.accept("=");
    return new Map(this.list(() => {
      const key = this.name();
      this.expect("=");
      return [key, this.take().text] as const;
    }));
  }

  /** Takes the end, after a semicolon or none. */
  end(): void {
    while (this.accept(";"));
    if (this.peek.kind !== "end") this.fail("end of statement");
  }
}
