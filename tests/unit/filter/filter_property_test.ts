/** What must hold for any dump. Dumps are generated from a seed, which a failure prints. */
import type { FilterOptions } from "../../../lib/filter/rules.ts";
import { canonical } from "../../helpers/json.ts";
import { parseRules } from "../../../lib/filter/own_rules.ts";
import type { Format } from "../../../lib/versions/versions.ts";
import { assert, assertEquals } from "../../helpers/deps.ts";
import { filter, type Filtered, select } from "./filtering.ts";
import { randomOf } from "../../helpers/random.ts";

const targets = ["2.4.0", "2.4.1", "2.4.2", "2.4.3"] as const;
/** How many dumps each property is tried on; FILTER_SEEDS=10000 for a long run. */
const seeds = Number(Deno.env.get("FILTER_SEEDS") ?? 300);
const fixtures = new URL("../../../fixtures/", import.meta.url);

/** What a seed decides. */
class Random {
  readonly next: () => number;
  constructor(seed: number) {
    this.next = randomOf(seed);
  }
  below(n: number): number {
    return Math.floor(this.next() * n);
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  chance(p: number): boolean {
    return this.next() < p;
  }
  id(): string {
    let digits = String(1 + this.below(9));
    while (digits.length < 30 + this.below(9)) digits += this.below(10);
    return digits;
  }
}

const words = [
  "a",
  "iot",
  "Weird DB",
  "a.b-c",
  "温度",
  "select",
  'q"uote',
  "tab\there",
  "x/y",
  "schemas",
  "cnosdb",
  "é",
  "🎉",
  "a:b",
];

/** A 2.3 dump, mostly as CnosDB writes them, under `faults` now and then not. */
function generate(seed: number, faults = true): string {
  const r = new Random(seed);
  const name = (n: number) => `${r.pick(words)}${r.chance(0.5) ? n : ""}`;
  const unique = (n: number) => [...new Set(Array.from({ length: n }, (_, i) => name(i)))];
  const q = JSON.stringify;
  const lines: string[] = [];
  const duration = () =>
    r.pick(["null", `{"time_num":${r.below(9999)},"unit":${q(r.pick(["Minutes", "Hour", "Day", "Inf"]))}}`]);
  const column = (id: number, column: string) => {
    const type = r.pick(['"Tag"', '{"Field":"Float"}', '{"Field":"String"}', '{"Field":"Unsigned"}']);
    return `{"id":${id},"name":${q(column)},"column_type":${type},"encoding":${
      q(r.pick(["Default", "Gzip", "Delta"]))
    }}`;
  };
  const users = unique(r.below(5)).map((user) => ({ user, id: r.id() }));
  const rootId = r.id();
  for (const tenant of ["cnosdb", ...unique(r.below(4))]) {
    const limits = r.pick([
      "null",
      '{"object_config":null,"request_config":{"data_in":null,"data_out":null,"queries":null,"writes":null}}',
    ]);
    lines.push(
      `/c/tenants/${tenant}: {"id":${r.id()},"name":${q(tenant)},"options":{"comment":${
        r.pick(["null", '"x: y"'])
      },"limiter_config":${limits}}}`,
    );
    for (const database of [...unique(r.below(4)), ...(r.chance(0.3) ? ["usage_schema"] : [])]) {
      const at = `/c/tenants/${tenant}/dbs/${database}`;
      lines.push(
        `${at}: {"tenant":${q(tenant)},"database":${q(database)},"config":{"ttl":${duration()},"shard_num":${
          r.pick(["null", "4"])
        },"vnode_duration":${duration()},"replica":${r.pick(["null", "3"])},"precision":${
          r.pick(["null", '"MS"'])
        }}}`,
      );
      if (r.chance(0.5)) {
        lines.push(`${at}/buckets/${r.below(99)}: {"id":1,"start_time":0,"end_time":1,"shard_group":[]}`);
      }
      for (const table of unique(r.below(4))) {
        const names = ["time", ...unique(r.below(4)).filter((column) => column !== "time")];
        const gap = r.chance(0.3) ? 1 : 0;
        const columns = names.map((n, i) =>
          i === 0
            ? `{"id":0,"name":"time","column_type":{"Time":"Nanosecond"},"encoding":"Default"}`
            : column(i + gap, n)
        );
        const index = names.map((n, i) => `${q(n)}:${i}`);
        if (r.chance(0.5)) index.reverse();
        lines.push(
          `${at}/schemas/${table}: {"TsKvTableSchema":{"tenant":${q(tenant)},"db":${q(database)},"name":${
            q(table)
          },"schema_id":${r.below(3)},"next_column_id":${
            names.length + gap
          },"columns":[${columns}],"columns_index":{${index}}}}`,
        );
      }
    }
    if (r.chance(0.3)) lines.push(`/c/tenants/${tenant}/members/${rootId}: {"System":"Owner"}`);
    for (const { id } of users) {
      if (r.chance(0.4)) {
        lines.push(
          `/c/tenants/${tenant}/members/${id}: ${r.pick(['{"System":"Member"}', '{"Custom":"r"}'])}`,
        );
      }
    }
    if (r.chance(0.3)) {
      lines.push(
        `/c/tenants/${tenant}/roles/r: {"id":${r.id()},"name":"r","system_role":"Member","additional_privileges":{${
          r.chance(0.5) ? '"iot":"Read"' : ""
        }}}`,
      );
    }
    if (r.chance(0.2)) lines.push(`/c/tenants/${tenant}/limiter: {"buckets":{}}`);
  }
  const password = () => r.pick(["null", `"$2b$12$${"a".repeat(53)}"`, '"plain"']);
  for (const { user, id } of users) {
    lines.push(
      `/c/users/${user}: {"id":${id},"name":${q(user)},"options":{"password":${password()}${
        r.pick(["", ',"comment":"x"', ',"must_change_password":true'])
      }},"is_admin":false}`,
    );
  }
  if (r.chance(0.8)) {
    lines.push(
      `/c/users/root: {"id":${rootId},"name":"root","options":{"password":${password()}},"is_admin":true}`,
    );
  }
  lines.push("/c/auto_incr_id: 3", "/data_version: 7");
  if (r.chance(0.7)) lines.sort();
  const result = () => lines.map((line) => `${line}\n`).join("");
  if (!faults) return result();
  if (r.chance(0.05)) lines[r.below(lines.length)] += r.pick(["}", " ", "x"]);
  if (r.chance(0.05)) lines.push(r.pick(lines));
  if (r.chance(0.05)) lines[r.below(lines.length)] = lines[r.below(lines.length)]!.replace('":', '" : ');
  return result();
}

/** The same dump as an editor may write it: no value begins as CnosDB writes it, so that none is recognized without being parsed. */
function spaced(dump: string): string {
  return dump.replaceAll(/^([^*#\n]*?: )\{/gm, "$1{ ");
}

/** The lines of a dump in a canonical form, without the end mark. */
function values(text: string): string[] {
  return text.split("\n").filter((line) => line.startsWith("/")).map((line) => {
    const colon = line.indexOf(": ");
    const value = line.slice(colon + 2);
    return line.slice(0, colon) + (value.startsWith("{") ? canonical(value) : value);
  });
}

async function assertSameSpaced(
  dump: string,
  what: string,
  options: () => Promise<Partial<FilterOptions> & { target: Format }>,
): Promise<Filtered> {
  const compact = await filter(dump, await options());
  const other = await filter(spaced(dump), await options());
  assertEquals(values(compact.out), values(other.out), what);
  assertEquals([compact.notes, compact.error], [other.notes, other.error], what);
  return compact;
}

Deno.test("values that are recognized come out as those that are parsed, over all fixtures", async () => {
  for (const { name } of Deno.readDirSync(new URL("dumps/", fixtures))) {
    const dump = (await Deno.readTextFile(new URL(`dumps/${name}`, fixtures))).replaceAll(
      /^\* |^\*.*\n/gm,
      "",
    );
    for (const target of targets) {
      const what = `${name} for ${target}`;
      await assertSameSpaced(dump, what, () => Promise.resolve({ target }));
      await assertSameSpaced(dump, what, () => Promise.resolve({ target, cluster: "neu", replica: 1 }));
    }
  }
});

Deno.test("values that are recognized come out as those that are parsed, over generated dumps", async () => {
  let converted = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const target = targets[seed % 4]!;
    const what = `seed ${seed} for ${target}`;
    const { error } = await assertSameSpaced(generate(seed, false), what, () => Promise.resolve({ target }));
    if (error === undefined) converted++;
  }
  assert(converted > 0.9 * seeds, `${converted} of ${seeds} converted`);
});

/** Flags that an operator could give, anew at each call as they count what they match. */
async function flags(seed: number): Promise<Partial<FilterOptions>> {
  const r = new Random(seed);
  const name = () => r.pick(["*", "a*", "cnosdb", "*o*", "?", '"a.b-c"', "温度", "*1", "i*t*"]);
  const some = (parts: number) =>
    r.chance(0.3)
      ? Array.from({ length: 1 + r.below(2) }, () => Array.from({ length: parts }, name).join("."))
      : [];
  const rules = [
    "- drop: /c/users/a*",
    "- drop: /*/tenants/*/roles/*",
    "- drop: /*/tenants/*/dbs/i*/**",
    "- patch: /*/tenants/*\n  merge: {options: {comment: x}}",
    "- patch: /*/tenants/*/dbs/*\n  merge: {config: {ttl: null}}",
    "- patch: /*/users/*\n  merge: {options: {comment: y}}",
  ].filter(() => r.chance(0.2));
  return {
    selection: select({
      tenant: some(1),
      database: some(2),
      table: some(3),
      exclude: r.chance(0.5) ? some(1 + r.below(3)) : [],
    }),
    own: rules.length ? await parseRules(rules.join("\n"), "rules.yaml") : [],
    pruneUsers: r.chance(0.5),
    root: r.pick(["auto", "keep", "drop"] as const),
    keepSystem: r.chance(0.3),
    dropInvalid: r.chance(0.2),
    ...(r.chance(0.3) ? { cluster: "neu" } : {}),
    ...(r.chance(0.3) ? { replica: 1 } : {}),
  };
}

Deno.test("values that are recognized come out as those that are parsed under any flags, over generated dumps", async () => {
  let converted = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const options = async () => ({ target: targets[seed % 4]!, ...await flags(seed) });
    const { error, out } = await assertSameSpaced(generate(seed, false), `seed ${seed}`, options);
    if (error === undefined && out.startsWith("/")) converted++;
  }
  // The others have a flag that matches nothing.
  assert(converted > 0.2 * seeds, `${converted} of ${seeds} converted`);
});

Deno.test("what is reported of each entry is the same whether its value is recognized or parsed", async () => {
  for (let seed = 1; seed <= seeds; seed++) {
    const dump = generate(seed, false);
    const reported: unknown[][] = [[], []];
    for (const [n, text] of [dump, spaced(dump)].entries()) {
      await filter(text, { target: targets[seed % 4]!, ...await flags(seed) }, reported[n]);
    }
    assertEquals(reported[0], reported[1], `seed ${seed}`);
  }
});

Deno.test("converting twice is converting once", async () => {
  for (let seed = 1; seed <= seeds; seed++) {
    const target = targets[seed % 4]!;
    const once = await filter(generate(seed), { target });
    if (once.error !== undefined || once.out.startsWith("# end")) continue;
    // A root that is kept without its users' passwords would be dropped again, so both times alike.
    assertEquals(
      (await filter(once.out, { target, root: "keep" })).out,
      once.out,
      `seed ${seed} for ${target}`,
    );
  }
});

Deno.test("to 2.4.1 and then to 2.4.3 is to 2.4.3", async () => {
  for (let seed = 1; seed <= seeds; seed++) {
    const dump = generate(seed);
    const first = await filter(dump, { target: "2.4.1" });
    if (first.error !== undefined || first.out.startsWith("# end")) continue;
    const second = await filter(first.out, { target: "2.4.3", root: "keep" });
    assertEquals(second.out, (await filter(dump, { target: "2.4.3" })).out, `seed ${seed}`);
  }
});

Deno.test("filtering tenant by tenant and joining is filtering all", async () => {
  for (let seed = 1; seed <= seeds / 2; seed++) {
    const dump = generate(seed, false);
    const all = await filter(dump, { target: "2.4.2" });
    if (all.error !== undefined) continue;
    const lines = (text: string) => text.split("\n").filter((line) => line.startsWith("/"));
    const names = lines(dump).flatMap((line) =>
      /^\/c\/tenants\/.*?: {"id":\d+,"name":("(?:[^"\\]|\\.)*"),"options"/.exec(line)?.[1] ?? []
    );
    const joined = new Set<string>();
    for (const name of names) {
      const tenant = `"${(JSON.parse(name) as string).replaceAll('"', '""')}"`;
      const { out, error } = await filter(dump, {
        target: "2.4.2",
        selection: select({ tenant: [tenant] }),
      });
      assertEquals(error, undefined, `seed ${seed}, tenant ${tenant}`);
      for (const line of lines(out)) joined.add(line);
    }
    assertEquals([...joined].sort(), lines(all.out).sort(), `seed ${seed}`);
  }
});

Deno.test("a byte that is flipped in a marked dump gives an error or the same values", async () => {
  const encoder = new TextEncoder();
  let refused = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const r = new Random(seed);
    const marked = await filter(generate(seed), { target: "2.4.0" });
    if (marked.error !== undefined || marked.out.startsWith("# end")) continue;
    const bytes = encoder.encode(marked.out);
    const at = r.below(bytes.length);
    bytes[at]! ^= 1 << r.below(8);
    const before = await filter(marked.out, { target: "2.4.3" });
    const after = await filter(bytes, { target: "2.4.3" });
    if (after.error !== undefined) {
      refused++;
      assert(!after.out.includes("# end"), `seed ${seed}: an end mark after an error`);
      continue;
    }
    assertEquals(values(after.out), values(before.out), `seed ${seed}: byte ${at}`);
  }
  assert(refused > 0.5 * seeds, `only ${refused} refused`);
});
