/** Compares both sides: many tables in one statement, then window by window those that are large or differ. */
import type { Failure } from "../cli/errors.ts";
import type { TableName } from "../cnosdb/names.ts";
import { assertDirectory } from "../stage/stage.ts";
import type { Profiler } from "./profile.ts";
import type { TableResult, Verify } from "./result.ts";
import { type Column, tickNanosOf } from "./statements.ts";
import { eachAlone, Refused } from "./trouble.ts";
import { addUp, binSeconds, type ComparedWindow, differs, noRows, overlap, pairBins } from "./windows.ts";
import { sameSummary, type Sides, type Window, windowOf } from "./windows.ts";

/** What is compared, and how. */
export interface Comparison {
  /** undefined on the side that only the other half reaches */
  readonly source?: Profiler | undefined;
  readonly target?: Profiler | undefined;
  readonly verify: Verify;
  /** about how many rows a window holds at most; fewer if they have many columns */
  readonly rowsPerWindow: number;
  /** whether rows of the target before the source's first and after its last are left alone */
  readonly intoExisting: boolean;
  /** the time of a table that is compared and copied */
  readonly bounds: (name: TableName) => Promise<Window>;
}

/** What both sides hold of a table. */
export interface TableProfile extends Sides {
  readonly name: TableName;
  readonly columns: readonly Column[];
  /** the time that is compared and copied */
  readonly window: Window;
}

/** The most that a window may take in the stage, by a rough estimate: Parquet comes uncompressed. */
const bytesPerWindow = 1_000_000_000;
const bytesPerValue = 12;

/** The width of the bins into which a window is cut; undefined if it stays whole. */
function cutSeconds({ rowsPerWindow }: Comparison, columns: readonly Column[], sides: Sides) {
  const fitting = Math.floor(bytesPerWindow / (bytesPerValue * columns.length));
  return binSeconds(sides, Math.max(1, Math.min(rowsPerWindow, fitting)));
}

/**
 * Profiles tables of one database on both sides: rows and times of all of them in one statement a side, and
 * under `full` digests of those that stay one window.
 * @returns the profile of each, or why it cannot be compared
 */
export function profileTables(
  comparison: Comparison,
  names: readonly TableName[],
): Promise<(TableProfile | Failure)[]> {
  return eachAlone(names, async (some) => {
    const tables = await Promise.all(some.map(async (name) => ({
      name,
      window: await comparison.bounds(name),
      columns: await commonColumns(comparison, name),
    })));
    const profiles = await countRows(comparison, tables);
    return comparison.verify === "full" ? await withDigests(comparison, profiles) : profiles;
  });
}

async function commonColumns({ source, target }: Comparison, name: TableName): Promise<readonly Column[]> {
  const [inSource, inTarget] = await Promise.all([source?.columns(name), target?.columns(name)]);
  if (inSource && inTarget) assertSameColumns(inSource, inTarget);
  return inSource ?? inTarget ?? [];
}

/** @throws {Refused} if columns differ: COPY would drop them, or fill them with null, in silence */
export function assertSameColumns(source: readonly Column[], target: readonly Column[]): void {
  const kinds = (columns: readonly Column[]) =>
    new Map(columns.map(({ name, kind, type }) => [name, `${kind} ${type}`]));
  const [inSource, inTarget] = [kinds(source), kinds(target)];
  const differences = [...new Set([...inSource.keys(), ...inTarget.keys()])]
    .filter((name) => inSource.get(name) !== inTarget.get(name))
    .map((name) => {
      const column = `column ${JSON.stringify(name)}`;
      if (!inTarget.has(name)) return `${column} is on the source only`;
      if (!inSource.has(name)) return `${column} is on the target only`;
      return `${column} is ${inSource.get(name)} on the source, ${inTarget.get(name)} on the target`;
    });
  if (!differences.length) return;
  throw new Refused(
    `its columns differ: ${differences.join("; ")}`,
    "restore its schema first, or add the columns by hand.",
  );
}

async function countRows(
  { source, target, intoExisting }: Comparison,
  tables: readonly Omit<TableProfile, keyof Sides>[],
): Promise<TableProfile[]> {
  const counted = source?.summaries(tables.map(({ name, window }) => ({ name, window })));
  // Beside other rows of the target only the time of the source's rows can be compared.
  const held = intoExisting && target ? await counted : undefined;
  const windows = tables.map(({ window, columns }, i) =>
    held ? overlap(window, windowOf(held[i]!, tickNanosOf(columns))) : window
  );
  const [inSource, inTarget] = await Promise.all([
    counted,
    // An import half compares with its lines, see `compareWithExport`.
    source && target?.summaries(tables.map(({ name }, i) => ({ name, window: windows[i]! }))),
  ]);
  return tables.map((table, i) => ({
    ...table,
    window: windows[i]!,
    source: inSource?.[i] ?? noRows,
    target: held?.[i]?.rows === 0 ? noRows : inTarget?.[i] ?? noRows,
  }));
}

/** Adds the source's digests of the tables that stay one window, and if the rest is equal the target's. */
async function withDigests(
  comparison: Comparison,
  profiles: readonly TableProfile[],
): Promise<TableProfile[]> {
  const whole = profiles.filter((table) =>
    table.source.rows > 0 && cutSeconds(comparison, table.columns, table) === undefined
  );
  const digest = async (side: Profiler | undefined, tables: TableProfile[]) => {
    const summaries = await side?.summaries(tables) ?? [];
    return new Map(summaries.map((summary, i) => [tables[i], summary]));
  };
  const [inSource, inTarget] = await Promise.all([
    digest(comparison.source, whole),
    digest(comparison.target, whole.filter((table) => !differs(table))),
  ]);
  return profiles.map((table) => ({
    ...table,
    source: inSource.get(table) ?? table.source,
    target: inTarget.get(table) ?? table.target,
  }));
}

/**
 * Compares a table window by window. A small table is one window; a window that differs is cut into smaller
 * ones if that saves copying.
 * @param window what is compared of the table, by default all of it
 * @returns windows that together cover it
 */
export async function compareWindows(
  comparison: Comparison,
  table: TableProfile,
  window: ComparedWindow = { ...table.window, source: table.source, target: table.target },
): Promise<ComparedWindow[]> {
  const seconds = cutSeconds(comparison, table.columns, window);
  if (seconds === undefined) return [window];
  const { source, target, verify } = comparison;
  const request = { name: table.name, window, columns: verify === "full" ? table.columns : undefined };
  const isEarly = addUp([window.source, window.target]).first! < "1970";
  const [inSource, inTarget] = await Promise.all(
    [source, target].map((side) => side?.bins(request, seconds, isEarly)),
  );
  const windows = pairBins(inSource, inTarget, window);
  if (windows.length === 1) return windows;
  const smaller: ComparedWindow[] = [];
  for (const one of windows) {
    smaller.push(...differs(one) ? await compareWindows(comparison, table, one) : [one]);
  }
  return smaller;
}

/**
 * Compares the target with an export half's line of a table.
 * @param line undefined if it has none
 * @throws {Refused} if it cannot be compared, or names a directory that is none of a stage
 */
export async function compareWithExport(
  { target, verify, intoExisting }: Comparison,
  { name, columns }: TableProfile,
  line: TableResult | undefined,
): Promise<ComparedWindow[]> {
  if (!line?.windows) throw new Refused("it was not exported: its line has no windows");
  assertSameColumns(line.schema ?? columns, columns);
  const filled = line.windows.map(({ source = noRows }) => source).filter(({ rows }) => rows > 0);
  if (verify === "full" && !filled.every(({ digest }) => digest)) {
    throw new Refused("it was exported without --verify full, so there is no digest to compare with");
  }
  // Beside other rows of the target only the time of the exported rows can be compared.
  const time = intoExisting ? windowOf(addUp(filled), tickNanosOf(columns)) : {};
  const windows = line.windows.map(({ source = noRows, ...window }) => {
    if (source.rows > 0) assertDirectory(window.directory ?? "", Refused);
    const { digest: _, ...counted } = source;
    return { ...window, ...overlap(window, time), source: verify === "full" ? source : counted };
  });
  const digested = verify === "full" ? columns : undefined;
  const held = await target!.summaries(windows.map((window) => ({ name, window, columns: digested })));
  return windows.map((window, i) => ({
    ...window,
    target: intoExisting && window.source.rows === 0 ? noRows : held[i]!,
  }));
}

/** The columns that differ in a window with as many rows on both sides: each is digested with time and tags. */
export async function differingColumns(
  { source, target }: Comparison,
  { name, columns }: TableProfile,
  window: ComparedWindow,
): Promise<string[]> {
  if (!source || !target || window.source.rows !== window.target.rows) return [];
  const fields = columns.filter(({ kind }) => kind === "FIELD");
  const key = columns.filter(({ kind }) => kind !== "FIELD");
  const requests = fields.map((field) => ({ name, window, columns: [...key, field] }));
  const [inSource, inTarget] = await Promise.all([source.summaries(requests), target.summaries(requests)]);
  return fields.filter((_, i) => !sameSummary(inSource[i]!, inTarget[i]!)).map(({ name }) => name);
}
