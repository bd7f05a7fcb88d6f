/**
 * The page in a real browser: drawn, sorted, searched, read on a telephone, printed, used by keyboard, in Chinese.
 * PICTURES=DIRECTORY keeps what was seen.
 */
import { page } from "../../lib/report/page.ts";
import { ReportReader } from "../../lib/report/read.ts";
import { assert, assertEquals, assertMatch } from "../helpers/deps.ts";
import { Browser, chromiumPath } from "./chromium.ts";
import { copyResults, filterReport, hostile, wrong } from "../unit/report/sample.ts";

const missing = chromiumPath === undefined
  ? " (no Chromium here: apt-get install chromium, or set CHROMIUM)"
  : "";

/** A test with a browser that shows a page of some files, and complains of nothing. */
function test(name: string, files: string[], body: (browser: Browser, path: string) => Promise<void>) {
  Deno.test({
    name: name + missing,
    ignore: missing !== "",
    fn: async () => {
      const path = await Deno.makeTempFile({ suffix: ".html" });
      try {
        const reader = new ReportReader();
        for (const [i, text] of files.entries()) await reader.add(`file${i}.jsonl`, text);
        const made = { tool: "report.ts 0", at: "2026-11-22T10:00:00Z", operator: "Li Lei" };
        await Deno.writeTextFile(path, await page(reader.report(), made));
        await using browser = await Browser.start();
        await browser.view({ width: 1440 });
        await browser.open(path);
        await browser.run(prelude);
        await body(browser, path);
        assertEquals([browser.complaints, browser.requests], [[], []]);
      } finally {
        await Deno.remove(path);
      }
    },
  });
}

/** Helpers in the page. */
const prelude = `
  all = (selector) => [...document.querySelectorAll(selector)];
  texts = (selector) => all(selector).map((e) => e.textContent);
  rows = () => all("#tables tbody tr").length;
  cells = (n) => texts("#tables tbody tr > :nth-child(" + n + ")").map((t) => Number(t.replace(/,/g, "")));
  heading = (name) => all("#tables thead button").find((b) => b.textContent === name);
  said = () => all(".verdict")[0].textContent;
`;

test("all tables equal: the verdict says so, and what was proven", [copyResults(20)], async (browser) => {
  assertMatch(await browser.run("said()"), /^✓ All 20 tables are equal: [\d,]+ rows\.$/);
  assertMatch(
    await browser.run("texts('main > p').join()"),
    /20 tables: every row with every column has the same/,
  );
});

test(
  "whatever is not proven equal is in the verdict, and where it can be looked up",
  [copyResults(30, wrong, 1)],
  async (browser) => {
    assertEquals(
      await browser.run("said()"),
      "✗ 4 of 29 tables are not proven equal: 1 differs, 1 source-changed, 1 refused, 1 failed.",
    );
    assertEquals(await browser.run("all('#differences h3').length"), 2);
    assertEquals(await browser.run("all('#differences tbody tr').length"), 3);
    assertMatch(await browser.run("texts('#failures').join()"), /need: 3, but found: 1 — set REPLICA 1/);
  },
);

test(
  "a run that was cut off, or ended badly, is no success even where each table is equal",
  [copyResults(3).replace(/\{"end".*\n/, "")],
  async (browser) => assertMatch(await browser.run("texts('.bad').join()"), /A run was cut off/),
);

test(
  "a table without a result is no success",
  [filterReport(), copyResults(0)],
  async (browser) =>
    assertEquals(
      await browser.run("said()"),
      "✗ 1 of 1 tables are not proven equal: 1 missing.",
    ),
);

test("what was dropped stands with its rule, databases with their TTL", [
  filterReport(),
  copyResults(20),
], async (browser) => {
  assertEquals(await browser.run("texts('#carried summary')"), ["root 1", "buckets 1"]);
  assert(await browser.run<boolean>("texts('#databases tbody tr').some((row) => row.includes('30d'))"));
});

test("ten thousand tables are drawn, sorted and searched in less than a second", [
  copyResults(10_000, wrong, 1),
], async (browser) => {
  assert(await browser.run<number>("all('tr').length") < 400);
  for (const [sort, most] of [["descending", true], ["ascending", false]] as const) {
    assert(
      await browser.run<number>(
        "t0 = performance.now(); heading('Source rows').click(); performance.now() - t0",
      ) < 1_000,
    );
    assertEquals(await browser.run("heading('Source rows').parentNode.getAttribute('aria-sort')"), sort);
    const found = await browser.run<number[]>("cells(3)");
    assertEquals(found, [...found].sort((a, b) => most ? b - a : a - b));
  }
  await browser.run("document.querySelector('input').focus()");
  await browser.type("DB_1 table_99");
  assertMatch(await browser.run("texts('.tools [role=status]')[0]"), /^1\d of 10,000 tables$/);
  await browser.run("i = document.querySelector('input'); i.value = ''; i.oninput()");
  await browser.run("s = document.querySelector('select'); s.value = 'failed'; s.onchange()");
  assertEquals(await browser.run("rows()"), 1);
});

test("two hundred thousand tables are drawn too", [copyResults(200_000)], async (browser) => {
  assertMatch(await browser.run("said()"), /^✓ All 200,000 tables are equal/);
  assertEquals(await browser.run("all('#timeline svg').length"), 1);
});

test("a table with an odd name is counted in its database", [
  ["a\u001bb", 'q"', "x.y", "z"].map((table) =>
    `${JSON.stringify({ tenant: "t", database: "d.e", table, status: "equal" })}\n`
  ).join(""),
], async (browser) => {
  assertEquals(await browser.run("texts('#databases tbody th')"), ['t."d.e"']);
});

test("in both themes and at both widths nothing is cut and everything has contrast", [
  filterReport(),
  copyResults(60, wrong, 1),
], async (browser, path) => {
  const pictures = Deno.env.get("PICTURES");
  for (const width of [390, 1440]) {
    for (const theme of ["light", "dark"] as const) {
      await browser.view({ width, theme });
      await browser.open(path);
      const wide = await browser.run(`[...document.querySelectorAll("body *")].filter((e) =>
        e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))`);
      assertEquals(wide, [], `${width} ${theme}`);
      assertEquals(await browser.run("document.documentElement.scrollWidth <= innerWidth"), true);
      assertEquals(await browser.run(poor), [], `${width} ${theme}`);
      if (pictures) await Deno.writeFile(`${pictures}/${width}-${theme}.png`, await browser.picture(true));
    }
  }
});

/** What has less contrast than WCAG asks for: 4.5 for text, 3 for what is drawn. */
const poor = `(() => {
  const light = (color) => color.map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const rgb = (text) => (/^rgba?\\((.*)\\)$/.exec(text)?.[1] ?? "0,0,0,0").split(",").map(Number);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const color = rgb(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color.slice(0, 3);
    }
  };
  const contrast = (e, property) => {
    const [a, b] = [rgb(getComputedStyle(e)[property]).slice(0, 3), behind(e)].map(light);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  return [...document.querySelectorAll("#page *")].flatMap((e) => {
    const drawn = e.tagName === "rect";
    const text = e.tagName !== "title" && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    const ratio = drawn ? contrast(e, "fill") : text ? contrast(e, "color") : 99;
    return ratio < (drawn ? 3 : 4.5) ? [e.outerHTML.slice(0, 60) + " " + ratio.toFixed(2)] : [];
  });
})()`;

test("names that hold HTML are shown as they are", [copyResults(20, wrong)], async (browser) => {
  const shown = (await browser.run<string[]>("texts('#tables tbody th')")).join("\n");
  for (const name of hostile) assert(shown.includes(name.replaceAll('"', '""')), name);
  assertEquals(await browser.run("all('img, b').length"), 0);
  assertEquals(await browser.run("texts('#differences td').join().includes('<b>')"), true);
});

test("on paper all is there, in dark letters, and nothing that is to be clicked", [
  copyResults(300, wrong, 1),
], async (browser) => {
  await browser.view({ width: 1000, theme: "dark" });
  const pdf = await browser.pdf();
  assertEquals(new TextDecoder().decode(pdf.subarray(0, 5)), "%PDF-");
  assertEquals(await browser.run("rows()"), 300);
  const pictures = Deno.env.get("PICTURES");
  if (pictures) await Deno.writeFile(`${pictures}/page.pdf`, pdf);
  await browser.view({ width: 700, theme: "dark", media: "print" });
  const visible = "(e) => e.checkVisibility()";
  assertEquals(await browser.run(`all("input, select, .more, header button").filter(${visible}).length`), 0);
  assertEquals(await browser.run(`all(".sign span").filter(${visible}).length`), 6);
  assertEquals(await browser.run("getComputedStyle(document.body).color"), "rgb(28, 33, 38)");
});

test("on paper a list of ten thousand is left out, and says so", [copyResults(10_000)], async (browser) => {
  await browser.pdf();
  assert(await browser.run<number>("rows()") < 1000);
  await browser.view({ width: 700, media: "print" });
  assertEquals(await browser.run("all('#tables table')[0].checkVisibility()"), false);
  assertMatch(await browser.run("all('.paper')[0].innerText"), /^Too many to print: 10,000 tables/);
});

test("all of it can be reached by keyboard, and every table names its columns and rows", [
  copyResults(20, wrong),
], async (browser) => {
  const reached: string[] = [];
  for (let i = 0; i < 60; i++) {
    await browser.press("Tab");
    reached.push(
      await browser.run("document.activeElement.tagName + ' ' + document.activeElement.textContent"),
    );
  }
  for (const wanted of [/^BUTTON 中文/, /^BUTTON Source rows/, /^INPUT/, /^SELECT/]) {
    assert(reached.some((name) => wanted.test(name)), `${wanted}: ${reached.join(", ")}`);
  }
  await browser.run("heading('Seconds').focus()");
  await browser.press("Enter");
  assertEquals(await browser.run("heading('Seconds').parentNode.getAttribute('aria-sort')"), "descending");
  assertEquals(await browser.run("document.getAnimations().length"), 0);
  assertEquals(await browser.run("all('table').every((t) => t.getAttribute('aria-label'))"), true);
  assertEquals(await browser.run("all('thead th').every((h) => h.scope === 'col')"), true);
  assertEquals(await browser.run("all('tbody tr').every((r) => r.cells[0].scope === 'row')"), true);
});

test("a reader of Chinese gets the page in Chinese, another in English, and either can change it", [
  filterReport(),
  copyResults(40, wrong, 1),
], async (browser, path) => {
  await browser.view({ width: 1440, language: "zh-CN" });
  await browser.open(path);
  await browser.run(prelude);
  assertEquals(await browser.run("document.documentElement.lang"), "zh-CN");
  const words = JSON.stringify(
    "h1, h2, h3:not(#differences h3), dt, .verdict, main > p, thead button:not(:empty), option, .sign span, #tables td:nth-child(2)",
  );
  const without = (script: string) =>
    browser.run<string[]>(
      `texts(${words}).filter((t) => t !== "TTL" && ${script}/\\p{Script=Han}/u.test(t))`,
    );
  assertEquals(await without("!"), []);
  await browser.run("document.querySelector('header button').click()");
  assertEquals(await without(""), []);
  assertEquals(await browser.run("document.documentElement.lang"), "en");
});
