/** Carries out SELECTs: each expression becomes a closure over a row once, and is then called for every row. */
import type { Cell, Row } from "./rows.ts";
import { AGGREGATES, FUNCTIONS, NULL_FUNCTIONS } from "./sql_functions.ts";
import type { Expression, Query, Select } from "./sql_parser.ts";
import {
  arithmetic,
  cast,
  compare,
  type Named,
  parseTime,
  type Relation,
  type Result,
  SqlError,
  Time,
  type Type,
  type Value,
} from "./sql_values.ts";

/** What an expression is in one row. */
type Work = (row: Row) => Value;
type Call = Extract<Expression, { is: "call" }>;

const parts = (of: Expression): Expression[] =>
  of.is === "call"
    ? of.of
    : of.is === "cast" || of.is === "unary"
    ? [of.of]
    : of.is === "binary"
    ? [of.left, of.right]
    : of.is === "case"
    ? [...of.when.flat(), of.otherwise]
    : [];

const isAggregate = (of: Expression) => of.is === "call" && Object.hasOwn(AGGREGATES, of.name);
const hasAggregate = (of: Expression): boolean => isAggregate(of) || parts(of).some(hasAggregate);

const TESTS: Record<string, (order: number) => boolean> = {
  "=": (order) => order === 0,
  "<>": (order) => order !== 0,
  "!=": (order) => order !== 0,
  "<": (order) => order < 0,
  "<=": (order) => order <= 0,
  ">": (order) => order > 0,
  ">=": (order) => order >= 0,
};

/** Makes closures of expressions over the rows of one relation. */
class Compiler {
  readonly #columns: Map<string, Named>;

  constructor(readonly relation: Relation, readonly nowMs: () => number) {
    this.#columns = new Map(relation.columns.map((column) => [column.name, column]));
  }

  column(name: string): Named {
    const column = this.#columns.get(name);
    if (column !== undefined) return column;
    const known = this.relation.columns.map(({ name }) => `${this.relation.label}.${name}`).join(", ");
    throw new SqlError(
      "010001",
      `Datafusion: Schema error: No field named ${name}. Valid fields are ${known}.`,
    );
  }

  /** An expression as a closure; `group` has the values of its aggregates where it is of a group of rows. */
  compile(of: Expression, group?: (call: Call) => Work): Work {
    const inner = (part: Expression) => this.compile(part, group);
    switch (of.is) {
      case "value":
        return () => of.value;
      case "column": {
        const { name } = of, { unit } = this.column(name);
        if (unit === undefined) return (row) => row[name] ?? null;
        return (row) => row[name] == null ? null : new Time(row[name] as bigint, unit);
      }
      case "cast": {
        const { of: from, type } = of;
        // The number of a time, without making a Time of it.
        if (from.is === "column" && type === "BIGINT" && this.column(from.name).unit !== undefined) {
          return (row) => row[from.name] ?? null;
        }
        const value = inner(from);
        if (from.is !== "value") return (row) => cast(value(row), type);
        const constant = cast(from.value, type);
        return () => constant;
      }
      case "unary": {
        const value = inner(of.of);
        if (of.sign === "IS NULL") return (row) => value(row) === null;
        if (of.sign === "NOT") return (row) => ((v) => v === null ? null : !v)(value(row));
        return (row) => ((v) => v === null ? null : typeof v === "bigint" ? -v : -Number(v))(value(row));
      }
      case "case": {
        const when = of.when.map((pair) => pair.map(inner) as [Work, Work]), otherwise = inner(of.otherwise);
        return (row) => (when.find(([condition]) => condition(row) === true)?.[1] ?? otherwise)(row);
      }
      case "binary":
        return this.#remembered(of, this.#binary(of, inner));
      case "call":
        return isAggregate(of) && group !== undefined ? group(of) : this.#call(of, inner);
    }
  }

  #binary(of: Extract<Expression, { is: "binary" }>, inner: (part: Expression) => Work): Work {
    const { sign } = of, left = inner(of.left), right = inner(of.right);
    if (sign === "AND") {
      return (row) => {
        const one = left(row);
        if (one === false) return false;
        const other = right(row);
        return other === false ? false : one === null ? null : other;
      };
    }
    if (sign === "OR") {
      return (row) => {
        const one = left(row);
        if (one === true) return true;
        const other = right(row);
        return other === true ? true : one === null ? null : other;
      };
    }
    const test = TESTS[sign];
    if (test === undefined) return (row) => arithmetic(sign, left(row), right(row));
    // A written time is read once, not for each row, and cut to the column's precision, towards 1970
    // (recorded/bounds-*.jsonl).
    if (of.left.is === "column" && of.right.is === "value" && typeof of.right.value === "string") {
      const { name } = of.left, { unit } = this.column(name);
      if (unit !== undefined) {
        const count = parseTime(of.right.value) / (1000000000n / unit);
        return (row) => row[name] == null ? null : test(compare(row[name] as bigint, count)!);
      }
    }
    return (row) => ((order) => order === null ? null : test(order))(compare(left(row), right(row)));
  }

  #call(of: Call, inner: (part: Expression) => Work): Work {
    const { name } = of;
    if (name === "now" && of.of.length === 0) {
      const now = new Time(BigInt(Math.trunc(this.nowMs() * 1000)) * 1000n, 1000000000n);
      return () => now;
    }
    const given = of.of.map(inner);
    const seesNulls = Object.hasOwn(NULL_FUNCTIONS, name) ? NULL_FUNCTIONS[name]! : undefined;
    if (seesNulls !== undefined) return (row) => seesNulls(...given.map((value) => value(row)));
    const fn = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name]! : undefined;
    if (fn === undefined) {
      throw new SqlError("010001", `Datafusion: Error during planning: Invalid function '${name}'.`);
    }
    return (row) => {
      const values: Exclude<Value, null>[] = [];
      for (const value of given) {
        const one = value(row);
        if (one === null) return null;
        values.push(one);
      }
      return fn(...values);
    };
  }

  /**
   * Arithmetic that depends on one character alone, as the digests' `(strpos('0123456789abcdef', substr(m, 1, 1)) - 1)
   * * 4096`, is worked out once for each character.
   */
  #remembered(of: Expression, work: Work): Work {
    const characters = charactersOf(of);
    if (characters?.length !== 1) return work;
    const character = this.compile(characters[0]!), known = new Map<Value, Value>();
    return (row) => {
      const key = character(row);
      let value = known.get(key);
      if (value === undefined) known.set(key, value = work(row));
      return value;
    };
  }

  /** The value of an aggregate over rows. */
  aggregate({ name, of, star }: Call, rows: readonly Row[]): Value {
    if (star) return BigInt(rows.length);
    const [argument] = of, values: Exclude<Value, null>[] = [];
    // Times are compared as numbers.
    const unit = argument?.is === "column" ? this.column(argument.name).unit : undefined;
    const work: Work = unit !== undefined
      ? (row) => row[(argument as { name: string }).name] ?? null
      : this.compile(argument!);
    for (const row of rows) {
      const value = work(row);
      if (value !== null) values.push(value);
    }
    if (name === "count") return BigInt(values.length);
    if (values.length === 0) return null;
    const value = AGGREGATES[name]!(values);
    return unit !== undefined && typeof value === "bigint" ? new Time(value, unit) : value;
  }

  /** The name of a result's column. */
  label(of: Expression, inside = false): string {
    switch (of.is) {
      case "value":
        return of.label;
      case "column":
        return inside && this.relation.label !== "" ? `${this.relation.label}.${of.name}` : of.name;
      case "cast":
        return this.label(of.of, inside);
      case "unary":
        return of.sign === "IS NULL"
          ? `${this.label(of.of, true)} IS NULL`
          : `(${of.sign} ${this.label(of.of, true)})`;
      case "binary":
        return `${this.label(of.left, true)} ${of.sign} ${this.label(of.right, true)}`;
      case "case":
        return "CASE";
      case "call": {
        const name = isAggregate(of) ? of.name.toUpperCase() : of.name;
        return `${name}(${of.star ? "UInt8(1)" : of.of.map((part) => this.label(part, true)).join(",")})`;
      }
    }
  }
}

/** The single characters of a column that an expression is made of beside constants; none if it has other parts. */
function charactersOf(of: Expression): Expression[] | undefined {
  if (of.is === "value") return [];
  if (of.is === "call" && of.name === "substr") {
    const [column, from, count] = of.of;
    const single = column?.is === "column" && from?.is === "value" && count?.is === "value" &&
      count.value === 1n;
    return single ? [of] : undefined;
  }
  if (of.is !== "binary" && !(of.is === "call" && of.name === "strpos")) return undefined;
  const found = parts(of).map(charactersOf);
  return found.includes(undefined) ? undefined : found.flat() as Expression[];
}

function typeOf(value: Value | undefined): Type {
  if (value instanceof Time) return "TIMESTAMP";
  const types: Record<string, Type> = { bigint: "BIGINT", number: "DOUBLE", boolean: "BOOLEAN" };
  return types[typeof value] ?? "STRING";
}

/** What a SELECT is carried out with. */
export interface Source {
  /** Finds a relation by its name; `database` is the only database_name that is wanted of it. Throws SqlError. */
  table: (path: string[], database?: string) => Relation;
  /** Whether count(*) of an empty table is null, as in 2.3 and 2.4.0. */
  emptyIsNull: boolean;
  nowMs: () => number;
}

/** Carries out a query. Throws SqlError. */
export function runQuery({ selects, order, limit, offset = 0 }: Query, source: Source): Result {
  const [first, ...others] = selects.map((select) =>
    runSelect(select, source, selects.length === 1 ? order : [])
  );
  let { columns, rows } = first!;
  if (others.length > 0) {
    columns = columns.map((column, i) =>
      [first!, ...others].find(({ rows }) => rows.some((row) => row[i] !== null))?.columns[i] ?? column
    )
      .map((column, i) => ({ ...column, name: first!.columns[i]!.name }));
    rows = [rows, ...others.map(({ rows }) => rows)].flat();
    const relation = asRelation({ columns, rows });
    if (order.length > 0) {
      const ordered = sorted(relation.rows, new Compiler(relation, source.nowMs), order);
      const places = new Map(relation.rows.map((row, i) => [row, i]));
      rows = ordered.map((row) => rows[places.get(row)!]!);
    }
  }
  return { columns, rows: rows.slice(offset, limit === undefined ? undefined : offset + limit) };
}

function sorted(rows: readonly Row[], compiler: Compiler, order: Query["order"]): Row[] {
  const keys = order.map(({ of, down }) => ({ work: compiler.compile(of), down }));
  const values = new Map(rows.map((row) => [row, keys.map(({ work }) => work(row))]));
  return rows.toSorted((a, b) => {
    for (const [i, { down }] of keys.entries()) {
      const by = compare(values.get(a)![i]!, values.get(b)![i]!) ?? 0;
      if (by !== 0) return down ? -by : by;
    }
    return 0;
  });
}

interface Item {
  expression: Expression;
  alias?: string;
}

function runSelect(select: Select, source: Source, order: Query["order"]): Result {
  let relation: Relation = { label: "", columns: [], rows: [{}] };
  if (Array.isArray(select.from)) relation = source.table(select.from, wantedDatabase(select.where));
  else if (select.from !== undefined) relation = asRelation(runQuery(select.from, source));
  const compiler = new Compiler(relation, source.nowMs);
  const { where } = select;
  let rows: readonly Row[] = relation.rows;
  if (where !== undefined) {
    const wanted = compiler.compile(where);
    rows = rows.filter((row) => wanted(row) === true);
  }
  const items: Item[] = select.items.flatMap((item): Item[] =>
    item === "*"
      ? relation.columns.map(({ name }) => ({ expression: { is: "column", name }, alias: name }))
      : [item]
  );
  // An alias stands for its expression in GROUP BY and ORDER BY.
  const named = (of: Expression): Expression =>
    of.is === "column" ? items.find(({ alias }) => alias === of.name)?.expression ?? of : of;
  const grouped = select.group.length > 0 || items.some(({ expression }) => hasAggregate(expression));
  const by = order.map(({ of, down }) => ({ of: named(of), down }));
  let values: Value[][];
  if (grouped) {
    const groups = select.group.length > 0 ? groupsOf(rows, select.group.map(named), compiler) : [rows];
    const works = (group: readonly Row[]) => (of: Expression) =>
      compiler.compile(of, (call) => ((value) => () => value)(compiler.aggregate(call, group)));
    const found = groups.map((group) => {
      const of = works(group), row = group[0] ?? {};
      return {
        keys: by.map((key) => of(key.of)(row)),
        values: items.map(({ expression }) => of(expression)(row)),
      };
    });
    found.sort((a, b) => {
      for (const [i, { down }] of by.entries()) {
        const order = compare(a.keys[i]!, b.keys[i]!) ?? 0;
        if (order !== 0) return down ? -order : order;
      }
      return 0;
    });
    values = found.map(({ values }) => values);
    countDuplicates(values, items, select, relation, rows.length, source);
  } else {
    const works = items.map(({ expression }) => compiler.compile(expression));
    const ordered = by.length > 0 ? sorted(rows, compiler, by) : rows;
    values = ordered.map((row) => works.map((work) => work(row)));
  }
  return { columns: columnsOf(items, values, compiler), rows: values };
}

/** The text of `database_name = 'text'` if that is a condition of all rows. */
function wantedDatabase(where: Expression | undefined): string | undefined {
  if (where?.is !== "binary") return undefined;
  const { sign, left, right } = where;
  if (sign === "AND") return wantedDatabase(left) ?? wantedDatabase(right);
  const named = sign === "=" && left.is === "column" && left.name === "database_name" && right.is === "value";
  return named && typeof right.value === "string" ? right.value : undefined;
}

function groupsOf(rows: readonly Row[], by: Expression[], compiler: Compiler): (readonly Row[])[] {
  const works = by.map((of) => compiler.compile(of));
  const groups = new Map<Cell, Row[]>();
  const plain = (value: Value): Cell => value instanceof Time ? value.nanos : value;
  for (const row of rows) {
    const key = works.length === 1
      ? plain(works[0]!(row))
      : works.map((work) => String(plain(work(row)))).join("\0");
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  return [...groups.values()];
}

/** Where counts lie: count(*) of nothing in 2.3 and 2.4.0, and a count alone in 2.4.3, which the files' statistics answer. */
function countDuplicates(
  values: Value[][],
  items: Item[],
  select: Select,
  { duplicates = 0 }: Relation,
  rows: number,
  { emptyIsNull }: Source,
): void {
  const at = items.findIndex(({ expression }) => expression.is !== "value");
  const only = items[at]?.expression;
  const alone = items.every(({ expression }, i) => i === at || expression.is === "value");
  if (!alone || only?.is !== "call" || only.name !== "count" || select.where || select.group.length > 0) {
    return;
  }
  if (only.star && rows === 0 && emptyIsNull) values[0]![at] = null;
  const everyRow = only.star || only.of[0]?.is === "column" && only.of[0].name === "time";
  if (everyRow && duplicates > 0) values[0]![at] = BigInt(rows + duplicates);
}

function columnsOf(items: Item[], values: Value[][], compiler: Compiler): Named[] {
  return items.map(({ expression, alias }, i) => {
    const source = expression.is === "column" ? compiler.column(expression.name) : undefined;
    const example = values.find((row) => row[i] !== null)?.[i];
    return {
      name: alias ?? compiler.label(expression),
      type: source?.type ?? typeOf(example),
      ...(example instanceof Time ? { unit: example.unit } : {}),
      ...(source?.unit === undefined ? {} : { unit: source.unit }),
    };
  });
}

function asRelation({ columns, rows }: Result): Relation {
  const cell = (value: Value): Cell => value instanceof Time ? value.count : value;
  const names = columns.map(({ name }) => name);
  return {
    label: "",
    columns,
    rows: rows.map((row) => {
      const named: Row = {};
      for (let i = 0; i < names.length; i++) named[names[i]!] = cell(row[i]!);
      return named;
    }),
  };
}
