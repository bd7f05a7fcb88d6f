/** Statements that never end: what tells one that works from one that hangs. */
import { parseEndpoint } from "../../../lib/cnosdb/endpoint.ts";
import { Cluster } from "../../../lib/copy/cluster.ts";
import { assertEquals, assertMatch, fail } from "../../helpers/deps.ts";
import { startStandIn } from "../../standin/standin.ts";

/** Lets an action look after its statements every 5 ms instead of every 30 s. */
async function watchedClosely<T>(action: () => Promise<T>): Promise<T> {
  const { setInterval } = globalThis;
  globalThis.setInterval =
    ((callback: () => void, ms: number) =>
      setInterval(callback, ms === 30_000 ? 5 : ms)) as typeof setInterval;
  try {
    return await action();
  } finally {
    globalThis.setInterval = setInterval;
  }
}

/**
 * Has a stand-in keep its first statement for itself.
 * @param idleMs for how long nothing has come of that @param ping the status of the pings meanwhile
 * @returns why the statement was sent again
 */
async function hang(idleMs: number, ping: number): Promise<string[]> {
  const standIn = await startStandIn({ version: "2.4.2" });
  await using _ = { [Symbol.asyncDispose]: () => standIn.close() };
  const released = Promise.withResolvers<void>();
  const url = standIn.sqlUrl;
  let sent = 0;
  let arrived = 0;
  standIn.fault = ({ path }) => {
    if (path.includes("/ping")) {
      return ping === 200 || sent > 1 ? undefined : { kind: "answer", status: ping, body: "" };
    }
    return arrived++ === 0 ? { kind: "delay", until: released.promise } : undefined;
  };
  const said: string[] = [];
  const trying = {
    signal: new AbortController().signal,
    onRetry: (error: unknown) => void said.push((error as Error).message.replace(url, "it")),
  };
  const cluster = new Cluster("target", [parseEndpoint(url, 8902)], { pauseMs: 1 });
  const answer = await watchedClosely(() =>
    cluster.attempt((send) => {
      sent++;
      return send("SELECT now() AS t", { tenant: "cnosdb" }, () => sent === 1 && arrived === 1 ? idleMs : 0);
    }, trying)
  );
  released.resolve();
  assertEquals(answer.length, 1);
  return said;
}

Deno.test("an import that has read nothing for ten minutes is sent again: it hangs, though its node is up", async () => {
  assertEquals(await hang(600_001, 200), ["it has read nothing for 10m: SELECT now() AS t"]);
});

Deno.test("a statement is sent again where its node answers no ping any more", async () => {
  const [told = "", ...more] = await hang(0, 500);
  assertMatch(told, /^it answered none of 10 pings while a statement ran: .* answered 500/);
  assertEquals(more, []);
});

Deno.test("a statement that still reads is waited for, however long it takes", async () => {
  const standIn = await startStandIn({ version: "2.4.2" });
  await using _ = { [Symbol.asyncDispose]: () => standIn.close() };
  const pinged = Promise.withResolvers<void>();
  let pings = 0;
  standIn.fault = ({ path }) => {
    if (path.includes("/sql")) return { kind: "delay", until: pinged.promise };
    if (++pings === 30) pinged.resolve();
    return undefined;
  };
  const cluster = new Cluster("target", [parseEndpoint(standIn.sqlUrl, 8902)], { pauseMs: 1 });
  const trying = { signal: new AbortController().signal, onRetry: (error: unknown) => fail(String(error)) };
  await watchedClosely(() =>
    cluster.attempt((send) => send("SELECT now() AS t", { tenant: "cnosdb" }, () => 599_999), trying)
  );
});
