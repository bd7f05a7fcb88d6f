import { Failure } from "../../../lib/cli/errors.ts";
import { assertEquals, assertStringIncludes } from "../../helpers/deps.ts";
import { NoAnswer, send } from "../../../lib/cnosdb/http.ts";
import { certificate, key } from "../../helpers/tls.ts";

const serve = (seen: string[]) =>
  Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    seen.push(request.headers.get("authorization") ?? "");
    return new Response("x".repeat(100));
  });

Deno.test("requests do not use the environment's proxy", async () => {
  const [direct, proxied]: [string[], string[]] = [[], []];
  await using server = serve(direct);
  await using proxy = serve(proxied);
  const http = new URL("../../../lib/cnosdb/http.ts", import.meta.url);
  const code = `import { NoAnswer, send } from "${http}";
    await send({ method: "GET", url: "http://127.0.0.1:${server.addr.port}", headers: { authorization: "x" }, signal: new AbortController().signal });`;
  const address = `http://127.0.0.1:${proxy.addr.port}`;
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", code],
    env: { NODE_USE_ENV_PROXY: "1", HTTP_PROXY: address, http_proxy: address },
  }).output();
  assertEquals([success, direct, proxied], [true, ["x"], []]);
});

Deno.test("an answer may take longer than timeoutMs as long as it keeps coming", async () => {
  const pieces = (stops: boolean) =>
    new ReadableStream<Uint8Array>({
      async start(controller) {
        for (let i = 0; i < 6; i++) {
          controller.enqueue(new Uint8Array(10));
          await new Promise((resolve) => setTimeout(resolve, 60));
        }
        if (!stops) controller.close();
      },
    });
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    ({ url }) => new Response(pieces(url.endsWith("/stops"))),
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  const { signal } = new AbortController();
  assertEquals((await send({ method: "GET", url, timeoutMs: 200, signal })).body.length, 60);
  const error = await send({ method: "GET", url: `${url}/stops`, timeoutMs: 200, signal }).catch((e) => e);
  assertEquals(error instanceof NoAnswer && error.message, `GET ${url}/stops: nothing came for 0.2 s`);
});

Deno.test("an answer that is too long is refused", async () => {
  await using server = serve([]);
  const request = {
    method: "GET",
    url: `http://127.0.0.1:${server.addr.port}`,
    signal: new AbortController().signal,
  } as const;
  assertEquals((await send({ ...request, mostBytes: 100 })).body.length, 100);
  const error = await send({ ...request, mostBytes: 99 }).catch((error) => error);
  assertEquals(error instanceof Failure && error.message, `GET ${request.url} answered more than 99 bytes`);
});

Deno.test("an untrusted certificate is reported with what to do, and nothing was sent", async () => {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", cert: certificate, key, onListen() {} },
    () => new Response("x"),
  );
  const request = {
    method: "GET",
    url: `https://localhost:${server.addr.port}`,
    signal: new AbortController().signal,
  } as const;
  assertEquals((await send({ ...request, ca: certificate })).body, "x");
  const error = await send(request).catch((error) => error);
  assertEquals([error instanceof NoAnswer, error.sent], [true, false]);
  assertStringIncludes(error.message, `GET ${request.url}: cannot connect: self-signed certificate`);
  assertStringIncludes(error.hint, "--ca FILE");
});
