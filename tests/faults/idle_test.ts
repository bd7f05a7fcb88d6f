import { assert, assertEquals } from "../helpers/deps.ts";
import { Clusters, origins, tableLines } from "../live/pipe.ts";

Deno.test("300 idle connections to the served stage, where 256 files may be open, do not stop a copy", {
  ignore: Deno.build.os !== "linux",
}, async () => {
  await using clusters = await Clusters.start(origins["a 2.3.5.4 with a meta service of its own"]!, "2.4.2");
  const restored = await clusters.migrate("2.4.2"); // makes the tables
  assertEquals(restored.code, 0, restored.stderr);
  for (const rows of clusters.young.rows.values()) rows.length = 0;
  const idle: Deno.Conn[] = [];
  // With the first export under way the stage's address is known: then it is flooded, before that export may go on.
  let flooded: Promise<void> | undefined;
  const flood = async (body: string) => {
    const port = Number(/endpoint_url = 'http:\/\/127\.0\.0\.1:(\d+)'/.exec(body)?.[1]);
    for (let i = 0; i < 300; i++) idle.push(await Deno.connect({ hostname: "127.0.0.1", port }));
  };
  clusters.old.fault = ({ body }) =>
    body.startsWith("COPY INTO") ? { kind: "delay", until: flooded ??= flood(body) } : undefined;
  const script = new URL("../../scripts/copy_tables.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: [
      ...["-c", 'ulimit -n 256; exec "$0" run -A --quiet "$@"', Deno.execPath(), script],
      ...[
        "--from",
        clusters.old.sqlUrl,
        "--to",
        clusters.young.sqlUrl,
        "--all",
        "--ledger",
        "flooded.sqlite",
      ],
    ],
    cwd: clusters.directory,
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  for (const connection of idle) connection.close();
  assertEquals(idle.length, 300);
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  assert(tableLines(new TextDecoder().decode(stdout)).length >= 18);
  assertEquals(clusters.differingRows(), []);
});
