/** Tables whose names look like what their statements hold, and servers that echo a statement. */
import { startOld } from "../fuzz/names.ts";
import { assert, assertEquals } from "../helpers/deps.ts";
import { Clusters } from "../live/pipe.ts";
import { startStandIn } from "../standin/standin.ts";

const names = [
  ...["CONNECTION=(x)", "CONNECTION=(", "CONNECTION = (secret_key = 'x')"],
  ...["'", '"'].map((quote) => `CONNECTION=(${quote.repeat(80)}`),
].map((name) => ({ kind: "table" as const, name }));

async function start(): Promise<Clusters> {
  return await Clusters.of(
    await startOld({ target: "2.4.2", names }),
    await startStandIn({ version: "2.4.2" }),
  );
}

/** All that a run left where somebody can read it. */
async function leftBy(clusters: Clusters, output: string): Promise<string> {
  const files = await Promise.all(
    [...Deno.readDirSync(clusters.directory)].map(async ({ name }) =>
      new TextDecoder("latin1").decode(await Deno.readFile(`${clusters.directory}/${name}`))
    ),
  );
  return [output, ...files].join("\n");
}

/** The keys of the served stage, as the clusters were told. */
function keysOf({ old, young }: Clusters): string[] {
  const bodies = [...old.requests, ...young.requests].map(({ body }) => body).filter((body) =>
    /COPY INTO/.test(body)
  );
  assert(bodies.length > names.length);
  return [
    ...new Set(
      bodies.flatMap((body) =>
        [...body.matchAll(/(?:_id|secret_key) = '(\w{20,})'/g)].map(([, key]) => key!)
      ),
    ),
  ];
}

Deno.test("tables called CONNECTION=(… arrive, and no key is left anywhere", async () => {
  await using clusters = await start();
  const startMs = performance.now();
  const { code, stdout, stderr, tables } = await clusters.migrate("2.4.2");
  assertEquals(code, 0, stderr);
  assert(performance.now() - startMs < 25_000);
  assertEquals(tables.filter(({ status }) => status === "equal").length, names.length + 1);
  assertEquals(clusters.differingRows(), []);
  const left = await leftBy(clusters, stdout + stderr);
  const keys = keysOf(clusters);
  assertEquals(keys.length, 2);
  for (const key of keys) assert(!left.includes(key), stdout + stderr);
});

Deno.test("a server that echoes a statement leaves no key anywhere", async () => {
  await using clusters = await start();
  for (const cluster of [clusters.old, clusters.young]) {
    cluster.fault = ({ body }) => {
      if (!/COPY INTO/.test(body) || /SELECT 1 AS x/.test(body)) return undefined;
      const error = { error_code: "010001", error_message: `cannot carry out ${body}` };
      return { kind: "answer", status: 422, body: JSON.stringify(error), contentType: "application/json" };
    };
  }
  const { code, stdout, stderr } = await clusters.migrate("2.4.2");
  assertEquals(code, 1, stderr);
  assert(stdout.includes("cannot carry out COPY INTO"), stdout);
  const left = await leftBy(clusters, stdout + stderr);
  for (const key of keysOf(clusters)) assert(!left.includes(key), stdout + stderr);
});
