/** What the stand-in's SQL side does: statements on the meta store and the rows, and COPY with all its treacheries. */
import { Buffer } from "node:buffer";
import type { Database, Meta, Table, User } from "./meta.ts";
import { columnType, type Row, type Rows, rowsKey, UNITS, upsert } from "./rows.ts";
import { type DatabaseOptions, type Fields, newDatabase, since, type Version } from "./shapes.ts";
import { Parser, type Query } from "./sql_parser.ts";
import { runQuery } from "./sql_select.ts";
import {
  cast,
  print,
  type Relation,
  type Result,
  SqlError,
  Time,
  type Type,
  type Value,
} from "./sql_values.ts";
import { Troubles } from "./troubles.ts";
import { fileName, openStage, queryId, readFile, type Retry, StoreError, writeFile } from "./stage.ts";

/** A tenant's limit on rows written: below one a write fails, and counts against it otherwise. */
export interface Limit {
  rows: number;
  /** What `rows` fills up to. */
  max: number;
  refillPerSecond: number;
}

/** What a statement runs with. */
export interface Session {
  user: User;
  tenant: string;
  database: string;
  /** Aborted when the client goes away. */
  signal: AbortSignal;
  /** Stops an import after half its rows, as a node that dies. */
  half: boolean;
  /** Which data node it came to, counting from 0. */
  node: number;
  /** Rows that were read for it so far. */
  scanned?: number;
}

export interface EngineOptions {
  auth: boolean;
  nowMs: () => number;
  statementMs: number;
  importMs: number;
  scanMsPer1000Rows: number;
  importMsPer1000Rows: number;
  elections: number;
  late: { rows: number; looks: number } | undefined;
  retry: Retry;
}

const NONE: Result = { columns: [], rows: [] };
const count = (rows: number): Result => ({
  columns: [{ name: "rows", type: "BIGINT" }],
  rows: [[BigInt(rows)]],
});

/** Waits, or throws when the client goes away. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (ms <= 0) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const gone = () => reject(signal.reason);
  signal.addEventListener("abort", gone);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", gone);
  }
}

/** The SQL side of one cluster. */
export class Engine {
  readonly limits = new Map<string, Limit>();
  readonly troubles = new Troubles();
  /** Queries that never end, by id. */
  readonly queries = new Map<string, string>();
  readonly #duplicates = new Map<string, number>();
  readonly #refilledMs = new Map<string, number>();
  readonly #imports = new Map<string, Promise<void>>();
  readonly version: Version;

  constructor(readonly meta: Meta, readonly rows: Rows, readonly options: EngineOptions) {
    this.version = meta.version;
  }

  #from(version: Version): boolean {
    return since(this.version, version);
  }

  /** Carries out one statement. Throws SqlError. */
  async run(sql: string, session: Session): Promise<Result> {
    const parser = new Parser(sql);
    if (parser.statements === 0) return NONE;
    if (parser.statements > 1) {
      throw new SqlError("010013", `Multi-statement not allow, found num:${parser.statements}, sql:${sql}`);
    }
    const { user } = session;
    const altersUser = parser.accept("ALTER", "USER");
    if (this.options.auth && this.#from("2.4.1") && user.mustChangePassword && !altersUser) {
      throw new SqlError("010004", "Insufficient privileges, expected [change password]");
    }
    this.troubles.check(sql, session.node, false);
    const result = await this.#carryOut(parser, sql, session, altersUser);
    this.troubles.check(sql, session.node, true);
    return result;
  }

  async #carryOut(parser: Parser, sql: string, session: Session, altersUser: boolean): Promise<Result> {
    const { signal } = session;
    if (altersUser) return await this.#alterUser(parser);
    if (parser.accept("COPY", "INTO")) return await this.#copy(parser, sql, session);
    await pause(this.options.statementMs, signal);
    if (parser.peek.text.toUpperCase() === "SELECT") {
      const query = parser.query();
      parser.end();
      const result = this.#select(query, session);
      await this.#scan(session);
      return result;
    }
    if (parser.accept("SHOW", "DATABASES")) return this.#showDatabases(session);
    if (parser.accept("SHOW", "TABLES")) return this.#showTables(parser, session);
    if (parser.accept("DESCRIBE", "TABLE")) return this.#describeTable(parser.path(), session);
    if (parser.accept("DESCRIBE", "DATABASE")) return this.#describeDatabase(parser.name(), session);
    if (parser.accept("CREATE", "DATABASE")) return this.#createDatabase(parser, session);
    if (parser.accept("ALTER", "DATABASE")) return this.#alterDatabase(parser, session);
    if (parser.accept("DROP", "DATABASE")) return this.#dropDatabase(parser, session);
    if (parser.accept("CREATE", "TABLE")) return this.#createTable(parser, session);
    if (parser.accept("DROP", "TABLE")) return this.#dropTable(parser, session);
    if (parser.accept("INSERT")) return await this.#insert(parser, session);
    if (["SHOW", "DESCRIBE", "CREATE", "ALTER", "DROP"].includes(parser.peek.text.toUpperCase())) {
      throw new SqlError("010005", `This feature is not implemented: ${sql} (by the stand-in)`);
    }
    return parser.fail("an SQL statement");
  }

  // ---- tables ----

  #place(path: string[], session: Session): { database: string; name: string } {
    return { database: path.at(-2) ?? session.database, name: path.at(-1)! };
  }

  #table(path: string[], session: Session): Table {
    const { database, name } = this.#place(path, session);
    const table = this.meta.database(session.tenant, database) &&
      this.meta.table(session.tenant, database, name);
    if (table !== undefined) return table;
    if (this.#from("2.4.3")) {
      throw new SqlError("030019", `Table not found: "${session.tenant}.${database}.${name}"`);
    }
    throw new SqlError(
      "010001",
      `Datafusion: Error during planning: Table not found, tenant: ${session.tenant} db: ${database}, table: ${name}`,
    );
  }

  #rowsOf(table: Table): Row[] {
    const key = rowsKey(table.tenant, table.database, table.name);
    const rows = this.rows.get(key) ?? [];
    this.rows.set(key, rows);
    return rows;
  }

  #relation(path: string[], session: Session, wanted?: string): Relation {
    const { database, name } = this.#place(path, session);
    const system = this.#systemTable(database.toLowerCase(), name.toLowerCase(), session, wanted);
    if (system !== undefined) return system;
    const table = this.#table(path, session);
    const columns = table.columns.map((column) => {
      const { kind, type, unit } = columnType(column);
      return kind === "TIME"
        ? { name: column.name, type: "TIMESTAMP" as const, unit }
        : { name: column.name, type: type as Type };
    });
    const key = rowsKey(table.tenant, table.database, name);
    const rows = this.troubles.visible(key, this.rows.get(key) ?? []);
    session.scanned = (session.scanned ?? 0) + rows.length;
    const ids = new Set(table.columns.map((column) => column.id));
    if (this.#from("2.4.1") && ids.size < table.columns.length && rows.length > 0) {
      // Seen on real servers; the text is not recorded.
      throw new SqlError(
        "010001",
        "Datafusion: Arrow error: Invalid argument error: column types must match schema types",
      );
    }
    const duplicates = this.#duplicates.get(key) ?? 0;
    return { label: name, columns, rows, duplicates };
  }

  #select(query: Query, session: Session): Result {
    return runQuery(query, {
      table: (path, wanted) => this.#relation(path, session, wanted),
      emptyIsNull: !this.#from("2.4.1"),
      nowMs: this.options.nowMs,
    });
  }

  /** Waits as long as the rows that were read take. */
  async #scan({ scanned = 0, signal }: Session): Promise<void> {
    await pause(scanned / 1000 * this.options.scanMsPer1000Rows, signal);
  }

  /** @param wanted the only database that is asked about, so that the tables of all others need not be read */
  #systemTable(database: string, name: string, session: Session, wanted?: string): Relation | undefined {
    const { tenant, user } = session;
    const relation = (columns: [string, Type][], rows: Value[][]): Relation => ({
      label: name,
      columns: columns.map(([name, type]) => ({ name, type })),
      rows: rows.map((row) => Object.fromEntries(columns.map(([name], i) => [name, row[i]]))) as Row[],
    });
    const strings = (...names: string[]) => names.map((name): [string, Type] => [name, "STRING"]);
    const tables = () => {
      const databases = this.meta.databases(tenant, wanted);
      return databases.flatMap(({ name }) => this.meta.tables(tenant, name));
    };
    switch (`${database}.${name}`) {
      case "cluster_schema.tenants":
        if (tenant !== "cnosdb") return undefined;
        return relation(
          strings("tenant_name", "tenant_options"),
          user.admin ? this.#tenants().map(({ name, options }) => [name as string, this.#json(options)]) : [],
        );
      case "cluster_schema.users":
        if (tenant !== "cnosdb") return undefined;
        return relation(
          [["user_name", "STRING"], ["is_admin", "BOOLEAN"], ["user_options", "STRING"]],
          user.admin ? this.meta.users().map((user) => [user.name, user.admin, this.#options(user)]) : [],
        );
      case "information_schema.databases": {
        const fields = this.meta.databases(tenant).map((database) => this.#databaseFields(database));
        const names = Object.keys(fields[0] ?? {});
        return relation(
          [
            ["tenant_name", "STRING"],
            ["database_name", "STRING"],
            ...names.map((n): [string, Type] => [n, "STRING"]),
          ],
          this.meta.databases(tenant).map(({ name }, i) => [tenant, name, ...Object.values(fields[i]!)]),
        );
      }
      case "information_schema.tables":
        return relation(
          strings(
            "table_tenant",
            "table_database",
            "table_name",
            "table_type",
            "table_engine",
            "table_options",
          ),
          tables().map(({ database, name, engine }) => [tenant, database, name, "TABLE", engine, "TODO"]),
        );
      case "information_schema.columns":
        return relation(
          [
            ...strings("tenant_name", "database_name", "table_name", "column_name", "column_type"),
            ["ordinal_position", "BIGINT"],
            ["column_default", "STRING"],
            ["is_nullable", "BOOLEAN"],
            ...strings("data_type", "compression_codec"),
          ],
          tables().flatMap((table) =>
            table.columns.map((column, i) => {
              const { kind, type } = columnType(column);
              const names = [tenant, table.database, table.name, column.name, kind];
              return [...names, BigInt(i), "NULL", kind !== "TIME", type, column.encoding.toUpperCase()];
            })
          ),
        );
      default:
        return undefined;
    }
  }

  #tenants(): Fields[] {
    try {
      return this.meta.tenants();
    } catch (error) {
      const reason = `failed to list tenant Encode/Decode message error reason: ${(error as Error).message}`;
      throw new SqlError("010001", `Datafusion: Internal error: ${reason}.`);
    }
  }

  #json(options: unknown): string {
    return this.meta.shapes.tenantOptions.write(options as Fields);
  }

  #options(user: User): string {
    const secret = { password: "*****", hash_password: "*****" };
    return this.meta.shapes.userOptions.write({ ...(user.fields.options as Fields), ...secret });
  }

  // ---- databases ----

  /** How long something lasts, as a version prints it. */
  #duration(value: unknown, none: string): string {
    if (value === null) return none;
    const { time_num, unit, duration, is_inf } = value as Fields;
    if (is_inf === true || unit === "Inf") return "INF";
    if (duration === undefined) return `${time_num} ${unit === "Minutes" ? unit : `${unit}s`}`;
    let rest = (duration as { secs: bigint }).secs;
    const parts: string[] = [];
    const units: [string, bigint][] = [["year", 31557600n], ["month", 2630016n], ["day", 86400n]];
    for (const [unit, seconds] of [...units, ["h", 3600n], ["m", 60n], ["s", 1n]] as [string, bigint][]) {
      const number = rest / seconds;
      rest %= seconds;
      if (number > 0n) parts.push(`${number}${unit}${number > 1n && unit.length > 1 ? "s" : ""}`);
    }
    return parts.join(" ") || "0s";
  }

  /** Reads a duration as a version does. Throws SqlError. */
  #parseDuration(text: string): unknown {
    if (!this.#from("2.4.2")) {
      const match = /^(\d+)([dhm]?)$/i.exec(text);
      if (match !== null) {
        const unit = { d: "Day", h: "Hour", m: "Minutes", "": "Day" }[match[2]!.toLowerCase()];
        return { time_num: BigInt(match[1]!), unit };
      }
      const kind = this.#from("2.4.0") ? "duration" : "precision, use like 'ms', 'us', 'ns'";
      throw new SqlError("010009", `sql parser error: ${text} is not a valid ${kind}`);
    }
    if (text.toUpperCase() === "INF") return { duration: { secs: 0n, nanos: 0n }, is_inf: true };
    const units: [RegExp, bigint][] = [
      [/^(s|secs?|seconds?)$/, 1n],
      [/^(m|mins?|minutes?)$/, 60n],
      [/^(h|hrs?|hours?)$/, 3600n],
      [/^(d|days?|)$/, 86400n],
      [/^(w|weeks?)$/, 604800n],
      [/^(M|months?)$/, 2630016n],
      [/^(y|years?)$/, 31557600n],
    ];
    const parts = [...text.matchAll(/(\d+)\s*([a-z]*)\s*/gi)];
    const known = parts.map((part) => units.find(([names]) => names.test(part[2]!))?.[1]);
    const whole = parts.map((part) => part[0]).join("") === text.trim() && parts.length > 0;
    const alone = parts.length === 1 || parts.every((part) => part[2] !== "");
    const secs = parts.reduce((sum, part, i) => sum + BigInt(part[1]!) * (known[i] ?? 0n), 0n);
    if (!whole || !alone || known.includes(undefined) || secs >= 2n ** 64n) {
      throw new SqlError("010009", `sql parser error: ${text} is not a valid duration or duration overflow`);
    }
    return { duration: { secs, nanos: 0n }, is_inf: false };
  }

  #databaseFields(database: Database): Record<string, Value> {
    const config = database.fields.config as Fields;
    const options = (database.fields.options ?? config) as Fields;
    const fields: Record<string, Value> = {
      ttl: this.#duration(options.ttl, "INF"),
      shard: database.shards,
      vnode_duration: this.#duration(options.vnode_duration, "365 Days"),
      replica: database.replica,
      [this.version === "2.3.3" ? "percision" : "precision"]: database.precision,
    };
    if (!this.#from("2.4.2")) return fields;
    const size = (bytes: unknown) => {
      const mebibytes = Number(bytes) / 2 ** 20;
      return mebibytes >= 1024 ? `${mebibytes / 1024} GiB` : `${mebibytes} MiB`;
    };
    return {
      ...fields,
      max_memcache_size: size(config.max_memcache_size),
      memcache_partitions: config.memcache_partitions as bigint,
      wal_max_file_size: size(config.wal_max_file_size),
      wal_sync: config.wal_sync as boolean,
      strict_write: config.strict_write as boolean,
      max_cache_readers: config.max_cache_readers as bigint,
    };
  }

  #database(name: string, session: Session): Database {
    const database = this.meta.database(session.tenant, name);
    if (database === undefined) throw new SqlError("030017", `Database not found: ${JSON.stringify(name)}`);
    return database;
  }

  #showDatabases({ tenant }: Session): Result {
    const names = this.meta.databases(tenant).map(({ name }) => name).sort();
    return { columns: [{ name: "database_name", type: "STRING" }], rows: names.map((name) => [name]) };
  }

  #showTables(parser: Parser, session: Session): Result {
    const database = parser.accept("ON") ? parser.name() : session.database;
    parser.end();
    const names = this.meta.database(session.tenant, database) === undefined
      ? []
      : this.meta.tables(session.tenant, database).map(({ name }) => name).sort();
    return { columns: [{ name: "table_name", type: "STRING" }], rows: names.map((name) => [name]) };
  }

  #describeTable(path: string[], session: Session): Result {
    const names = ["column_name", "data_type", "column_type", "compression_codec"];
    const rows = this.#table(path, session).columns.map((column) => {
      const { kind, type } = columnType(column);
      return [column.name, type, kind, column.encoding.toUpperCase()];
    });
    return { columns: this.#named(names), rows };
  }

  /** Columns of a DESCRIBE: 2.3.3 names them in capitals. */
  #named(names: string[]): Result["columns"] {
    return names.map((name) => ({
      name: this.version === "2.3.3" ? name.toUpperCase() : name,
      type: "STRING" as const,
    }));
  }

  #describeDatabase(name: string, session: Session): Result {
    const { percision, ...fields } = this.#databaseFields(this.#database(name, session));
    const all = percision === undefined ? fields : { ...fields, precision: percision };
    const values = Object.values(all).map((value) => this.version === "2.3.3" ? print(value) : value);
    return { columns: this.#named(Object.keys(all)), rows: [values] };
  }

  #databaseOptions(parser: Parser): DatabaseOptions {
    const options: DatabaseOptions = {};
    for (;;) {
      const word = parser.peek.kind === "word" ? parser.peek.text.toUpperCase() : "";
      if (parser.peek.kind !== "word") break;
      parser.take();
      parser.accept("=");
      if (word === "TTL") options.ttl = this.#parseDuration(parser.string());
      else if (word === "VNODE_DURATION") options.vnodeDuration = this.#parseDuration(parser.string());
      else if (word === "SHARD") options.shards = parser.number();
      else if (word === "REPLICA") options.replica = parser.number();
      else if (word === "PRECISION") options.precision = parser.string().toUpperCase();
      else parser.fail("database option");
    }
    parser.end();
    return options;
  }

  #checkNodes(replica: bigint): void {
    const nodes = this.meta.healthyNodes().length;
    if (replica > BigInt(nodes)) {
      throw new SqlError("030053", `Valid node is not enough, need: ${replica}, but found: ${nodes}`);
    }
  }

  #createDatabase(parser: Parser, { tenant }: Session): Result {
    const ifNotExists = parser.accept("IF", "NOT", "EXISTS");
    const name = parser.name();
    parser.accept("WITH");
    const options = this.#databaseOptions(parser);
    if (this.meta.database(tenant, name) !== undefined) {
      if (ifNotExists) return NONE;
      throw new SqlError("030018", `Database ${JSON.stringify(name)} already exists`);
    }
    this.#checkNodes(options.replica ?? 1n);
    this.meta.setDatabase(tenant, name, newDatabase(this.version, tenant, name, options));
    return NONE;
  }

  #alterDatabase(parser: Parser, session: Session): Result {
    const name = parser.name();
    parser.expect("SET");
    const { ttl, shards, vnodeDuration, replica } = this.#databaseOptions(parser);
    const { fields } = this.#database(name, session);
    if (replica !== undefined) this.#checkNodes(replica);
    const changed = {
      ...(fields.options ?? fields.config) as Fields,
      ...(ttl === undefined ? {} : { ttl }),
      ...(shards === undefined ? {} : { shard_num: shards }),
      ...(vnodeDuration === undefined ? {} : { vnode_duration: vnodeDuration }),
      ...(replica === undefined ? {} : { replica }),
    };
    const place = fields.options === undefined ? "config" : "options";
    this.meta.setDatabase(session.tenant, name, { ...fields, [place]: changed });
    return NONE;
  }

  #dropDatabase(parser: Parser, session: Session): Result {
    const ifExists = parser.accept("IF", "EXISTS");
    const name = parser.name();
    if (ifExists && this.meta.database(session.tenant, name) === undefined) return NONE;
    this.#database(name, session);
    const { cluster, store } = this.meta;
    const path = `/${cluster}/tenants/${session.tenant}/dbs/${name}`;
    for (const key of [path, ...store.sorted(`${path}/`)]) this.meta.remove(key);
    for (const key of this.rows.keys()) {
      if (key.startsWith(`${session.tenant}/${name}/`)) this.rows.delete(key);
    }
    if (this.#from("2.4.0")) this.#noteDrop(session.tenant, name);
    return NONE;
  }

  /** 2.4 remembers for a while what it dropped. */
  #noteDrop(tenant: string, name: string): void {
    const id = this.meta.tenant(tenant)!.id;
    const key = `${tenant}-${name}`;
    const whose = this.#from("2.4.1")
      ? `"tenant_id_and_db":[${id},${JSON.stringify(name)}],"name":${JSON.stringify(key)}`
      : `"tenant_id":${id},"names":${JSON.stringify([tenant, name])}`;
    this.meta.set(
      `/${this.meta.cluster}/resourceinfos/${key}`,
      `{"time":${BigInt(Math.trunc(this.options.nowMs())) * 1000000n},${whose},"operator":{"DropDatabase":` +
        `${JSON.stringify([tenant, name])}},"try_count":1,"after":null,"status":"Successed","comment":""` +
        `${this.#from("2.4.1") ? ',"execute_node_id":1001,"is_new_add":false' : ""}}`,
    );
  }

  /** What a server does now and then in the background: buckets that lie wholly beyond the TTL go, with their rows. */
  dropExpired(): void {
    for (const tenant of this.meta.tenants().map(({ name }) => name as string)) {
      for (const database of this.meta.databases(tenant)) {
        const oldest = this.#oldest(database, this.#unit(database));
        const gone = this.meta.buckets(tenant, database.name).filter(({ end }) => end <= oldest);
        const inside = (time: bigint) => gone.some(({ start, end }) => time >= start && time < end);
        for (const { key } of gone) this.meta.remove(key);
        for (const { name } of gone.length > 0 ? this.meta.tables(tenant, database.name) : []) {
          const key = rowsKey(tenant, database.name, name);
          this.rows.set(key, (this.rows.get(key) ?? []).filter(({ time }) => !inside(time as bigint)));
        }
      }
    }
  }

  #unit(database: Database): bigint {
    return { MS: 1000n, US: 1000000n }[database.precision] ?? UNITS.Nanosecond!;
  }

  /** The oldest time that a database keeps. */
  #oldest(database: Database, unit: bigint): bigint {
    if (database.ttlSeconds === null) return -(2n ** 63n);
    return BigInt(Math.trunc(this.options.nowMs())) * unit / 1000n - database.ttlSeconds * unit;
  }

  // ---- tables and users ----

  #createTable(parser: Parser, session: Session): Result {
    const ifNotExists = parser.accept("IF", "NOT", "EXISTS");
    const { database: databaseName, name } = this.#place(parser.path(), session);
    const database = this.#database(databaseName, session);
    const types: Record<string, string> = {
      DOUBLE: "Float",
      BIGINT: "Integer",
      "BIGINT UNSIGNED": "Unsigned",
      BOOLEAN: "Boolean",
      STRING: "String",
    };
    const fields: { name: string; type: string; codec: string }[] = [];
    let tags: string[] = [];
    parser.list(() => {
      if (parser.accept("TAGS")) {
        tags = parser.list(() => parser.name());
        return;
      }
      const name = parser.name();
      const type = types[parser.type()] ?? parser.fail("a field type");
      const codec = parser.accept("CODEC") ? parser.list(() => parser.name())[0]! : "Default";
      fields.push({ name, type, codec: codec[0]!.toUpperCase() + codec.slice(1).toLowerCase() });
    });
    parser.end();
    if (this.meta.table(session.tenant, databaseName, name) !== undefined) {
      if (ifNotExists) return NONE;
      throw new SqlError("030020", `Table ${name} already exists.`);
    }
    const unit = { MS: "Millisecond", US: "Microsecond" }[database.precision] ?? "Nanosecond";
    const columns = [
      { name: "time", column_type: { name: "Time", content: unit }, encoding: "Default" },
      ...tags.map((name) => ({ name, column_type: "Tag", encoding: "Default" })),
      ...fields.map(({ name, type, codec }) => ({
        name,
        column_type: { name: "Field", content: type },
        encoding: codec === "Bitpack" ? "BitPack" : codec,
      })),
    ].map((column, i) => ({ id: BigInt(i), ...column }));
    this.meta.setTable({ tenant: session.tenant, database: databaseName, name, engine: "TSKV", columns });
    return NONE;
  }

  #dropTable(parser: Parser, session: Session): Result {
    const ifExists = parser.accept("IF", "EXISTS");
    const path = parser.path();
    const { database, name } = this.#place(path, session);
    if (ifExists && this.meta.table(session.tenant, database, name) === undefined) return NONE;
    this.#table(path, session);
    this.meta.remove(`/${this.meta.cluster}/tenants/${session.tenant}/dbs/${database}/schemas/${name}`);
    this.rows.delete(rowsKey(session.tenant, database, name));
    this.#duplicates.delete(rowsKey(session.tenant, database, name));
    return NONE;
  }

  async #alterUser(parser: Parser): Promise<Result> {
    const name = parser.name();
    parser.expect("SET");
    const option = parser.name();
    parser.expect("=");
    const { text } = parser.take();
    parser.end();
    const user = this.meta.user(name);
    if (user === undefined) throw new SqlError("030008", `The user ${name} not found`);
    const options = { ...user.fields.options as Fields };
    if (option === "password") {
      const hash = this.version === "2.3.3" ? text : await hashPassword(text);
      options[this.#from("2.4.0") ? "hash_password" : "password"] = hash;
      if (this.#from("2.4.1") && user.mustChangePassword) options.must_change_password = false;
    } else if (option === "must_change_password") {
      options.must_change_password = text.toLowerCase() === "true";
    } else if (option === "comment") options.comment = text;
    else parser.fail("password, must_change_password or comment");
    this.meta.setUser({ ...user, fields: { ...user.fields, options } });
    return NONE;
  }

  async #insert(parser: Parser, session: Session): Promise<Result> {
    parser.accept("INTO");
    const table = this.#table(parser.path(), session);
    const names = parser.peek.text === "("
      ? parser.list(() => parser.name())
      : table.columns.map((column) => column.name);
    parser.expect("VALUES");
    const rows: Value[][] = [];
    do {
      const values = parser.list(() => parser.expression());
      const items = values.map((expression) => ({ expression }));
      rows.push(this.#select({ selects: [{ items, group: [] }], order: [] }, session).rows[0]!);
    } while (parser.accept(","));
    parser.end();
    await this.#write(table, names, rows, session);
    return count(rows.length);
  }

  // ---- COPY ----

  async #copy(parser: Parser, sql: string, session: Session): Promise<Result> {
    if (parser.peek.kind === "string") return await this.#export(parser, sql, session);
    return await this.#import(parser, session);
  }

  /** CONNECTION = (…) and FILE_FORMAT = (…). Throws SqlError where the format is none of parquet's. */
  #copyOptions(parser: Parser): { connection: Map<string, string>; checkFormat: () => void } {
    let connection = new Map<string, string>(), format = connection;
    for (;;) {
      if (parser.accept("CONNECTION")) connection = parser.options();
      else if (parser.accept("FILE_FORMAT")) format = parser.options();
      else if (parser.accept("COPY_OPTIONS")) parser.options();
      else break;
    }
    parser.end();
    const checkFormat = () => {
      if (this.#from("2.4.1") && (format.has("delimiter") || format.has("with_header"))) {
        throw new SqlError("010003", "Semantic error: delimiter and with_header fields are specific to CSV");
      }
      const type = format.get("type") ?? "CSV";
      if (type.toUpperCase() !== "PARQUET") {
        throw new SqlError("010005", `This feature is not implemented: TYPE = ${type} (by the stand-in)`);
      }
    };
    return { connection, checkFormat };
  }

  async #export(parser: Parser, sql: string, session: Session): Promise<Result> {
    const url = parser.string();
    parser.expect("FROM");
    let query: Query;
    if (parser.accept("(")) {
      query = parser.query();
      parser.expect(")");
    } else query = { selects: [{ items: ["*"], group: [], from: parser.path() }], order: [] };
    const { connection, checkFormat } = this.#copyOptions(parser);
    const stage = openStage(url, connection, this.version, this.options.retry, session.signal);
    const { from } = query.selects[0]!;
    if (Array.isArray(from)) {
      const { database, name } = this.#place(from, session);
      if (this.meta.table(session.tenant, database, name)?.engine === "STREAM") {
        checkFormat();
        return this.#startQuery(sql, session);
      }
    }
    const result = this.#select(query, session);
    checkFormat();
    await pause(this.options.statementMs, session.signal);
    await this.#scan(session);
    if (result.rows.length > 0) {
      try {
        await stage.write(fileName(this.version), writeFile(result));
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        const prefix = this.#from("2.4.2") ? "object store error" : "ObjectStore";
        throw new SqlError("010047", `${prefix}: ${error.message}`);
      }
    }
    return count(result.rows.length);
  }

  /** A stream table is never exported: a query starts that goes on for ever, and is kept in the meta store since 2.4.2. */
  #startQuery(sql: string, { tenant, database, user }: Session): Result {
    const id = queryId();
    this.queries.set(id, sql);
    if (this.#from("2.4.2")) {
      const global = (name: string) => ({ Global: name });
      const object = (name: unknown) => ({ TenantObject: [name, null] });
      const privileges = [
        ...[{ Tenant: null }, { User: null }].map((name) => ({ Global: name })),
        global("System"),
        ...[{ Database: ["Full", null] }, "RoleFull", "System", "MemberFull"].map(object),
      ].map((privilege) => JSON.stringify(privilege));
      this.meta.set(
        `/${this.meta.cluster}/queries/${id}`,
        `{"query_id":${id},"query":${JSON.stringify(sql)},"tenant_id":${this.meta.tenant(tenant)!.id},` +
          `"tenant_name":${JSON.stringify(tenant)},"database_name":${
            JSON.stringify(database)
          },"user":{"desc":` +
          `${
            this.meta.shapes.user.write(user.fields)
          },"privileges":[${privileges},{"Global":{"User":${user.id}}}],` +
          `"role":null},"node_id":1001}`,
      );
      this.#makeWatermarks();
    }
    return { columns: [{ name: "query_id", type: "STRING" }], rows: [[id]] };
  }

  #makeWatermarks(): void {
    const place = { tenant: "cnosdb", database: "cluster_schema" };
    const database = this.meta.database(place.tenant, place.database);
    const name = "sql_watermark_persister";
    if (database === undefined || this.meta.table(place.tenant, place.database, name) !== undefined) return;
    const type = (name: string, content: string) => ({ column_type: { name, content }, encoding: "Default" });
    this.meta.setTable({
      ...place,
      name,
      engine: "TSKV",
      columns: [
        { id: 0n, name: "time", ...type("Time", "Nanosecond") },
        { id: 1n, name: "query_id", ...type("Field", "String") },
        { id: 2n, name: "watermark", ...type("Field", "String") },
      ],
    });
    const now = BigInt(Math.trunc(this.options.nowMs())) * 1000000n;
    this.meta.createBucket(place.tenant, database, now, UNITS.Nanosecond!);
  }

  async #import(parser: Parser, session: Session): Promise<Result> {
    const path = parser.path();
    parser.expect("FROM");
    const url = parser.string();
    const { connection, checkFormat } = this.#copyOptions(parser);
    const stage = openStage(url, connection, this.version, this.options.retry, session.signal);
    const table = this.#table(path, session);
    checkFormat();
    if (table.engine !== "TSKV") {
      throw new SqlError("010005", `This feature is not implemented: COPY INTO a ${table.engine} table`);
    }
    const rows: Value[][] = [];
    const names = table.columns.map((column) => column.name);
    try {
      for (const file of await stage.list()) {
        const { columns, rows: read } = await readFile(stage, file);
        // By name, case and all: what is missing is null, what is too much is dropped, in silence.
        const from = names.map((name) => columns.findIndex((column) => column.name === name));
        for (const row of read) rows.push(from.map((i) => row[i] ?? null));
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      throw new SqlError("010001", `Datafusion: Object Store error: ${error.message}`);
    }
    const { statementMs, importMsPer1000Rows } = this.options;
    const importMs = this.options.importMs + rows.length / 1000 * importMsPer1000Rows;
    const write = () => this.#write(table, names, rows, session, importMs || statementMs);
    await (importMs > 0 ? this.#inTurn(`${session.tenant}/${table.database}`, write) : write());
    return count(rows.length);
  }

  /** Imports into one database wait for each other, as they share its raft groups. */
  async #inTurn(place: string, write: () => Promise<void>): Promise<void> {
    const before = this.#imports.get(place) ?? Promise.resolve();
    const mine = before.then(write);
    this.#imports.set(place, mine.catch(() => {}));
    await mine;
  }

  /** An error of the meta service met while writing, which the coordinator wraps before 2.4.2. */
  writeError(code: string, message: string): SqlError {
    return this.#from("2.4.2")
      ? new SqlError(code, message)
      : new SqlError("050001", `Meta request error: ${message}`);
  }

  /** Writes rows, half of them after half of the time: an import that is cut leaves what it wrote. */
  async #write(table: Table, names: string[], values: Value[][], session: Session, ms = 0): Promise<void> {
    const columns = names.map((name) => {
      const column = table.columns.find((column) => column.name === name);
      if (column === undefined) throw new SqlError("010021", `Column ${name} not found.`);
      return { name, ...columnType(column) };
    });
    const rows = values.map((row) =>
      Object.fromEntries(columns.map(({ name, kind, type, unit }, i) => {
        const value = cast(row[i] ?? null, kind === "TIME" ? "TIMESTAMP" : type as Type, unit);
        return [name, value instanceof Time ? value.count : value];
      }))
    ) as Row[];
    const middle = Math.ceil(rows.length / 2);
    for (const half of [rows.slice(0, middle), rows.slice(middle)]) {
      await pause(ms / 2, session.signal);
      for (let i = 0; i < half.length; i += 1000) this.#writeRows(table, half.slice(i, i + 1000));
      if (session.half) throw new DOMException("cut", "AbortError");
    }
  }

  #writeRows(table: Table, rows: Row[]): void {
    const { tenant } = table;
    const fields = table.columns.filter((column) => columnType(column).kind === "FIELD");
    if (rows.some((row) => (row.time ?? null) === null)) {
      throw new SqlError("010023", "Column time cannot be null.");
    }
    if (rows.some((row) => fields.every(({ name }) => (row[name] ?? null) === null))) {
      throw new SqlError(this.#from("2.4.2") ? "050034" : "020002", "Fields can't be empty");
    }
    this.troubles.checkLeader(`${tenant}/${table.database}`, this.options.elections);
    this.#takeTokens(tenant, rows.length);
    const { late } = this.options, first = this.#rowsOf(table).length === 0;
    this.put(tenant, table.database, table.name, rows);
    if (late !== undefined && first) {
      this.troubles.hide(rowsKey(tenant, table.database, table.name), late.rows, late.looks);
    }
  }

  /** Writes rows into a table, making buckets where there are none. Throws SqlError. */
  put(tenant: string, databaseName: string, name: string, rows: readonly Row[]): void {
    const table = this.meta.table(tenant, databaseName, name);
    if (table === undefined) throw new SqlError("030019", `Table not found: ${databaseName}.${name}`);
    const database = this.meta.database(tenant, table.database)!;
    const { unit } = columnType(table.columns[0]!);
    const oldest = this.#oldest(database, unit);
    let buckets = this.meta.buckets(tenant, table.database);
    let last: { start: bigint; end: bigint } | undefined;
    for (const row of rows) {
      const time = row.time as bigint;
      const holds = ({ start, end }: { start: bigint; end: bigint }) => time >= start && time < end;
      if (time < oldest && !this.#from("2.4.0")) {
        throw new SqlError("050014", "write expired time data not permit");
      }
      if (last !== undefined && holds(last)) continue;
      last = buckets.find(holds);
      if (last !== undefined) continue;
      const nodes = this.meta.healthyNodes().length;
      if (database.replica > BigInt(nodes)) {
        throw this.writeError(
          "030053",
          `Valid node is not enough, need: ${database.replica}, but found: ${nodes}`,
        );
      }
      if (time < oldest) throw this.writeError("030034", "Operation not support: create expired bucket");
      this.meta.createBucket(tenant, database, time, unit);
      buckets = this.meta.buckets(tenant, table.database);
      last = buckets.find(holds);
    }
    const overwritten = upsert(this.#rowsOf(table), rows, table.columns);
    const key = rowsKey(tenant, table.database, table.name);
    if (this.#from("2.4.3")) this.#duplicates.set(key, (this.#duplicates.get(key) ?? 0) + overwritten);
  }

  #takeTokens(tenant: string, rows: number): void {
    const limit = this.limits.get(tenant);
    if (limit === undefined) return;
    const now = this.options.nowMs();
    const refill = (now - (this.#refilledMs.get(tenant) ?? now)) / 1000 * limit.refillPerSecond;
    this.#refilledMs.set(tenant, now);
    limit.rows = Math.min(limit.max, limit.rows + refill);
    if (limit.rows < 1) throw this.writeError("030024", "CoordDataIn reached limit");
    limit.rows -= rows;
  }
}

/** bcrypt at CnosDB's cost; the library is loaded by those who need it. */
export async function hashPassword(password: string): Promise<string> {
  const bcrypt = (await import("npm:bcryptjs@3.0.3")).default;
  return await bcrypt.hash(password, 12);
}

const verified = new Map<string, boolean>();

/** Whether a password is the one behind a hash; false where the hash is none. Remembers, as it is slow. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const key = `${Buffer.from(password).toString("base64")} ${hash}`;
  if (!verified.has(key)) {
    const bcrypt = (await import("npm:bcryptjs@3.0.3")).default;
    verified.set(key, /^\$2[aby]\$\d\d\$.{53}$/.test(hash) && await bcrypt.compare(password, hash));
  }
  return verified.get(key)!;
}
