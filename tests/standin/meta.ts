/**
 * The stand-in's meta store: keys and values as text, what `/read` makes of them in each version, and what the
 * SQL side sees of them. It takes anything and finds fault only when it reads.
 */
import { decode, SerdeError, type Shape, type Variant } from "./serde.ts";
import { type Column, type Fields, type Shapes, shapesOf, since, type Version } from "./shapes.ts";

/** A map that gives its keys in the order of a dump. */
export class Store extends Map<string, string> {
  #sorted: string[] | undefined;

  override set(key: string, value: string): this {
    if (!this.has(key)) this.#sorted = undefined;
    return super.set(key, value);
  }

  override delete(key: string): boolean {
    this.#sorted = undefined;
    return super.delete(key);
  }

  override clear(): void {
    this.#sorted = undefined;
    super.clear();
  }

  /** All keys, sorted; those that begin with `prefix`, where one is given. */
  sorted(prefix = ""): string[] {
    const keys = this.#sorted ??= [...this.keys()].sort();
    let low = 0, high = keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (keys[middle]! < prefix) low = middle + 1;
      else high = middle;
    }
    let end = low;
    while (end < keys.length && keys[end]!.startsWith(prefix)) end++;
    return keys.slice(low, end);
  }
}

/** A database as all versions mean it. */
export interface Database {
  name: string;
  /** Seconds, or null for ever. */
  ttlSeconds: bigint | null;
  vnodeSeconds: bigint;
  shards: bigint;
  replica: bigint;
  precision: string;
  hidden: boolean;
  /** As stored. */
  fields: Fields;
}

/** A table: `columns` is empty but for TSKV tables. */
export interface Table {
  tenant: string;
  database: string;
  name: string;
  engine: "TSKV" | "EXTERNAL" | "STREAM";
  columns: Column[];
}

/** A user. */
export interface User {
  id: bigint;
  name: string;
  admin: boolean;
  password: string | null;
  mustChangePassword: boolean;
  fields: Fields;
}

const SECONDS: Record<string, bigint> = { Minutes: 60n, Hour: 3600n, Day: 86400n };

/** The meta store of one cluster. */
export class Meta {
  readonly shapes: Shapes;
  readonly store = new Store();
  /** Values that were read once, by their text: nobody changes them. */
  readonly #decoded = new Map<unknown, Map<string, unknown>>();

  constructor(readonly version: Version, readonly cluster: string, dump: string) {
    this.shapes = shapesOf(version);
    for (const line of dump.split("\n")) {
      const entry = line.startsWith("* ") ? line.slice(2) : line;
      const colon = entry.indexOf(": ");
      if (entry.startsWith("/") && colon > 0) this.store.set(entry.slice(0, colon), entry.slice(colon + 2));
    }
  }

  /** The text of `/dump`, or of `/debug` with its frame. */
  dump(framed = false): string {
    const lines = this.store.sorted().map((key) => `${framed ? "* " : ""}${key}: ${this.store.get(key)}\n`);
    if (!framed) return lines.join("");
    const [first, last] = since(this.version, "2.4.0")
      ? Array(2).fill(`****** ${"-".repeat(37)} ******\n`)
      : [`******${"-".repeat(27)}******\n`, `******${"-".repeat(46)}******\n`];
    return first + lines.join("") + last;
  }

  /** Writes an entry, and the version of the data. */
  set(key: string, value: string): void {
    this.store.set(key, value);
    this.#count();
  }

  /** Removes an entry. */
  remove(key: string): void {
    this.store.delete(key);
    this.#count();
  }

  #count(): void {
    this.store.set("/data_version", String(this.dataVersion() + 1));
  }

  /** How many writes there were. */
  dataVersion(): number {
    const text = this.store.get("/data_version") ?? "";
    return /^\d+$/.test(text) ? Number(text) : 0;
  }

  /** Takes `count` numbers for buckets, replication sets and vnodes, and gives the first. */
  takeIds(count: bigint): bigint {
    const key = `/${this.cluster}/auto_incr_id`;
    const first = BigInt(this.store.get(key) ?? 1);
    this.store.set(key, String(first + count));
    return first;
  }

  /** The children of a path by name, those with a slash in their name left out as the real server does. */
  *#children(path: string): Generator<[name: string, text: string]> {
    for (const key of this.store.sorted(`${path}/`)) {
      const name = key.slice(path.length + 1);
      if (name !== "" && !name.includes("/")) yield [name, this.store.get(key)!];
    }
  }

  /** The children as values: one that cannot be read fails the list from 2.4.0 on, and is left out before. */
  #list<T>(path: string, shape: Shape<T>, cluster = this.cluster): [name: string, value: T][] {
    const found: [string, T][] = [];
    for (const [name, text] of this.#children(`/${cluster}${path}`)) {
      try {
        found.push([name, decode(shape, text)]);
      } catch (error) {
        if (!(error instanceof SerdeError) || since(this.version, "2.4.0")) throw error;
      }
    }
    return found;
  }

  /** What `/read` answers to a command, without the wrapping. Throws SerdeError where the command is none. */
  read(command: string): string {
    const parsed = decode(this.shapes.command, command) as { name: string; content: unknown };
    const [cluster, ...rest] = [parsed.content].flat() as string[];
    try {
      return `{"Ok":${this.#answer(parsed.name, cluster!, rest)}}`;
    } catch (error) {
      if (!(error instanceof SerdeError)) throw error;
      return `{"Err":{"SerdeMsgInvalid":${JSON.stringify({ err: error.message })}}}`;
    }
  }

  #answer(command: string, cluster: string, [first = "", second = "", third = ""]: string[]): string {
    const { shapes } = this;
    const values = <T>(path: string, shape: Shape<T>) =>
      this.#list(path, shape, cluster).map(([, value]) => shape.write(value));
    const named = <T>(path: string, shape: Shape<T>) =>
      `{${
        this.#list(path, shape, cluster).map(([k, v]) => `${JSON.stringify(k)}:${shape.write(v)}`).join(",")
      }}`;
    const one = <T>(path: string, shape: Shape<T>) => {
      const text = this.store.get(`/${cluster}${path}`);
      return text === undefined ? "null" : shape.write(decode(shape, text));
    };
    const tenant = `/tenants/${first}`;
    switch (command) {
      case "DataNodes":
        return `[[${values("/data_nodes", shapes.dataNode)}],${this.dataVersion()}]`;
      case "NodeMetrics":
        return `[${values("/data_nodes_metrics", shapes.nodeMetrics)}]`;
      case "Users":
        return `[${values("/users", shapes.user)}]`;
      case "User":
        return one(`/users/${first}`, shapes.user);
      case "Tenants": {
        const tenants = this.#list("/tenants", shapes.tenant, cluster).map(([, value]) => value);
        return `[${tenants.filter((tenant) => !hidden(tenant)).map(shapes.tenant.write)}]`;
      }
      case "Tenant":
        return one(tenant, shapes.tenant);
      case "CustomRoles":
        return `[${values(`${tenant}/roles`, shapes.role)}]`;
      case "CustomRole":
        return one(`/tenants/${second}/roles/${first}`, shapes.role);
      case "MemberRole":
        return one(`${tenant}/members/${second}`, shapes.member);
      case "Members": {
        const names = new Map(
          this.#list("/users", shapes.user, cluster).map(([, user]) => [String(user.id), String(user.name)]),
        );
        const members = this.#list(`${tenant}/members`, shapes.member, cluster);
        const known = members.flatMap(([id, role]) => names.has(id) ? [[names.get(id)!, role] as const] : []);
        return `{${known.map(([name, role]) => `${JSON.stringify(name)}:${shapes.member.write(role)}`)}}`;
      }
      case "TableSchema":
      case "ReadTableSchema":
        return one(`${tenant}/dbs/${second}/schemas/${third}`, shapes.table);
      case "TenaneMetaData":
      case "TenantMetaData": {
        const dbs = this.#list(`${tenant}/dbs`, shapes.database, cluster).map(([name, schema]) => {
          const path = `${tenant}/dbs/${name}`;
          return `${JSON.stringify(name)}:{"schema":${shapes.database.write(schema)},` +
            `"buckets":[${values(`${path}/buckets`, shapes.bucket)}],"tables":${
              named(`${path}/schemas`, shapes.table)
            }}`;
        });
        return `{"version":${this.dataVersion()},"dbs":{${dbs}},` +
          `"roles":${named(`${tenant}/roles`, shapes.role)},"members":${
            named(`${tenant}/members`, shapes.member)
          }}`;
      }
      default:
        return "[]";
    }
  }

  /** Reads everything that a starting server reads. Throws what its panic says. */
  checkStart(): void {
    const metaData = since(this.version, "2.4.3") ? "TenantMetaData" : "TenaneMetaData";
    const commands: unknown[] = ["DataNodes", "NodeMetrics", "Users", "Tenants"].map((name) => ({
      [name]: this.cluster,
    }));
    for (const [name] of this.#children(`/${this.cluster}/tenants`)) {
      for (const list of [metaData, "CustomRoles", "Members"]) {
        commands.push({ [list]: [this.cluster, name] });
      }
    }
    for (const command of commands) {
      const answer = this.read(JSON.stringify(command));
      const error = /^\{"Err":\{"SerdeMsgInvalid":\{"err":(.*)\}\}\}$/s.exec(answer)?.[1];
      if (error !== undefined) {
        throw new Error(
          `called \`Result::unwrap()\` on an \`Err\` value: SerdeMsgInvalid { err: ${error} }, reading ` +
            JSON.stringify(command),
        );
      }
    }
  }

  /** A value for the SQL side: a running server goes on without what it cannot read. */
  #get<T>(path: string, shape: Shape<T>): T | undefined {
    const text = this.store.get(`/${this.cluster}${path}`);
    if (text === undefined) return undefined;
    let known = this.#decoded.get(shape) as Map<string, T> | undefined;
    if (known === undefined) this.#decoded.set(shape, known = new Map());
    try {
      const value = known.get(text) ?? decode(shape, text);
      known.set(text, value);
      return value;
    } catch {
      return undefined;
    }
  }

  #names(path: string): string[] {
    return [...this.#children(`/${this.cluster}${path}`)].map(([name]) => name);
  }

  /** A user by name. */
  user(name: string): User | undefined {
    const fields = this.#get(`/users/${name}`, this.shapes.user);
    if (fields === undefined) return undefined;
    const options = fields.options as Fields;
    return {
      id: fields.id as bigint,
      name,
      admin: (fields.is_root_admin ?? fields.is_admin) === true || options.granted_admin === true,
      password: (options.hash_password ?? options.password ?? null) as string | null,
      mustChangePassword: options.must_change_password === true,
      fields,
    };
  }

  /** Writes a user. */
  setUser(user: User): void {
    this.set(`/${this.cluster}/users/${user.name}`, this.shapes.user.write(user.fields));
  }

  /** All users that can be read. */
  users(): User[] {
    return this.#names("/users").flatMap((name) => this.user(name) ?? []);
  }

  /** Whether a user is a member of a tenant. */
  isMember(user: User, tenant: string): boolean {
    return this.#get(`/tenants/${tenant}/members/${user.id}`, this.shapes.member) !== undefined;
  }

  /** A tenant that is not hidden. */
  tenant(name: string): Fields | undefined {
    const tenant = this.#get(`/tenants/${name}`, this.shapes.tenant);
    return tenant === undefined || hidden(tenant) ? undefined : tenant;
  }

  /** All tenants that are not hidden. Throws SerdeError where one cannot be read, from 2.4.0 on. */
  tenants(): Fields[] {
    return this.#list("/tenants", this.shapes.tenant).map(([, value]) => value).filter((value) =>
      !hidden(value)
    );
  }

  /** A database that is not hidden. */
  database(tenant: string, name: string): Database | undefined {
    const fields = this.#get(`/tenants/${tenant}/dbs/${name}`, this.shapes.database);
    if (fields === undefined) return undefined;
    const config = fields.config as Fields;
    const options = (fields.options ?? config) as Fields;
    const seconds = (value: unknown, none: bigint | null): bigint | null => {
      if (value === null) return none;
      const { duration, is_inf, unit, time_num } = value as Fields;
      if (is_inf === true || unit === "Inf") return null;
      return duration === undefined
        ? (time_num as bigint) * SECONDS[unit as string]!
        : (duration as { secs: bigint }).secs;
    };
    const database = {
      name,
      ttlSeconds: seconds(options.ttl, null),
      vnodeSeconds: seconds(options.vnode_duration, 31536000n) ?? 0n,
      shards: (options.shard_num ?? 1n) as bigint,
      replica: (options.replica ?? 1n) as bigint,
      precision: (config.precision ?? "NS") as string,
      hidden: (fields.is_hidden ?? config.db_is_hidden ?? false) as boolean,
      fields,
    };
    return database.hidden ? undefined : database;
  }

  /** Writes a database. */
  setDatabase(tenant: string, name: string, fields: Fields): void {
    this.set(`/${this.cluster}/tenants/${tenant}/dbs/${name}`, this.shapes.database.write(fields));
  }

  /** The databases of a tenant by name, or that one of them that is wanted. */
  databases(tenant: string, wanted?: string): Database[] {
    return (wanted === undefined ? this.#names(`/tenants/${tenant}/dbs`) : [wanted]).flatMap((name) =>
      this.database(tenant, name) ?? []
    );
  }

  /** A table. */
  table(tenant: string, database: string, name: string): Table | undefined {
    const found = this.#get(`/tenants/${tenant}/dbs/${database}/schemas/${name}`, this.shapes.table);
    if (found === undefined) return undefined;
    const { name: kind, content } = found as Exclude<Variant, string>;
    const engine = kind === "TsKvTableSchema" ? "TSKV" : kind === "StreamTableSchema" ? "STREAM" : "EXTERNAL";
    return { tenant, database, name, engine, columns: ((content as Fields).columns ?? []) as Column[] };
  }

  /** Writes a TSKV table: the time first, then tags, then fields. */
  setTable(table: Table): void {
    const content = {
      tenant: table.tenant,
      db: table.database,
      name: table.name,
      schema_id: 0n,
      schema_version: 0n,
      next_column_id: BigInt(table.columns.length),
      columns: table.columns,
      columns_index: new Map(table.columns.map((column, i) => [column.name, BigInt(i)])),
    };
    this.set(
      `/${this.cluster}/tenants/${table.tenant}/dbs/${table.database}/schemas/${table.name}`,
      this.shapes.table.write({ name: "TsKvTableSchema", content }),
    );
  }

  /** The tables of a database. */
  tables(tenant: string, database: string): Table[] {
    return this.#names(`/tenants/${tenant}/dbs/${database}/schemas`)
      .flatMap((name) => this.table(tenant, database, name) ?? []);
  }

  /** The data nodes that can take a vnode. */
  healthyNodes(): bigint[] {
    return this.#names("/data_nodes").flatMap((name) => {
      const metrics = this.#get(`/data_nodes_metrics/${name}`, this.shapes.nodeMetrics);
      return metrics?.status === "Healthy" ? [metrics.id as bigint] : [];
    });
  }

  /** The buckets of a database with their keys: half-open ranges of time, in the database's precision. */
  buckets(tenant: string, database: string): { key: string; start: bigint; end: bigint }[] {
    const path = `/tenants/${tenant}/dbs/${database}/buckets`;
    return this.#names(path).flatMap((name) => {
      const bucket = this.#get(`${path}/${name}`, this.shapes.bucket);
      if (bucket === undefined) return [];
      const [start, end] = [bucket.start_time as bigint, bucket.end_time as bigint];
      return [{ key: `/${this.cluster}${path}/${name}`, start, end }];
    });
  }

  /** Makes the bucket that holds `time`, given in the database's precision, `unit` being that of a second. */
  createBucket(tenant: string, database: Database, time: bigint, unit: bigint): void {
    const nodes = this.healthyNodes();
    const length = database.vnodeSeconds * unit;
    const floor = length === 0n ? 0n : (time >= 0n ? time / length : (time + 1n) / length - 1n) * length;
    const id = this.takeIds(1n + database.shards * (1n + database.replica));
    let next = id + 1n;
    const groups = Array.from({ length: Number(database.shards) }, () => {
      const group = next++;
      const vnodes = Array.from({ length: Number(database.replica) }, (_, i) => ({
        id: next++,
        node_id: nodes[i % nodes.length] ?? 0n,
        status: "Running",
      }));
      return { id: group, leader_node_id: vnodes[0]!.node_id, leader_vnode_id: vnodes[0]!.id, vnodes };
    });
    const bucket = { id, start_time: floor, end_time: floor + length, shard_group: groups };
    this.set(
      `/${this.cluster}/tenants/${tenant}/dbs/${database.name}/buckets/${id}`,
      this.shapes.bucket.write(bucket),
    );
  }
}

/** Whether a tenant is hidden: dropped, but not yet gone. */
function hidden(tenant: Fields): boolean {
  return (tenant.options as Fields).tenant_is_hidden === true;
}
