/** The page that lib/html_report.ts fills: its look, and the script that draws what it holds. It fetches nothing, and may not. */

const style = `
:root{--bg:#fff;--fg:#1c2126;--dim:#57606a;--line:#d5dae0;--soft:#f3f5f7;--ok:#1a7037;--bad:#b3261e;--warn:#875700;
--link:#0a539e;--k0:#77818a;--k1:#2f6fb5;--k2:#1f8a70;--k3:#8a63c9;--k4:#d1423a;color-scheme:light}
@media screen and (prefers-color-scheme:dark){:root{--bg:#15181b;--fg:#e2e5e8;--dim:#9ba5ae;--line:#333a41;--soft:#1d2125;
--ok:#6cc283;--bad:#ff8a80;--warn:#e0b050;--link:#7db8f0;--k0:#7d868f;--k1:#5c9ee0;--k2:#3fb597;--k3:#b08be8;--k4:#f2645a;
color-scheme:dark}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:14px/1.45 system-ui,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",
sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1392px;margin:0 auto;padding:20px 16px 48px;overflow-wrap:anywhere}
h1{font-size:15px;font-weight:600;margin:0;color:var(--dim)}
h2{font-size:16px;margin:34px 0 8px}
header{display:flex;justify-content:space-between;align-items:baseline;gap:12px}
p{margin:6px 0}.dim,caption{color:var(--dim)}.ok{color:var(--ok)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.verdict{font-size:21px;line-height:1.3;font-weight:600;margin:6px 0 12px}
nav a{color:var(--link);margin-right:14px}
dl{display:grid;gap:0 24px;margin:0}dt{color:var(--dim)}dt::first-letter{text-transform:uppercase}dd{margin:0}
.facts{display:grid;grid-template-columns:1fr 1fr;gap:2px 20px;margin:0 0 14px}
.facts dl{grid-template-columns:96px 1fr;gap:2px 12px;align-content:start}
.totals{grid-template-columns:repeat(auto-fill,minmax(128px,1fr));border-top:1px solid var(--line)}
.totals div{padding:8px 0;border-bottom:1px solid var(--line)}.totals dd{font-size:18px}
table{border-collapse:collapse;width:100%;table-layout:fixed;font-size:13px}
caption{text-align:left;padding:0 0 6px}
th,td{text-align:left;vertical-align:top;padding:3px 12px 3px 0;border-bottom:1px solid var(--line);font-weight:400;
unicode-bidi:isolate}
thead th{position:sticky;top:0;background:var(--bg);border-bottom:1px solid var(--dim);vertical-align:bottom;
overflow-wrap:normal}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap}.big{width:8.5%}.wide{width:21%}.long{width:38%}.mid{width:12.5%}.short{width:9.5%}
button,input,select{font:inherit;color:inherit;background:var(--soft);border:1px solid var(--line);border-radius:4px;padding:4px 10px}
thead button{all:unset;cursor:pointer;color:var(--dim)}
thead button:hover,[aria-sort] button{color:var(--fg)}
[aria-sort=ascending] button::after{content:" ↑"}[aria-sort=descending] button::after{content:" ↓"}
:focus-visible,thead button:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.more{margin-top:8px}.tools{display:flex;flex-wrap:wrap;gap:8px;align-items:center;margin:0 0 8px}.tools input{flex:1 1 260px;max-width:480px}
svg{display:block;width:100%;background:var(--soft);cursor:crosshair}
.k0{fill:var(--k0)}.k1{fill:var(--k1)}.k2{fill:var(--k2)}.k3{fill:var(--k3)}.k4{fill:var(--k4)}
.mark{fill:none;stroke:var(--fg);stroke-width:2;vector-effect:non-scaling-stroke}
.axis{display:flex;justify-content:space-between;color:var(--dim);font-size:12px}
.legend svg{display:inline-block;width:10px;height:10px;margin:0 5px 0 0}.legend span{display:inline-block;margin-right:16px}
.sign,.paper{display:none}
@media screen and (max-width:700px){
.facts{grid-template-columns:1fr}.totals{grid-template-columns:1fr 1fr}
table,tbody,caption{display:block}thead{display:block}thead tr{display:flex;flex-wrap:wrap;gap:2px 14px}
thead th{position:static;border:0;padding:0;width:auto!important}thead button{text-decoration:underline dotted}
tbody tr{display:flex;flex-wrap:wrap;gap:0 14px;padding:6px 0;border-bottom:1px solid var(--line)}
tbody th{flex:1 0 100%;font-weight:600}tbody th,tbody td{border:0;padding:0;text-align:left;width:auto!important}
tbody td:not(.plain):not(:empty)::before{content:attr(data-label) " ";color:var(--dim)}tbody td:empty{display:none}}
@media print{@page{margin:14mm}main{max-width:none;padding:0}body{font-size:9pt}
.tools,nav,header button,.more,.hint,.toomany table{display:none}.toomany .paper{display:block}
thead th{position:static}thead button{display:contents}tr,thead{break-inside:avoid}table{font-size:8pt}.wide{width:27%}
.step{display:none}h2{break-after:avoid}svg{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.sign{display:grid;grid-template-columns:2fr 1fr 2fr;gap:40px 24px;margin-top:48px;break-inside:avoid}
.sign span{border-top:1px solid;padding-top:4px}}
`;

const script = `"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const zh = {
  "CnosDB migration report": "CnosDB 迁移报告", "{n} of {all} tables {status}": "{all} 张表中 {n} 张{status}",
  "interrupted": "已中断", "no tables": "没有表", "From": "来源", "To": "目标", "Began": "开始", "Ended": "结束", "Stage": "中转",
  "Verification": "校验", "Options": "选项", "Made by": "生成工具", "served by the script": "由脚本提供", "Tables": "表",
  "Rows": "行数", "Bytes through the stage": "经中转字节", "Elapsed": "耗时", "Statements' time": "语句总时长", "Retries": "重试",
  "Exit status": "退出码", "verified": "已校验", "imported": "已导入，未校验", "exported": "仅导出", "different": "有差异",
  "source changed": "来源已变化", "failed": "失败", "left": "未完成", "Differences": "差异", "Failures": "失败与原因",
  "Databases": "数据库", "Timeline": "时间线", "Table": "表", "Column": "列", "What": "内容", "Old cluster": "旧集群",
  "New cluster": "新集群", "Status": "状态", "Reason": "原因", "Database": "数据库", "Seconds": "秒", "Step": "步骤",
  "Times": "次数", "When (UTC)": "时间 (UTC)", "Why": "原因", "Old rows": "旧行数", "New rows": "新行数", "First": "最早",
  "Last": "最晚",
  "Export s": "导出秒", "Import s": "导入秒", "Verify s": "校验秒", "Total s": "总秒", "Attempts": "尝试", "prepare": "比较",
  "export": "导出", "import": "导入", "verify": "校验", "tried again": "重试过", "all": "全部", "Search": "搜索",
  "{n} of {all} tables": "{all} 张表中的 {n} 张", "{n} of {all} shown: show all": "已显示 {n} / {all}：全部显示",
  "rows and their first and last time": "行数及最早、最晚时间",
  "rows, first and last time, and every column": "行数、最早最晚时间及每一列",
  "none": "无", "No differences were found; {n} tables were verified.": "未发现差异；已校验 {n} 张表。", "type": "类型", "column": "列", "present": "有", "missing": "无",
  "count": "非空值数", "xor": "按位异或", "true": "真值数", "min": "最小值", "max": "最大值", "octets": "文本字节数",
  "md5": "文本摘要", "rows": "行数", "first time": "最早时间", "last time": "最晚时间", "To be done": "待处理",
  "Name": "姓名", "Date": "日期", "Signature": "签名", "this run": "本次运行",
  "A line is a slot for one statement. Arrow keys go from one to the next, Enter searches for its table.":
    "每行为一个语句槽位。方向键逐个移动，回车搜索该表。",
  "{n} more tables are counted but not listed.": "另有 {n} 张表已计入但未列出。",
  "Too many to print: {n} tables. Narrow the list by a search first.": "共 {n} 张表，过多而未打印；请先搜索以缩小列表。",
};
const state = { lang: /^zh/i.test(navigator.language) ? "zh" : "en", find: "", status: "", sort: {} };
const t = (text, values = {}) =>
  ((state.lang === "zh" && zh[text]) || text).replace(/{([a-z]+)}/g, (_, name) => values[name]);
const svgNames = /^(svg|path|rect)$/;
const h = (tag, attributes, ...children) => {
  const svg = svgNames.test(tag) && "http://www.w3.org/2000/svg";
  const e = svg ? document.createElementNS(svg, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) e[name] = value;
    else if (value != null) e.setAttribute(name, value);
  }
  e.append(...children.flat(Infinity).filter((child) => child != null));
  return e;
};
const format = new Intl.NumberFormat("en");
const num = (n) => n == null ? "" : format.format(n);
const sec = (s) => s == null ? "" : s < 1000 ? s.toFixed(1) : num(Math.round(s));
const dur = (s) => {
  if (s < 9.95) return s.toFixed(1) + " s";
  const [m, r] = [Math.floor(Math.round(s) / 60), Math.round(s) % 60];
  return m >= 60 ? Math.floor(m / 60) + " h " + m % 60 + " min" : m ? m + " min " + r + " s" : r + " s";
};
const size = (n) => {
  const unit = Math.min(4, Math.floor(Math.log10(Math.max(n, 1)) / 3));
  return (n / 1000 ** unit).toFixed(unit ? 1 : 0) + " " + ["B", "kB", "MB", "GB", "TB"][unit];
};
const when = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ") + " UTC";
const order = new Intl.Collator(undefined, { numeric: true }).compare;
const kinds = ["prepare", "export", "import", "verify", "tried again"];
const { run, counts, segments } = data;
const spent = new Map();
const bySlot = Array.from({ length: data.slots }, () => []);
for (let i = 0; i < segments.length; i += 5) {
  const [slot, id, kind, , ms] = segments.slice(i, i + 5);
  bySlot[slot].push(i);
  if (!spent.has(id)) spent.set(id, []);
  spent.get(id)[kind % 4] = (spent.get(id)[kind % 4] || 0) + ms / 1000;
}
const tables = data.tables.map(([id, db, table, status, old, young, source, target, attempts, seconds, error, differences]) => {
  const name = data.databases[db].name + "." + table;
  const [first, last] = target || source || [];
  const find = (name + " " + status + " " + error).toLowerCase();
  return { id, name, status, old, young, first, last, attempts, seconds, error, differences, find, spent: spent.get(id) || [] };
});
const byId = new Map(tables.map((table) => [table.id, table]));
const color = { verified: "ok", left: "warn", imported: "warn", exported: "warn" };
const statusOf = (status) => h("span", { class: color[status] || "bad" }, t(status));
const column = (name, value, kind, cell) => ({ name, value, kind, cell });
let grids = [];

/** A table that is sorted by its headings; rows are made a few at a time, as ten thousand at once are slow. */
function grid(name, columns, rows, auto) {
  const sort = state.sort[name] = state.sort[name] || {};
  let list = [], shown = 0;
  const body = h("tbody");
  const cell = (c, i, row) => h(i ? "td" : "th", { scope: i ? null : "row", class: c.kind, "data-label": t(c.name) },
    c.cell ? c.cell(row) : /^n/.test(c.kind) ? num(c.value(row)) : c.value(row));
  const add = (count) => {
    const end = Math.min(list.length, shown + count), part = document.createDocumentFragment();
    for (; shown < end; shown++) {
      part.append(h("tr", { "aria-rowindex": shown + 2 }, columns.map((c, i) => cell(c, i, list[shown]))));
    }
    body.append(part);
    more.hidden = shown === list.length;
    more.textContent = t("{n} of {all} shown: show all", { n: num(shown), all: num(list.length) });
  };
  const rest = () => {
    add(500);
    if (!more.hidden) setTimeout(rest);
  };
  const more = h("button", { type: "button", class: "more", onclick: rest });
  const heads = columns.map((c) => h("th", { scope: "col", class: c.kind }, h("button", { type: "button", onclick: () => {
    sort.down = sort.by === c.name ? !sort.down : /^n/.test(c.kind);
    sort.by = c.name;
    show();
  } }, t(c.name))));
  const show = (wanted) => {
    rows = wanted || rows;
    const by = columns.find((c) => c.name === sort.by), sign = sort.down ? -1 : 1;
    const compare = (a, b) => a === b ? 0 : a == null ? 1 : b == null ? -1
      : sign * (typeof a === "number" ? a - b : order(a, b));
    list = by ? rows.slice().sort((a, b) => compare(by.value(a), by.value(b))) : rows;
    columns.forEach((c, i) => c === by ? heads[i].setAttribute("aria-sort", sort.down ? "descending" : "ascending")
      : heads[i].removeAttribute("aria-sort"));
    body.textContent = "";
    table.setAttribute("aria-rowcount", list.length + 1);
    shown = 0;
    add(auto ? 100 : 50);
  };
  const table = h("table", { "aria-label": t(name) }, h("thead", {}, h("tr", {}, heads)), body);
  if (auto) new IntersectionObserver((seen) => seen.some((s) => s.isIntersecting) && add(200), { rootMargin: "800px" }).observe(more);
  show();
  const made = { parts: [table, more], show, all: () => add(Infinity), count: () => list.length };
  grids.push(made);
  return made;
}

const section = (id, title, ...parts) => h("section", { id }, h("h2", {}, title), parts);

function verdict() {
  const all = Object.values(counts).reduce((a, b) => a + b, 0);
  const good = ["verified", "imported", "exported"].filter((s) => counts[s]);
  const bad = ["different", "failed", "source changed"].filter((s) => counts[s]);
  const parts = (good.length || !all ? good : ["verified"]).map((status) =>
    t("{n} of {all} tables {status}", { n: num(counts[status] || 0), all: num(all), status: t(status) }));
  for (const status of [...bad, "left"]) if (counts[status]) parts.push(num(counts[status]) + " " + t(status));
  if (run.exit === 130) parts.push(t("interrupted"));
  if (!all) parts.unshift(t("no tables"));
  const kind = bad.length || data.todo.length || ![0, 130].includes(run.exit) ? "bad"
    : all && counts.verified === all && run.exit === 0 ? "ok" : "warn";
  const sign = { ok: "✓ ", bad: "✗ ", warn: "! " }[kind];
  return h("p", { class: "verdict " + kind }, h("span", { "aria-hidden": "true" }, sign), parts.join(" · "));
}

function facts() {
  const side = (url, version) => url + (version ? ", CnosDB " + version : "");
  const how = { count: "rows and their first and last time", full: "rows, first and last time, and every column", none: "none" };
  const { verify, ...options } = run.options;
  const given = Object.entries(options).filter(([, value]) => value !== "no" && value !== "raise");
  const list = (...entries) => h("dl", {}, entries.filter(Boolean).map(([name, value]) => [h("dt", {}, t(name)), h("dd", {}, value)]));
  return h("div", { class: "facts" },
    list(["From", side(run.from, run.fromVersion)], ["To", side(run.to, run.toVersion)], ["Verification", t(how[verify] || verify)],
      run.stage && ["Stage", run.stage === "served" ? t("served by the script") : run.stage]),
    list(["Began", when(run.beganMs)], ["Ended", when(run.endedMs)], ["Made by", run.tool],
      given.length && ["Options", given.map(([name, value]) => "--" + name + " " + value).join(" ")]));
}

function totals() {
  const sum = (name) => data.databases.reduce((total, db) => total + (db[name] || 0), 0);
  const alarm = (status) => [status, h("span", { class: counts[status] ? color[status] || "bad" : "dim" }, num(counts[status] || 0))];
  const here = " (" + t("this run") + ")";
  return h("dl", { class: "totals" }, [["Tables", num(sum("tables"))], ["Rows", num(sum("rows"))],
    run.bytes != null && ["Bytes through the stage", size(run.bytes)], ["Elapsed", dur((run.endedMs - run.beganMs) / 1000), here],
    ["Statements' time", dur(sum("seconds"))], alarm("verified"),
    ...["imported", "exported"].filter((status) => counts[status]).map(alarm),
    ...["different", "failed", "source changed", "left"].map(alarm), ["Retries", num(run.retries), here], ["Exit status", String(run.exit)],
  ].filter(Boolean).map(([name, value, note]) => h("div", {}, h("dt", {}, t(name), note), h("dd", {}, value))));
}

function timeline() {
  const total = Math.max(1, run.endedMs - run.beganMs), lanes = data.slots, width = 2000;
  const height = Math.max(2, Math.min(16, Math.floor(480 / lanes)));
  const bins = Math.max(100, Math.min(1200, Math.floor(60000 / lanes)));
  const span = (i) => [segments[i + 3] / total * width, Math.max(1, segments[i + 4] / total * width)];
  const paths = kinds.map(() => []);
  // Thousands of statements fall on one pixel: each bin of a line is filled by what share of it each step took.
  bySlot.forEach((list, slot) => {
    const shares = new Float64Array(bins * 5), tried = new Set();
    for (const i of list) {
      const from = Math.max(0, segments[i + 3] / total * bins), to = Math.min(bins, (segments[i + 3] + segments[i + 4]) / total * bins);
      const kind = Math.min(4, segments[i + 2]);
      if (kind === 4) tried.add(Math.min(bins - 1, Math.floor(from)));
      for (let bin = Math.floor(from); bin < to; bin++) shares[bin * 5 + kind] += Math.min(to, bin + 1) - Math.max(from, bin);
    }
    for (const bin of tried) shares[bin * 5 + 4] = Math.max(0.3, shares[bin * 5 + 4]);
    let open = [];
    for (let bin = 0; bin <= bins; bin++) {
      const next = [];
      for (let kind = 4, y = 0; kind >= 0 && bin < bins; kind--) {
        const share = Math.min(shares[bin * 5 + kind], 1 - y);
        if (share > 0.01) next.push({ kind, y: y.toFixed(2), share: share.toFixed(2), from: bin });
        y += share;
      }
      for (const one of open) {
        const same = next.find((other) => other.kind === one.kind && other.y === one.y && other.share === one.share);
        if (same) same.from = one.from;
        else paths[one.kind].push("M" + (one.from * width / bins).toFixed(1) + " " + (slot * 8 + 1 + one.y * 6).toFixed(2) + "h" +
          ((bin - one.from) * width / bins).toFixed(1) + "v" + (one.share * 6).toFixed(2) + "h" + ((one.from - bin) * width / bins).toFixed(1) + "z");
      }
      open = next;
    }
  });
  const mark = h("rect", { class: "mark", width: 0, height: 0 });
  const caption = h("p", { role: "status", class: "hint" }, h("span", { class: "dim" },
    t("A line is a slot for one statement. Arrow keys go from one to the next, Enter searches for its table.")));
  let at;
  const pick = (i) => {
    if (i == null) return;
    at = i;
    const [x, w] = span(i), table = byId.get(segments[i + 1]);
    for (const [name, value] of Object.entries({ x, y: segments[i] * 8, width: w, height: 8 })) mark.setAttribute(name, value);
    caption.textContent = [table && table.name, t(kinds[segments[i + 2] % 4]), segments[i + 2] > 3 ? t(kinds[4]) : "",
      dur(segments[i + 4] / 1000), when(run.beganMs + segments[i + 3])].filter(Boolean).join(" · ");
  };
  const near = (slot, ms) => bySlot[slot] && bySlot[slot].reduce((best, i) => {
    const distance = Math.max(segments[i + 3] - ms, ms - segments[i + 3] - segments[i + 4]);
    return best && best[1] <= distance ? best : [i, distance];
  }, undefined);
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 };
  const find = () => at != null && byId.has(segments[at + 1]) && search(byId.get(segments[at + 1]).name);
  const drawing = h("svg", { viewBox: "0 0 " + width + " " + lanes * 8, preserveAspectRatio: "none", tabindex: 0, role: "img",
    "aria-label": t("Timeline") + ". " + t("A line is a slot for one statement. Arrow keys go from one to the next, Enter searches for its table."),
    onclick: find,
    onpointermove: (event) => {
      const box = drawing.getBoundingClientRect();
      const slot = Math.floor((event.clientY - box.top) / box.height * lanes);
      const found = near(slot, (event.clientX - box.left) / box.width * total);
      if (found) pick(found[0]);
    },
    onkeydown: (event) => {
      if (event.key === "Enter") return find();
      if (!step[event.key]) return;
      event.preventDefault();
      if (at == null) return pick(bySlot[0][0]);
      const slot = segments[at], other = near(slot + step[event.key], segments[at + 3] + segments[at + 4] / 2);
      pick(/Up|Down/.test(event.key) ? other && other[0] : bySlot[slot][bySlot[slot].indexOf(at) + step[event.key]]);
    } }, paths.map((path, kind) => h("path", { class: "k" + kind, d: path.join("") })), mark);
  drawing.style.height = lanes * height + "px";
  const legend = kinds.map((kind, i) => paths[i].length ? h("span", {}, h("svg", { viewBox: "0 0 1 1", "aria-hidden": "true" },
    h("path", { class: "k" + i, d: "M0 0h1v1h-1z" })), t(kind)) : null);
  return section("timeline", t("Timeline") + " (" + t("this run") + ")", h("p", { class: "legend" }, legend), drawing,
    h("div", { class: "axis" }, [0, 1, 2, 3, 4].map((i) => h("span", {}, dur(total * i / 4000)))), caption);
}

let search;
function tableList() {
  const row = (of) => (table) => table[of], step = (kind) => (table) => table.spent[kind];
  const time = (of) => (table) => (table[of] || "").replace("T", " ");
  const seconds = (name, value, kind) => column(name, value, kind, (table) => sec(value(table)));
  const list = grid("Tables", [
    column("Table", row("name"), "wide"), column("Status", row("status"), "short plain", (table) => statusOf(table.status)),
    column("Old rows", row("old"), "n big"),
    column("New rows", row("young"), "n big", (table) => table.old === table.young ? num(table.young) : h("b", {}, num(table.young))),
    column("First", time("first"), "mid"), column("Last", time("last"), "mid"),
    ...["Export s", "Import s", "Verify s"].map((name, i) => seconds(name, step(i + 1), "n step"))
      .filter((c, i) => segments.some((kind, at) => at % 5 === 2 && kind % 4 === i + 1)),
    seconds("Total s", row("seconds"), "n"), column("Attempts", row("attempts"), "n"),
  ], tables, true);
  const count = h("span", { role: "status", class: "dim" });
  const toomany = h("p", { class: "paper" });
  const filter = () => {
    const words = state.find.toLowerCase().split(" ").filter(Boolean);
    list.show(tables.filter((table) => (!state.status || table.status === state.status) && words.every((word) => table.find.includes(word))));
    count.textContent = t("{n} of {all} tables", { n: num(list.count()), all: num(tables.length) });
    box.classList.toggle("toomany", list.count() > 2000);
    toomany.textContent = t("Too many to print: {n} tables. Narrow the list by a search first.", { n: num(list.count()) });
  };
  const input = h("input", { type: "search", "aria-label": t("Search"), placeholder: t("Search"), value: state.find,
    oninput: () => { state.find = input.value; filter(); } });
  const select = h("select", { "aria-label": t("Status"), onchange: () => { state.status = select.value; filter(); } },
    h("option", { value: "" }, t("all")),
    Object.keys(counts).map((status) => h("option", { value: status }, t(status) + " " + num(counts[status]))));
  select.value = state.status;
  search = (name) => { input.value = state.find = name; filter(); input.scrollIntoView(); };
  const unlisted = Object.values(counts).reduce((a, b) => a + b, 0) - tables.length;
  const box = section("tables", t("Tables"), h("div", { class: "tools" }, input, select, count),
    unlisted ? h("p", {}, t("{n} more tables are counted but not listed.", { n: num(unlisted) })) : null, list.parts, toomany);
  filter();
  return box;
}

function render() {
  grids = [];
  document.documentElement.lang = state.lang === "zh" ? "zh-CN" : "en";
  document.title = t("CnosDB migration report");
  const found = tables.flatMap((table) => table.differences.map((d) => ({ ...d, name: table.name })));
  const failed = tables.filter((table) => table.error && table.status !== "left" && table.status !== "verified" && table.status !== "different");
  const name = column("Table", (row) => row.name, "wide");
  const list = (title, columns, rows) => grid(title, columns, rows).parts;
  const statuses = Object.keys(counts).map((status) => column(status, (db) => db[status], "n"));
  const parts = {
    differences: section("differences", t("Differences"), found.length ? list("Differences", [name,
      column("Column", (d) => d.column || ""), column("What", (d) => t(d.what), "mid"), column("Old cluster", (d) => t(d.old)),
      column("New cluster", (d) => t(d.young))], found) : h("p", {},
      t("No differences were found; {n} tables were verified.", { n: num(counts.verified || 0) }))),
    failures: failed.length && section("failures", t("Failures"), list("Failures", [name,
      column("Status", (table) => table.status, "mid plain", (table) => statusOf(table.status)),
      column("Reason", (table) => table.error, "plain")], failed)),
    databases: section("databases", t("Databases"), list("Databases", [column("Database", (db) => db.name, "wide"),
      column("Tables", (db) => db.tables, "n"), column("Rows", (db) => db.rows, "n"),
      column("Seconds", (db) => db.seconds, "n", (db) => sec(db.seconds)), ...statuses],
      data.databases.slice().sort((a, b) => order(a.name, b.name)))),
    timeline: segments.length && timeline(),
    retries: data.retries.length && section("retries", t("Retries") + " (" + t("this run") + ")", list("Retries", [
      column("Table", (r) => r[0], "wide"), column("Step", (r) => t(r[1]), "mid"), column("Times", (r) => r[2], "n"),
      column("When (UTC)", (r) => when(r[3]).slice(0, 19) + (r[4] - r[3] > 999 ? " – " + when(r[4]).slice(0, 19) : ""), "mid"),
      column("Why", (r) => r[5], "long plain")], data.retries)),
    tables: tableList(),
  };
  const shown = Object.entries(parts).filter(([, part]) => part);
  const other = state.lang === "zh" ? ["en", "English"] : ["zh-CN", "中文"];
  document.getElementById("page").replaceChildren(
    h("header", {}, h("h1", {}, t("CnosDB migration report")), h("button", { type: "button", lang: other[0], onclick: () => {
      state.lang = other[0].slice(0, 2);
      render();
      document.querySelector("header button").focus();
    } }, other[1])),
    verdict(), run.error ? h("p", {}, run.error) : "",
    ...data.todo.map((text) => h("p", { class: "bad" }, t("To be done") + ": " + text)),
    facts(), totals(), h("nav", {}, h("p", {}, shown.map(([id, part]) => h("a", { href: "#" + id }, part.firstChild.textContent.split(" (")[0])))),
    ...shown.map(([, part]) => part),
    h("div", { class: "sign" }, [0, 1].map(() => ["Name", "Date", "Signature"].map((word) => h("span", {}, t(word))))));
}
// On paper everything is to be there, but for a list too long to be read.
addEventListener("beforeprint", () => grids.forEach((one, i) => (i < grids.length - 1 || one.count() <= 2000) && one.all()));
render();
`;

/**
 * The whole page.
 * @param data goes into it as JSON, in which no `<` is left, so that no name can end the element that holds it
 * @returns HTML that runs its own script alone, whatever a name may hold: the policy names the script by its hash
 */
export async function page(data: unknown): Promise<string> {
  const hash = async (text: string) => {
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    return `'sha256-${btoa(String.fromCharCode(...new Uint8Array(digest)))}'`;
  };
  const policy = `default-src 'none'; base-uri 'none'; form-action 'none'; style-src ${await hash(style)}; ` +
    `script-src ${await hash(script)}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>CnosDB migration report</title><style>${style}</style></head>
<body><main id="page"><noscript>This page needs JavaScript; it loads nothing.</noscript></main>
<script type="application/json" id="data">${JSON.stringify(data).replaceAll("<", "\\u003c")}</script>
<script>${script}</script></body></html>
`;
}
