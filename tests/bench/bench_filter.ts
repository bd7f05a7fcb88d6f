/**
 * filter_meta against what an operator would use otherwise: cat, grep, sed doing the upgrade document's deletions and its
 * database patch, jq where it is installed; sha256sum, as a dump ends with its sum. One run, figures as ratios to sed and cat.
 *
 *     deno task bench [MEGABYTES]
 */
const megabytes = Number(Deno.args[0] ?? 400);
const root = new URL("../../", import.meta.url);
const dir = await Deno.makeTempDir({ prefix: "bench-filter-" });
const dump = `${dir}/dump`;

/** The entries of the real dump, over and over, with other cluster-wide names each time, in the order of their keys. */
async function generate(): Promise<void> {
  const real = (await Deno.readTextFile(new URL("fixtures/dumps/2.3.5.4-cluster.dump", root))).trimEnd()
    .split("\n");
  const once = real.filter((line) => !/\/tenants\/|\/users\/(?!root)/.test(line));
  const many = real.filter((line) => /\/tenants\//.test(line));
  const users = real.filter((line) => /\/users\/(?!root)/.test(line));
  const copies = Math.ceil(megabytes * 1e6 / (real.join("\n").length * 1.02));
  const file = await Deno.open(dump, { write: true, create: true, truncate: true });
  const write = async (text: string) => {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
  };
  const renamed = (lines: string[], tag: string) =>
    lines.join("\n")
      .replaceAll(/\/tenants\/(\w+)/g, `/tenants/t${tag}_$1`)
      .replaceAll(/"tenant":"(\w+)"/g, `"tenant":"t${tag}_$1"`)
      .replaceAll(/(\/tenants\/t\d+_(\w+): {"id":\d+,"name":")/g, (head, _all, name) =>
        `${head}t${tag}_`.replace(`${name}t`, `${name}t`))
      .replaceAll(/\/users\/(\w+)/g, `/users/u${tag}_$1`)
      .replaceAll(/(": {"id":\d+,"name":"|\/users\/\S+ {"id":\d+,"name":")/g, `$1u${tag}_`)
      .replaceAll(/\d{36,39}/g, (id) =>
        String(BigInt(id) + BigInt(tag))) + "\n";
  await write(once.filter((line) => line < "/cluster_xxx/t").join("\n") + "\n");
  const tag = (n: number) => String(n).padStart(7, "0");
  for (let n = 0; n < copies; n++) await write(renamed(many, tag(n)));
  await write(once.filter((line) => line.includes("/users/root")).join("\n") + "\n");
  for (let n = 0; n < copies; n++) await write(renamed(users, tag(n)));
  await write(once.filter((line) => line > "/d").join("\n") + "\n");
  file.close();
}

/** Seconds and peak MiB of a shell line that reads the dump, output thrown away. */
async function measure(line: string): Promise<{ seconds: number; mebibytes: number }> {
  const start = performance.now();
  const { code, stderr } = await new Deno.Command("/usr/bin/time", {
    args: ["-f", "PEAK %M", "bash", "-c", `${line} < ${dump} > ${dir}/out`],
    stderr: "piped",
    stdout: "null",
  }).output();
  const text = new TextDecoder().decode(stderr);
  if (code !== 0) throw new Error(`${line}: ${text}`);
  return {
    seconds: (performance.now() - start) / 1000,
    mebibytes: Number(/PEAK (\d+)/.exec(text)?.[1]) / 1024,
  };
}

/** The keys that the document lists, an expression each, and its patch of databases. */
const keys = [
  "data_version:",
  "already_init_key:",
  "[^/]+/auto_incr_id:",
  "[^/]+/data_nodes/",
  "[^/]+/data_nodes_metrics/",
  "[^/]+/tenants/[^/]+/dbs/[^/]+/buckets/",
];
const patch = `'s/("precision":[^,}]*)\\}\\}$/\\1,"db_is_hidden":false}}/'`;
const sed = `LC_ALL=C sed -E ${keys.map((key) => `-e '\\#^/${key}#d'`).join(" ")} -e ${patch}`;
const grep = `LC_ALL=C grep -Ev '^/(${keys.join("|")})'`;
const filter = (target: string, flags = "") =>
  `${Deno.execPath()} run -A --quiet ${
    new URL("scripts/filter_meta.ts", root).pathname
  } --target ${target} --unmarked --quiet ${flags}`;
const lines: [string, string][] = [
  ["cat", "cat"],
  ["sha256sum", "sha256sum"],
  ["grep -v", grep],
  ["sed -E", sed],
  ["filter_meta 2.4.0", filter("2.4.0")],
  ["filter_meta 2.4.3.4", filter("2.4.3.4")],
  ["… with --exclude", filter("2.4.3.4", "--exclude 't*00_acme'")],
  ["… with --prune-users", filter("2.4.3.4", "--prune-users")],
  ["… with --rules", filter("2.4.3.4", `--rules ${dir}/rules`)],
  ["… with --report", filter("2.4.3.4", `--report ${dir}/report`)],
];
if ((await new Deno.Command("which", { args: ["jq"], stdout: "null" }).output()).success) {
  lines.splice(4, 0, [
    "jq",
    `${grep} | jq -Rr 'capture("^(?<k>[^:]*): (?<v>.*)$") | (.v | try fromjson catch .) as $v | .k + ": " + ($v | if type == "object" and .config then .config.db_is_hidden = false else . end | tojson)'`,
  ]);
}
try {
  await generate();
  await Deno.writeTextFile(
    `${dir}/rules`,
    "- drop: /*/tenants/*00_acme/**\n- patch: /*/tenants/*/dbs/tuned\n  merge: {config: {replica: 1}}\n",
  );
  console.log(`${((await Deno.stat(dump)).size / 1e6).toFixed(0)} MB of dump`);
  const results: [string, { seconds: number; mebibytes: number }][] = [];
  for (const [name, line] of lines) {
    const runs = [];
    for (let n = 0; n < (name === "jq" ? 1 : 3); n++) runs.push(await measure(line));
    runs.sort((a, b) => a.seconds - b.seconds);
    results.push([name, runs[runs.length >> 1]!]);
  }
  const of = (name: string) => results.find(([n]) => n === name)![1].seconds;
  for (const [name, { seconds, mebibytes }] of results) {
    const ratios = `${(seconds / of("sed -E")).toFixed(2)} × sed  ${(seconds / of("cat")).toFixed(1)} × cat`;
    console.log(
      `${name.padEnd(22)} ${seconds.toFixed(2).padStart(7)} s  ${ratios}  ${
        mebibytes.toFixed(0).padStart(5)
      } MiB`,
    );
  }
} finally {
  await Deno.remove(dir, { recursive: true });
}
