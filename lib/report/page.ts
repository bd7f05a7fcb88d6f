/** The page of a migration: its look, and the script that draws the report. It fetches nothing, and its policy forbids it to. */
import type { Report } from "./read.ts";

/** Who made the page, when and with what. */
export interface Made {
  /** the script and its version */
  tool: string;
  /** ISO 8601 */
  at: string;
  operator?: string | undefined;
}

const style = `
:root{--bg:#fff;--fg:#1c2126;--dim:#57606a;--line:#d5dae0;--soft:#f3f5f7;--ok:#1a7037;--bad:#b3261e;--warn:#875700;
--link:#0a539e;--bar:#2f6fb5;color-scheme:light}
@media screen and (prefers-color-scheme:dark){:root{--bg:#15181b;--fg:#e2e5e8;--dim:#9ba5ae;--line:#333a41;--soft:#1d2125;
--ok:#6cc283;--bad:#ff8a80;--warn:#e0b050;--link:#7db8f0;--bar:#5c9ee0;color-scheme:dark}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:14px/1.5 system-ui,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",
sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1120px;margin:0 auto;padding:20px 16px 48px;overflow-wrap:anywhere}
h1{font-size:15px;font-weight:600;margin:0;color:var(--dim)}
h2{font-size:17px;margin:36px 0 8px}h3{font-size:14px;margin:18px 0 4px}
header{display:flex;justify-content:space-between;align-items:baseline;gap:12px}
p{margin:6px 0}.dim{color:var(--dim)}.ok{color:var(--ok)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.verdict{font-size:24px;line-height:1.3;font-weight:600;margin:10px 0 4px}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:2px 18px;margin:18px 0}
.facts dt{color:var(--dim)}.facts dd{margin:0}
.sign{display:grid;grid-template-columns:2fr 1fr 2fr;gap:44px 24px;margin:56px 0 0;break-inside:avoid}
.sign span{border-top:1px solid var(--fg);padding-top:4px;color:var(--dim);font-size:13px}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{text-align:left;vertical-align:top;padding:4px 14px 4px 0;border-bottom:1px solid var(--line);font-weight:400}
thead th{color:var(--dim);border-bottom:1px solid var(--dim);vertical-align:bottom}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right}.n,.t{white-space:nowrap}.bar{width:18%}.bar i{display:block;height:9px;margin-top:6px;background:var(--bar);min-width:1px}
thead button{all:unset;cursor:pointer}thead button:hover,[aria-sort] button{color:var(--fg)}
[aria-sort=ascending] button::after{content:" ↑"}[aria-sort=descending] button::after{content:" ↓"}
button,input,select{font:inherit;color:inherit;background:var(--soft);border:1px solid var(--line);border-radius:4px;padding:4px 10px}
:focus-visible,thead button:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.tools{display:flex;flex-wrap:wrap;gap:8px;align-items:center;margin:0 0 8px}.tools input{flex:1 1 260px;max-width:480px}
.paper{display:none}.more{margin-top:8px}details{margin:4px 0}summary{cursor:pointer}code,.hash{font:12px/1.5 ui-monospace,monospace}
svg{display:block;width:100%;background:var(--soft)}svg rect{fill:var(--bar)}
.axis{display:flex;justify-content:space-between;color:var(--dim);font-size:12px}
@media screen and (max-width:700px){.t{white-space:normal}.facts{grid-template-columns:1fr}.facts dd{margin:0 0 6px}.verdict{font-size:20px}
.sign{grid-template-columns:1fr}table,tbody{display:block}thead{display:block}thead tr{display:flex;flex-wrap:wrap;gap:2px 14px}
thead th{border:0;padding:0}thead button{text-decoration:underline dotted}.bar{display:none}
tbody tr{display:flex;flex-wrap:wrap;gap:0 14px;padding:6px 0;border-bottom:1px solid var(--line)}
tbody th{flex:1 0 100%;font-weight:600}tbody th,tbody td{border:0;padding:0;text-align:left}
tbody td:not(:empty)::before{content:attr(data-label) " ";color:var(--dim)}tbody td:empty{display:none}}
@media print{@page{size:A4;margin:16mm}main{max-width:none;padding:0}body{font-size:9.5pt}table{font-size:7.5pt}th,td{padding-right:8pt}.bar{width:12%}
.tools,header button,.more{display:none}.toomany table{display:none}.toomany .paper{display:block}thead{display:table-header-group}tr,h3{break-inside:avoid}
h2,h3{break-after:avoid}.bar i,svg{print-color-adjust:exact;-webkit-print-color-adjust:exact}thead button{display:contents}}
`;

const script = `"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const zh = {
  "CnosDB migration report": "CnosDB 迁移报告", "All {n} tables are equal: {rows} rows.": "全部 {n} 张表一致，共 {rows} 行。",
  "{bad} of {n} tables are not proven equal: {list}.": "{n} 张表中有 {bad} 张未证明一致：{list}。",
  "{n} tables were carried over; {list}.": "已迁移 {n} 张表；{list}。", "No table was compared.": "没有比较任何表。",
  "A run was cut off: its file has no last line.": "有一次运行被中断：其文件缺少最后一行。",
  "The last run of {script} ended with exit code {exit}.": "{script} 最后一次运行的退出码为 {exit}。",
  "{n} tables: every row with every column has the same digest on both sides.": "{n} 张表：两侧每一行、每一列的摘要都相同。",
  "{n} tables: the same number of rows and the same first and last time in every window of time; values were not compared.":
    "{n} 张表：每个时间窗口的行数、最早和最晚时间都相同；未比较数值。",
  "Only rows {range} were compared.": "只比较了 {range} 的行。", "from {a}": "自 {a} 起", "before {b}": "{b} 之前",
  "Source": "源集群", "Target": "目标集群", "Dump": "元数据转换", "Operator": "操作人", "Host": "主机", "When": "时间", "Made by": "生成工具",
  "Files read": "读取的文件", "cluster {name}": "集群 {name}", "Name": "姓名", "Date": "日期", "Signature": "签名",
  "Carried over": "迁移内容", "Kind": "类型", "Kept": "原样保留", "Converted": "已转换", "Dropped": "未迁移", "What was dropped and why": "未迁移的内容及原因",
  "user": "用户", "tenant": "租户", "role": "角色", "member": "成员", "limiter": "限额", "database": "数据库", "table": "表", "bucket": "分桶",
  "internal": "集群内部记录", "unknown": "其他", "Databases": "数据库", "Database": "数据库", "Tables": "表", "Rows": "行数", "First (UTC)": "最早 (UTC)",
  "Last (UTC)": "最晚 (UTC)", "Differences": "差异", "Failures": "失败", "Table": "表", "Status": "状态", "Reason": "原因", "Column": "列",
  "Window (UTC)": "时间窗口 (UTC)", "Source rows": "源行数", "Target rows": "目标行数", "Columns": "列", "Seconds": "秒", "Search": "搜索", "all": "全部",
  "{n} of {all} tables": "{all} 张表中的 {n} 张", "{n} of {all} shown: show all": "已显示 {n} / {all}：全部显示", "Timeline": "时间线",
  "Equal": "一致", "equal": "一致", "differs": "不一致", "source-changed": "源已变化", "refused": "已拒绝", "failed": "失败", "exported": "已导出",
  "imported": "已导入，未校验", "definition": "仅定义", "missing": "没有结果", "No differences were found.": "未发现差异。",
  "The table has no result: copy_tables and compare_tables said nothing of it.": "没有结果：copy_tables 和 compare_tables 未提及此表。",
  "… and {n} more": "……另有 {n} 条", "Too many to print: {n} tables. Search first to print fewer.": "共 {n} 张表，过多而未打印；请先搜索以缩小列表。",
};
const state = { lang: /^zh/i.test(navigator.language) ? "zh" : "en", find: "", status: "" };
const t = (text, values = {}) => ((state.lang === "zh" && zh[text]) || text).replace(/{([a-z]+)}/g, (_, name) => values[name]);
const h = (tag, attributes, ...children) => {
  const e = /^(svg|rect|title)$/.test(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) e[name] = value;
    else if (value != null) e.setAttribute(name, value);
  }
  for (const child of children.flat(Infinity)) if (child != null && child !== false) e.append(child);
  return e;
};
const format = new Intl.NumberFormat("en");
const num = (n) => n == null ? "" : format.format(n);
const time = (text) => (text || "").replace("T", " ").replace(/(\\.\\d*?)0*Z?$|Z$/, (_, f = "") => f === "." ? "" : f);
const order = new Intl.Collator(undefined, { numeric: true }).compare;
const sum = (list, of) => list.reduce((total, one) => total + (of(one) || 0), 0);
const section = (id, title, ...parts) => h("section", { id }, h("h2", {}, t(title)), parts);
const { runs, tables, entries, files } = data.report;
const colour = { equal: "ok", definition: "dim", exported: "warn", imported: "warn" };
const statusCell = (status) => h("span", { class: colour[status] || "bad" }, t(status));
const copied = tables.filter(({ status }) => status !== "definition");
const rowsOf = ({ source, target }) => (target || source || {}).rows;

/** A table that its headings sort; rows are made in pieces, as ten thousand at once are slow. */
function grid(columns, all, label, most = 100) {
  let rows = all, by, down, shown = 0;
  const body = h("tbody");
  const more = h("button", { type: "button", class: "more", onclick: () => add(Infinity) });
  const add = (count) => {
    const part = rows.slice(shown, shown + count);
    shown += part.length;
    for (const row of part) body.append(h("tr", {}, columns.map(([name, value, kind, cell], i) =>
      h(i ? "td" : "th", { scope: i ? null : "row", class: kind, "data-label": t(name) },
        cell ? cell(row) : kind === "n" ? num(value(row)) : value(row)))));
    more.hidden = shown === rows.length;
    more.textContent = t("{n} of {all} shown: show all", { n: num(shown), all: num(rows.length) });
  };
  const show = (wanted = rows) => {
    const value = columns[by] && columns[by][1], sign = down ? -1 : 1;
    const compare = (a, b) => a == null ? 1 : b == null ? -1 : sign * (typeof a === "number" ? a - b : order(a, b));
    rows = value ? wanted.slice().sort((a, b) => compare(value(a), value(b))) : wanted;
    heads.forEach((head, i) => i === by ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort"));
    body.replaceChildren();
    shown = 0;
    add(most);
  };
  const heads = columns.map(([name, , kind], i) => h("th", { scope: "col", class: kind }, h("button", { type: "button", onclick: () => {
    down = by === i ? !down : kind === "n";
    by = i;
    show();
  } }, t(name))));
  show();
  addEventListener("beforeprint", () => rows.length <= 2000 && add(Infinity));
  return { parts: [h("table", { "aria-label": label && t(label) }, h("thead", {}, h("tr", {}, heads)), body), more], show };
}

function verdict() {
  const equal = copied.filter(({ status }) => status === "equal");
  const other = Map.groupBy(copied.filter(({ status }) => status !== "equal"), ({ status }) => status);
  const list = [...other].map(([status, of]) => num(of.length) + " " + t(status)).join(", ");
  const last = runs.filter(({ script }) => script !== "filter_meta").at(-1);
  const doubts = [
    ...(runs.some(({ ended }) => !ended) ? [t("A run was cut off: its file has no last line.")] : []),
    ...(last && last.exit ? [t("The last run of {script} ended with exit code {exit}.", last)] : []),
  ];
  const bad = [...other].some(([status]) => !colour[status]) || doubts.length;
  const kind = bad ? "bad" : copied.length && !other.size ? "ok" : "warn";
  const text = !copied.length ? t("No table was compared.")
    : other.size ? t("{bad} of {n} tables are not proven equal: {list}.", { bad: num(copied.length - equal.length), n: num(copied.length), list })
    : t("All {n} tables are equal: {rows} rows.", { n: num(copied.length), rows: num(sum(copied, rowsOf)) });
  const proven = (verify, words) => {
    const n = equal.filter((table) => table.verify === verify).length;
    return n ? h("p", {}, t(words, { n: num(n) })) : null;
  };
  const bounds = runs.filter(({ since, until }) => since || until).map(({ since, until }) =>
    [since && t("from {a}", { a: time(since) + " UTC" }), until && t("before {b}", { b: time(until) + " UTC" })].filter(Boolean).join(", "));
  return [h("p", { class: "verdict " + kind }, { ok: "✓ ", bad: "✗ ", warn: "! " }[kind] + text), doubts.map((doubt) => h("p", { class: "bad" }, doubt)),
    proven("full", "{n} tables: every row with every column has the same digest on both sides."),
    proven("count", "{n} tables: the same number of rows and the same first and last time in every window of time; values were not compared."),
    [...new Set(bounds)].map((range) => h("p", { class: "warn" }, t("Only rows {range} were compared.", { range })))];
}

function facts() {
  const all = (of) => [...new Set(runs.map(of).filter(Boolean))];
  const side = (one) => one && [one.version && "CnosDB " + one.version, one.url, one.cluster && t("cluster {name}", { name: one.cluster })]
    .filter(Boolean).join(", ");
  const times = runs.flatMap(({ started, ended }) => [started, ended]).filter(Boolean).sort();
  const list = [["Source", all((r) => side(r.from))], ["Target", all((r) => side(r.to))],
    ["Dump", all((r) => r.target && (r.source ? r.source + " → " : "→ ") + r.target)], ["Operator", [data.made.operator].filter(Boolean)],
    ["Host", all((r) => r.host)], ["When", times.length ? [time(times[0]) + " – " + time(times.at(-1)) + " UTC"] : []],
    ["Made by", [data.made.tool + ", " + time(data.made.at) + " UTC"]],
    ["Files read", files.map((f) => h("div", {}, f.name, " ", h("span", { class: "hash dim" }, "sha256 " + f.sha256)))]];
  return h("dl", { class: "facts" }, list.filter(([, values]) => values.length).map(([name, values]) =>
    [h("dt", {}, t(name)), h("dd", {}, values.map((v) => typeof v === "string" ? h("div", {}, v) : v))]));
}

function carried() {
  const kinds = Object.keys(entries);
  if (!kinds.length) return null;
  const rows = kinds.map((kind) => ({ kind, ...entries[kind] }));
  const count = (name, action) => [name, (row) => row[action] || null, "n"];
  return section("carried", "Carried over",
    grid([["Kind", (row) => t(row.kind)], count("Kept", "kept"), count("Converted", "converted"), count("Dropped", "dropped")], rows, "Carried over").parts,
    data.report.dropped.length ? h("h3", {}, t("What was dropped and why")) : null,
    data.report.dropped.map(({ rule, entries, keys }) => h("details", {}, h("summary", {}, rule, " ", h("span", { class: "dim" }, num(entries))),
      keys.map((key) => h("div", {}, h("code", {}, key))),
      entries > keys.length ? h("p", {}, t("… and {n} more", { n: num(entries - keys.length) })) : null)));
}

const databaseOf = ({ databaseName }) => databaseName;
function databases() {
  const by = Map.groupBy(copied, databaseOf), ttls = new Map(data.report.databases.map(({ name, ttl }) => [name, ttl]));
  const rows = [...new Set([...ttls.keys(), ...by.keys()])].sort(order).map((name) => {
    const list = by.get(name) || [], ends = list.map(({ source, target }) => target || source || {});
    return { name, ttl: ttls.get(name), tables: list.length, rows: sum(list, rowsOf), equal: list.filter(({ status }) => status === "equal").length,
      first: ends.map((end) => end.first).filter(Boolean).sort()[0], last: ends.map((end) => end.last).filter(Boolean).sort().at(-1) };
  });
  if (!rows.length) return null;
  const most = rows.reduce((most, row) => Math.max(most, row.rows), 1);
  const bar = (row) => {
    const i = h("i");
    i.style.width = row.rows / most * 100 + "%";
    return i;
  };
  return section("databases", "Databases", grid([["Database", (d) => d.name], ...(data.report.databases.some(({ ttl }) => ttl) ? [["TTL", (d) => d.ttl || ""]] : []),
    ["Tables", (d) => d.tables, "n"], ["Equal", (d) => d.equal, "n"], ["Rows", (d) => d.rows, "n"], ["", (d) => d.rows, "bar", bar],
    ["First (UTC)", (d) => d.first, "t", (d) => time(d.first)], ["Last (UTC)", (d) => d.last, "t", (d) => time(d.last)]], rows, "Databases").parts);
}

function differences() {
  const list = tables.filter(({ windows, status }) => status !== "equal" && windows && windows.length);
  const rows = (one) => one ? num(one.rows) + (one.rows ? " · " + time(one.first) + " – " + time(one.last) : "") : "";
  return section("differences", "Differences", list.length ? list.slice(0, 1000).map((table) => [h("h3", {}, table.name, " ", statusCell(table.status)),
    grid([["Window (UTC)", (w) => [time(w.from), time(w.to)].join(" – ")], ["Source rows", (w) => rows(w.source)], ["Target rows", (w) => rows(w.target)],
      ["Columns", (w) => (w.columns || []).join(", ")]], table.windows, table.name, 20).parts])
    : h("p", {}, t("No differences were found.")));
}

function failures() {
  const missing = t("The table has no result: copy_tables and compare_tables said nothing of it.");
  const list = copied.filter(({ error, status, windows }) => status !== "equal" && (error || !(colour[status] || windows && windows.length)));
  if (!list.length) return null;
  const reason = ({ error, hint, status }) => [error || (status === "missing" ? missing : ""), hint].filter(Boolean).join(" — ");
  return section("failures", "Failures", grid([["Table", (r) => r.name], ["Status", (r) => t(r.status), "t", (r) => statusCell(r.status)], ["Reason", reason]], list, "Failures").parts);
}

function timeline() {
  const work = tables.filter(({ started, seconds }) => started && seconds != null).map((table) => ({ table, from: Date.parse(table.started) / 1000 }));
  if (work.length < 2) return null;
  const start = work.reduce((first, { from }) => Math.min(first, from), Infinity);
  const end = work.reduce((last, { table, from }) => Math.max(last, from + table.seconds), start + 1);
  const lanes = [...Map.groupBy(work, ({ table }) => databaseOf(table))].slice(0, 60);
  const at = (seconds) => (seconds - start) / (end - start) * 2000;
  return section("timeline", "Timeline", h("svg", { viewBox: "0 0 2000 " + lanes.length * 22, role: "img", "aria-label": t("Timeline") },
    lanes.map(([, list], lane) => list.slice(0, 2000).map(({ table, from }) => h("rect", { x: at(from), y: lane * 22 + 3, height: 16,
      width: Math.max(2, at(from + table.seconds) - at(from)) }, h("title", {}, table.name + ", " + table.seconds + " s"))))),
    h("p", { class: "axis" }, h("span", {}, time(new Date(start * 1000).toISOString()) + " UTC"), h("span", {}, time(new Date(end * 1000).toISOString()) + " UTC")),
    h("p", { class: "dim" }, lanes.map(([name]) => name).join(" · ")));
}

function tableList() {
  if (!tables.length) return null;
  const found = tables.map((table) => ({ ...table, find: (table.name + " " + table.status + " " + (table.error || "")).toLowerCase() }));
  const list = grid([["Table", (r) => r.name], ["Status", (r) => t(r.status), "t", (r) => statusCell(r.status)], ["Source rows", (r) => r.source && r.source.rows, "n"],
    ["Target rows", (r) => r.target && r.target.rows, "n"], ["First (UTC)", (r) => (r.target || r.source || {}).first, "t", (r) => time((r.target || r.source || {}).first)],
    ["Last (UTC)", (r) => (r.target || r.source || {}).last, "t", (r) => time((r.target || r.source || {}).last)], ["Seconds", (r) => r.seconds, "n"]], found, "Tables");
  const count = h("span", { role: "status", class: "dim" });
  const toomany = h("p", { class: "paper" });
  const filter = () => {
    const words = state.find.toLowerCase().split(" ").filter(Boolean);
    const rows = found.filter((r) => (!state.status || r.status === state.status) && words.every((word) => r.find.includes(word)));
    list.show(rows);
    count.textContent = t("{n} of {all} tables", { n: num(rows.length), all: num(tables.length) });
    box.classList.toggle("toomany", rows.length > 2000);
    toomany.textContent = t("Too many to print: {n} tables. Search first to print fewer.", { n: num(rows.length) });
  };
  const input = h("input", { type: "search", "aria-label": t("Search"), placeholder: t("Search"), value: state.find, oninput: () => { state.find = input.value; filter(); } });
  const select = h("select", { "aria-label": t("Status"), onchange: () => { state.status = select.value; filter(); } }, h("option", { value: "" }, t("all")),
    [...Map.groupBy(tables, ({ status }) => status)].map(([status, of]) => h("option", { value: status }, t(status) + " " + num(of.length))));
  select.value = state.status;
  const box = section("tables", "Tables", h("div", { class: "tools" }, input, select, count), list.parts, toomany);
  filter();
  return box;
}

function render() {
  const [lang, other] = state.lang === "zh" ? ["zh-CN", "English"] : ["en", "中文"];
  document.documentElement.lang = lang;
  document.title = t("CnosDB migration report");
  const toggle = () => {
    state.lang = state.lang === "zh" ? "en" : "zh";
    render();
    document.querySelector("header button").focus();
  };
  document.getElementById("page").replaceChildren(
    h("header", {}, h("h1", {}, document.title), h("button", { type: "button", onclick: toggle }, other)), ...verdict().flat(2).filter(Boolean), facts(),
    h("div", { class: "sign" }, [0, 1].map(() => ["Name", "Date", "Signature"].map((word) => h("span", {}, t(word))))),
    ...[carried, databases, differences, failures, tableList, timeline].map((part) => part()).filter(Boolean));
}
render();
`;

/**
 * The whole page.
 * @returns HTML that runs its own script alone, whatever a name may hold: the policy names style and script by their hashes, and
 * no `<` is left in the data, so that no name can end the element that holds it
 */
export async function page(report: Report, made: Made): Promise<string> {
  const hash = async (text: string) => {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
    return `'sha256-${digest.toBase64()}'`;
  };
  const policy = `default-src 'none'; base-uri 'none'; form-action 'none'; style-src ${await hash(style)}; ` +
    `script-src ${await hash(script)}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>CnosDB migration report</title><style>${style}</style></head>
<body><main id="page"><noscript>This page needs JavaScript; it loads nothing.</noscript></main>
<script type="application/json" id="data">${
    JSON.stringify({ report, made }).replaceAll("<", "\\u003c")
  }</script>
<script>${script}</script></body></html>
`;
}
