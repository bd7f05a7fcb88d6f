/** Expressions and SELECTs of the stand-in's SQL, read into trees. */
import { SqlError, type Type, type Value } from "./sql_values.ts";
import { Words } from "./sql_words.ts";

/** An expression as it is written. */
export type Expression =
  | { is: "value"; value: Value; label: string }
  | { is: "column"; name: string }
  | { is: "call"; name: string; of: Expression[]; star?: boolean }
  | { is: "cast"; of: Expression; type: Type }
  | { is: "case"; when: [Expression, Expression][]; otherwise: Expression }
  | { is: "unary"; sign: string; of: Expression }
  | { is: "binary"; sign: string; left: Expression; right: Expression };

/** One SELECT. */
export interface Select {
  items: ("*" | { expression: Expression; alias?: string })[];
  from?: string[] | Query;
  where?: Expression;
  group: Expression[];
}

/** SELECTs joined by UNION ALL, in an order, and how much of them is wanted. */
export interface Query {
  selects: Select[];
  order: { of: Expression; down: boolean }[];
  limit?: number;
  offset?: number;
}

/** So many SELECTs a UNION may have: a real debug build of 2.4.3.4 died of 200, and a statement of ours must never be deep. */
const MOST_PARTS = 16;

/** What kills a server: the planner's stack is full. The stand-in is gone then until it is restarted. */
export class StackOverflow extends Error {
  constructor(parts: number) {
    super(`stack overflow: a UNION of ${parts} parts, and more than ${MOST_PARTS} may kill a real server`);
  }
}

const NANOS: Record<string, bigint> = {
  nanosecond: 1n,
  microsecond: 1000n,
  millisecond: 1000000n,
  second: 1000000000n,
  minute: 60000000000n,
  hour: 3600000000000n,
  day: 86400000000000n,
  week: 604800000000000n,
};

/** The nanoseconds of an interval such as `1 day` or `21600 seconds`. */
function interval(text: string): bigint {
  const parts = [...text.matchAll(/(\d+)\s*([a-z]+?)s?(?=\s|$)/gi)];
  const nanos = parts.map(([, count, unit]) => (NANOS[unit!.toLowerCase()] ?? 0n) * BigInt(count!));
  if (parts.length === 0 || nanos.includes(0n)) {
    throw new SqlError(
      "010001",
      `Datafusion: This feature is not implemented: Unsupported interval '${text}'`,
    );
  }
  return nanos.reduce((a, b) => a + b);
}

/** Reads a statement's parts. */
export class Parser extends Words {
  expression(): Expression {
    let left = this.#and();
    while (this.accept("OR")) left = { is: "binary", sign: "OR", left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.accept("AND")) left = { is: "binary", sign: "AND", left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    return this.accept("NOT") ? { is: "unary", sign: "NOT", of: this.#not() } : this.#comparison();
  }

  #comparison(): Expression {
    const left = this.#sum();
    if (this.accept("IS", "NOT", "NULL")) {
      return { is: "unary", sign: "NOT", of: { is: "unary", sign: "IS NULL", of: left } };
    }
    if (this.accept("IS", "NULL")) return { is: "unary", sign: "IS NULL", of: left };
    const not = this.accept("NOT");
    const negated = (of: Expression): Expression => not ? { is: "unary", sign: "NOT", of } : of;
    if (this.accept("IN")) {
      const items = this.list(() => this.expression());
      return negated(
        items.map((right): Expression => ({ is: "binary", sign: "=", left, right }))
          .reduce((left, right) => ({ is: "binary", sign: "OR", left, right })),
      );
    }
    if (this.accept("BETWEEN")) {
      const from: Expression = { is: "binary", sign: ">=", left, right: this.#sum() };
      this.expect("AND");
      const to: Expression = { is: "binary", sign: "<=", left, right: this.#sum() };
      return negated({ is: "binary", sign: "AND", left: from, right: to });
    }
    if (not) this.fail("IN or BETWEEN after NOT");
    for (const sign of ["<=", ">=", "<>", "!=", "=", "<", ">"]) {
      if (this.accept(sign)) return { is: "binary", sign, left, right: this.#sum() };
    }
    return left;
  }

  #sum(): Expression {
    let left = this.#product();
    for (;;) {
      const sign = ["+", "-", "||"].find((sign) => this.accept(sign));
      if (sign === undefined) return left;
      left = { is: "binary", sign, left, right: this.#product() };
    }
  }

  #product(): Expression {
    let left = this.#unary();
    for (;;) {
      const sign = ["*", "/", "%"].find((sign) => this.accept(sign));
      if (sign === undefined) return left;
      left = { is: "binary", sign, left, right: this.#unary() };
    }
  }

  #unary(): Expression {
    if (this.accept("-")) return { is: "unary", sign: "-", of: this.#unary() };
    let value = this.#primary();
    while (this.accept("::")) value = { is: "cast", of: value, type: this.type() };
    return value;
  }

  /** The name of a type. */
  type(): Type {
    const word = this.name().toUpperCase();
    if (word === "BIGINT") return this.accept("UNSIGNED") ? "BIGINT UNSIGNED" : "BIGINT";
    if (word === "TIMESTAMP") {
      if (this.accept("(")) {
        this.number();
        this.expect(")");
      }
      return "TIMESTAMP";
    }
    const types: Record<string, Type> = {
      DOUBLE: "DOUBLE",
      STRING: "STRING",
      VARCHAR: "STRING",
      BOOLEAN: "BOOLEAN",
    };
    return types[word] ?? this.fail("a data type name");
  }

  #primary(): Expression {
    const token = this.peek;
    if (token.kind === "number") {
      this.take();
      const value = /[.eE]/.test(token.text) ? Number(token.text) : BigInt(token.text);
      return {
        is: "value",
        value,
        label: `${typeof value === "bigint" ? "Int64" : "Float64"}(${token.text})`,
      };
    }
    if (token.kind === "string") {
      return { is: "value", value: this.take().text, label: `Utf8(${JSON.stringify(token.text)})` };
    }
    if (this.accept("(")) {
      const inner = this.expression();
      this.expect(")");
      return inner;
    }
    for (const [word, value] of [["NULL", null], ["TRUE", true], ["FALSE", false]] as const) {
      if (this.accept(word)) return { is: "value", value, label: word };
    }
    if (token.kind === "word" && this.nextIsString) {
      if (this.accept("INTERVAL")) return { is: "value", value: interval(this.string()), label: "Interval" };
      if (this.accept("TIMESTAMP")) {
        const of: Expression = { is: "value", value: this.string(), label: "Utf8" };
        return { is: "cast", of, type: "TIMESTAMP" };
      }
    }
    if (this.accept("CASE")) return this.#cases();
    if (this.accept("CAST", "(")) {
      const of = this.expression();
      this.expect("AS");
      const type = this.type();
      this.expect(")");
      return { is: "cast", of, type };
    }
    if (token.kind !== "word" && token.kind !== "quoted") this.fail("an expression:");
    const path = this.path();
    if (token.kind === "word" && path.length === 1 && this.accept("(")) {
      if (this.accept("*", ")")) return { is: "call", name: path[0]!, of: [], star: true };
      if (this.accept(")")) return { is: "call", name: path[0]!, of: [] };
      const of: Expression[] = [];
      do of.push(this.expression()); while (this.accept(","));
      this.expect(")");
      return { is: "call", name: path[0]!, of };
    }
    return { is: "column", name: path.at(-1)! };
  }

  /** CASE WHEN … THEN … ELSE … END, CASE being taken. */
  #cases(): Expression {
    const when: [Expression, Expression][] = [];
    while (this.accept("WHEN")) {
      const condition = this.expression();
      this.expect("THEN");
      when.push([condition, this.expression()]);
    }
    const otherwise: Expression = this.accept("ELSE")
      ? this.expression()
      : { is: "value", value: null, label: "NULL" };
    this.expect("END");
    return { is: "case", when, otherwise };
  }

  /** SELECTs joined by UNION ALL with their order and limit, the first word being next. */
  query(): Query {
    const query: Query = { selects: [this.#select()], order: [] };
    while (this.accept("UNION", "ALL")) query.selects.push(this.#select());
    if (query.selects.length > MOST_PARTS) throw new StackOverflow(query.selects.length);
    if (this.accept("ORDER", "BY")) {
      do {
        const of = this.expression();
        query.order.push({ of, down: this.accept("DESC") || (this.accept("ASC"), false) });
      } while (this.accept(","));
    }
    if (this.accept("LIMIT")) query.limit = Number(this.number());
    if (this.accept("OFFSET")) query.offset = Number(this.number());
    return query;
  }

  #select(): Select {
    this.expect("SELECT");
    const select: Select = { items: [], group: [] };
    do {
      if (this.accept("*")) select.items.push("*");
      else {
        const expression = this.expression();
        const alias = this.#alias();
        select.items.push({ expression, ...(alias === undefined ? {} : { alias }) });
      }
    } while (this.accept(","));
    if (this.accept("FROM")) {
      if (this.accept("(")) {
        select.from = this.query();
        this.expect(")");
      } else select.from = this.path();
      this.#alias();
    }
    if (this.accept("WHERE")) select.where = this.expression();
    if (this.accept("GROUP", "BY")) { do select.group.push(this.expression()); while (this.accept(",")); }
    return select;
  }

  #alias(): string | undefined {
    const { kind, text } = this.peek;
    const named = this.accept("AS") || kind === "quoted" ||
      kind === "word" && !/^(FROM|WHERE|GROUP|ORDER|LIMIT|OFFSET|UNION)$/i.test(text);
    return named ? this.name() : undefined;
  }
}
