import { page } from "../../../lib/report/page.ts";
import { ReportReader } from "../../../lib/report/read.ts";
import { assertEquals, assertStringIncludes } from "../../helpers/deps.ts";

const made = { tool: "report.ts 0", at: "2026-11-22T10:00:00Z" };

async function pageOf(table: string): Promise<string> {
  const reader = new ReportReader();
  await reader.add("f", JSON.stringify({ tenant: "t", database: "d", table, status: "equal" }));
  return await page(reader.report(), made);
}

Deno.test("names cannot end the element that holds them", async () => {
  for (
    const name of ["</script><script>alert(1)</script>", "<!--<script>", "]]>", "'\"&amp;\u2028", "温度"]
  ) {
    const text = await pageOf(name);
    const [, json = ""] = /<script type="application\/json" id="data">([^<]*)<\/script>/.exec(text) ?? [];
    assertEquals(JSON.parse(json).report.tables[0].table, name);
    assertEquals(text.match(/<\/script>/g)?.length, 2);
    assertEquals(text.includes("<!--"), false);
  }
});

Deno.test("the page asks for nothing, and its policy lets only its own script and style run", async () => {
  const text = await pageOf("t");
  const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(text)?.[1] ?? "";
  assertStringIncludes(policy, "default-src 'none'");
  for (const [tag, directive] of [["script", "script-src"], ["style", "style-src"]]) {
    const content = new RegExp(`<${tag}>([^]*)</${tag}>`).exec(text)?.[1] ?? "";
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(content));
    assertStringIncludes(policy, `${directive} 'sha256-${new Uint8Array(digest).toBase64()}'`);
  }
  assertEquals(text.match(/\b(?:src|href)=|url\(|@import|import\(|fetch\(|XMLHttpRequest/g), null);
});

Deno.test("each English word of the page's script has its Chinese one", async () => {
  const text = await pageOf("t");
  const dictionary = /const zh = \{([^]*?)\n\};/.exec(text)?.[1] ?? "";
  const known = new Set([...dictionary.matchAll(/"((?:[^"\\]|\\.)+)":\s*"/g)].map(([, english]) => english));
  const used = [...text.matchAll(/\b(?:t\(|section\("\w+", |proven\("\w+",\s*)"([^"]+)"/g)].map(([, word]) =>
    word
  );
  const headings = [...text.matchAll(/\["([A-Z][\w ()]+)", \(/g)].map(([, word]) => word);
  assertEquals([...used, ...headings].filter((word) => word !== "TTL" && !known.has(word)), []);
});
