/**
 * The page of --html in a real browser: drawn, sorted, searched, read on a telephone, printed, used by keyboard, in Chinese.
 * PICTURES=DIRECTORY keeps what was seen.
 */
import { HtmlReport, type ReportEvent } from "../../../lib/report/html_report.ts";
import { Browser, chromiumPath } from "./chromium.ts";
import { assert, assertEquals, assertMatch } from "../../helpers/deps.ts";

const hostile = [
  "</script><script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  'qu"o"te',
  "温度",
  "a_very_long_name_that_goes_on_and_on_without_a_single_blank_in_it_0123456789_0123456789",
];
const oldRows = "103 rows from 2023-11-14T22:13:20 to 2026-11-20T09:01:02.5";
const errors: Record<number, string> = {
  11:
    "it differs: temperature max is 31.5 on the old cluster, 31.25 on the new; 湿度 count is 9 on the old cluster, 8 on the new",
  12: `it differs: ${oldRows} on the old cluster, no rows on the new (run it again: it will be copied anew.)`,
  13:
    "http://new:8902, tenant cnosdb: COPY INTO … answered 422 030053: Valid node is not enough, need: 3, but found: 1",
  14:
    'its columns differ: column "<b>" is FIELD DOUBLE on the old cluster, FIELD STRING on the new (restore its schema first.)',
  15: "the old cluster's table changed meanwhile (stop the writers and run it again.)",
};

/** Writes the page of a run as it may be: six slots, a table after another, a few of which went wrong. */
async function writeSample(path: string, tables: number, empty = false): Promise<void> {
  let nowMs = Date.parse("2026-11-22T08:00:00Z");
  const run = {
    ...{ from: "http://old-cluster.example:8902", to: "http://new-cluster.example:8902" },
    ...{ fromVersion: "2.3.5", toVersion: "2.4.3", stage: "served", tool: "copy_tables 0.1.0", secrets: [] },
    options: { split: "86400s", since: "no", expired: "raise", verify: "full", only: "no" },
  };
  const report = await HtmlReport.open(path, run, () => nowMs);
  const slots = Array.from({ length: 6 }, () => nowMs + 500);
  const events: ReportEvent[] = [];
  for (let id = 1; id <= tables; id++) {
    const name = {
      tenant: id % 3 ? "cnosdb" : "气象",
      database: id % 8 ? `db_${id % 8}` : "Weird DB",
      table: hostile[id - 1] ?? `table_${id}`,
    };
    const rows = id * 7919 % 100_003;
    const slot = slots.indexOf(Math.min(...slots));
    const startMs = slots[slot] ?? 0;
    let atMs = startMs;
    const durations = { prepare: 40, export: 100 + rows / 100, import: 150 + rows / 40, verify: 60 };
    for (const [step, ms] of Object.entries(durations) as [ReportEvent["step"], number][]) {
      const event = { table: { id, ...name }, step };
      events.push({ what: "begin", ...event, atMs }, { what: "end", ...event, atMs: atMs += ms });
      const note = "http://new-cluster.example:8902 closed the connection before it answered";
      if (id % 900 === 5 && step === "import") events.push({ what: "again", ...event, atMs, note });
    }
    slots[slot] = atMs;
    const error = errors[id];
    const source = { rows, min: "2023-11-14T22:13:20", max: "2026-11-20T09:01:02.123456789" };
    const failed = error?.startsWith("it differs") ? "different" : id === 15 ? "source changed" : "failed";
    report.add({
      ...{ id, ...name, source, attempts: 1, seconds: (atMs - startMs) / 1000 },
      status: error !== undefined ? failed : id === 17 ? "left" : "verified",
      ...(error === undefined ? { target: source } : { target: { ...source, rows: rows - 1 }, error }),
    });
  }
  for (const event of events.sort((a, b) => a.atMs - b.atMs)) report.event(event);
  nowMs = Math.max(...slots);
  if (!empty) report.bytes = () => 123_456_789_012;
  await report.write(empty ? 130 : 1, undefined);
}

const missing = chromiumPath === undefined
  ? " (no Chromium here: apt-get install chromium, or set CHROMIUM)"
  : "";

/** A test with a browser that shows a page of so many tables, and complains of nothing. */
function test(name: string, tables: number, body: (browser: Browser, path: string) => Promise<void>) {
  Deno.test({
    name: name + missing,
    ignore: missing !== "",
    fn: async () => {
      const path = await Deno.makeTempFile({ suffix: ".html" });
      try {
        await writeSample(path, tables, tables === 0);
        await using browser = await Browser.start();
        await browser.view({ width: 1440 });
        await browser.open(path);
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
  frames = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)));
`;

test(
  "ten thousand tables are drawn a few at a time, sorted by their headings and searched",
  10_000,
  async (browser) => {
    await browser.run(prelude);
    assert(await browser.run<number>("all('tr').length") < 300);
    assertEquals(await browser.run("texts('.totals dd')[0]"), "10,000");
    // What went wrong comes first, as the page has it.
    assertEquals(
      await browser.run("texts('#tables tbody td:nth-child(2)').slice(0, 7).sort().join()"),
      [
        ...["different", "different", "failed", "failed", "left", "source changed", "verified"],
      ].join(),
    );
    for (const [sort, most] of [["descending", true], ["ascending", false]] as const) {
      await browser.run("heading('Old rows').click()");
      assertEquals(await browser.run("heading('Old rows').parentNode.getAttribute('aria-sort')"), sort);
      const found = await browser.run<number[]>("cells(3)");
      assertEquals(found, [...found].sort((a, b) => most ? b - a : a - b));
      assertEquals(found[0]! > 99_000, most);
    }
    await browser.run("heading('Table').click()");
    assertEquals(await browser.run("all('#tables [aria-sort]').length"), 1);
    await browser.run("document.querySelector('#tables').scrollIntoView(); frames()");
    await browser.run("window.scrollTo(0, 1e9); frames()");
    assert(await browser.run<number>("rows()") > 200, "more rows come as one scrolls");
    await browser.run("document.querySelector('#tables .more').click()");
    while (await browser.run("rows() < 10000")) await browser.run("frames()");
    assertEquals(await browser.run("rows()"), 10_000);
    await browser.run("document.querySelector('input').focus()");
    await browser.type("DB_1 table_99");
    assertEquals(await browser.run("texts('.tools [role=status]')[0]"), "13 of 10,000 tables");
    assertEquals(await browser.run("rows()"), 13);
    await browser.run("i = document.querySelector('input'); i.value = ''; i.oninput()");
    await browser.run("s = document.querySelector('select'); s.value = 'failed'; s.onchange()");
    assertEquals(await browser.run("texts('#tables tbody th')"), [
      "cnosdb.db_5.table_13",
      "cnosdb.db_6.table_14",
    ]);
  },
);

test(
  "in both themes and at both widths nothing is cut and everything has contrast",
  60,
  async (browser, path) => {
    const pictures = Deno.env.get("PICTURES");
    for (const width of [360, 1440]) {
      for (const theme of ["light", "dark"] as const) {
        await browser.view({ width, theme });
        await browser.open(path);
        const wide = await browser.run(`[...document.querySelectorAll("body *")].filter((e) =>
        e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))`);
        assertEquals(wide, [], `${width} ${theme}`);
        assertEquals(await browser.run("document.documentElement.scrollWidth <= innerWidth"), true);
        assertEquals(await browser.run(poor), [], `${width} ${theme}`);
        const dark =
          await browser.run("getComputedStyle(document.body).backgroundColor") === "rgb(21, 24, 27)";
        assertEquals(dark, theme === "dark");
        if (pictures) {
          await Deno.writeFile(`${pictures}/${width}-${theme}.png`, await browser.picture(true));
        }
      }
    }
  },
);

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
  const told = (e, ratio) => e.outerHTML.slice(0, 60) + " " + ratio.toFixed(2);
  return [...document.querySelectorAll("#page *")].flatMap((e) => {
    const drawn = e.tagName === "path";
    const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    const ratio = drawn ? contrast(e, "fill") : text ? contrast(e, "color") : 99;
    return ratio < (drawn ? 3 : 4.5) ? [told(e, ratio)] : [];
  });
})()`;

test("names that hold HTML are shown as they are", 40, async (browser) => {
  await browser.run(prelude);
  const shown = (await browser.run<string[]>("texts('#tables tbody th')")).join("\n");
  for (const name of hostile) assert(shown.includes(name.replaceAll('"', '""')), name);
  assertEquals(await browser.run("all('img, b:not(td > b), script').length"), 2);
  assertEquals(await browser.run("texts('#differences td:nth-child(2)').includes('<b>')"), true);
});

test(
  "on paper all differences and failures are there, in dark letters, and nothing that is to be clicked",
  300,
  async (browser) => {
    await browser.view({ width: 1000, theme: "dark" });
    await browser.run(prelude);
    const pdf = await browser.pdf();
    assertEquals(new TextDecoder().decode(pdf.subarray(0, 5)), "%PDF-");
    assertEquals(await browser.run("rows()"), 300);
    const pictures = Deno.env.get("PICTURES");
    if (pictures) await Deno.writeFile(`${pictures}/page.pdf`, pdf);
    await browser.view({ width: 700, theme: "dark", media: "print" });
    const visible = "(e) => e.checkVisibility()";
    assertEquals(
      await browser.run(`all("input, select, nav, .more, header button, .hint").filter(${visible}).length`),
      0,
    );
    assertEquals(await browser.run(`all("#differences tbody tr").filter(${visible}).length`), 6);
    assertEquals(await browser.run(`all("#failures tbody tr").filter(${visible}).length`), 3);
    assertEquals(await browser.run(`all(".sign span").filter(${visible}).length`), 6);
    assertEquals(await browser.run("getComputedStyle(document.body).color"), "rgb(28, 33, 38)");
  },
);

test("on paper a list of ten thousand is left out, and says so", 10_000, async (browser) => {
  await browser.run(prelude);
  await browser.pdf();
  assert(await browser.run<number>("rows()") < 1000);
  await browser.view({ width: 700, media: "print" });
  assertEquals(await browser.run("all('#tables table')[0].checkVisibility()"), false);
  assertMatch(
    await browser.run<string>("document.querySelector('.paper').innerText"),
    /^Too many to print: 10,000/,
  );
});

test("all of it can be reached by keyboard", 40, async (browser) => {
  await browser.run(prelude);
  const reached = new Set<string>();
  for (let i = 0; i < 60; i++) {
    await browser.press("Tab");
    reached.add(
      await browser.run("document.activeElement.tagName + ' ' + document.activeElement.textContent"),
    );
  }
  for (const wanted of [/^BUTTON 中文/, /^A Tables/, /^BUTTON Old rows/, /^svg/, /^INPUT/, /^SELECT/]) {
    assert([...reached].some((name) => wanted.test(name)), `${wanted}: ${[...reached].join(", ")}`);
  }
  await browser.run("heading('Attempts').focus()");
  await browser.press("Enter");
  assertEquals(await browser.run("heading('Attempts').parentNode.getAttribute('aria-sort')"), "descending");
  await browser.run("document.querySelector('#timeline svg[tabindex]').focus()");
  await browser.press("ArrowRight");
  const first = await browser.run<string>("texts('#timeline .hint')[0]");
  await browser.press("ArrowRight");
  const second = await browser.run<string>("texts('#timeline .hint')[0]");
  assertMatch(first, /^\S.* · prepare · 0\.0 s · \d{4}-.* UTC$/);
  assertMatch(second, / · export · /);
  await browser.press("Enter");
  assertEquals(await browser.run("document.querySelector('input').value"), second.split(" · ")[0]);
  assertEquals(await browser.run("rows()"), 1);
});

test("nothing moves by itself, and every table names its columns and rows", 40, async (browser) => {
  await browser.run(prelude);
  assertEquals(await browser.run("document.getAnimations().length"), 0);
  assertEquals(
    await browser.run("/transition|animation/.test(document.querySelector('style').textContent)"),
    false,
  );
  assertEquals(await browser.run("all('table').every((t) => t.getAttribute('aria-label'))"), true);
  assertEquals(await browser.run("all('thead th').every((h) => h.scope === 'col')"), true);
  assertEquals(await browser.run("all('tbody tr').every((r) => r.cells[0].scope === 'row')"), true);
});

test(
  "a reader of Chinese gets the page in Chinese, another in English, and either can change it",
  40,
  async (browser, path) => {
    await browser.view({ width: 1440, language: "zh-CN" });
    await browser.open(path);
    await browser.run(prelude);
    assertEquals(await browser.run("document.documentElement.lang"), "zh-CN");
    const words =
      "h1, h2, dt, th[scope=col], option, .legend span, .sign span, #tables td:nth-child(2), #differences td:nth-child(3)";
    const english = await browser.run<string[]>(
      `texts(${JSON.stringify(words)}).filter((t) => !/\\p{Script=Han}/u.test(t))`,
    );
    assertEquals(english, []);
    await browser.run("document.querySelector('header button').click()");
    const chinese = await browser.run<string[]>(
      `texts(${JSON.stringify(words)}).filter((t) => /\\p{Script=Han}/u.test(t))`,
    );
    assertEquals(chinese, []);
    assertEquals(await browser.run("document.documentElement.lang"), "en");
  },
);

test("a run that came to nothing still has a page", 0, async (browser) => {
  assertMatch(
    await browser.run<string>("document.querySelector('.verdict').innerText"),
    /no tables · interrupted/,
  );
});
