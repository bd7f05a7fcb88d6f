/** What is known about the cluster that a dump is to be restored into. */
import { type Block, entriesOf, type Entry, toText } from "../dump/dump.ts";
import { Failure, messageOf } from "../cli/errors.ts";
import { canonical } from "../dump/json.ts";
import { candidates, type Key } from "../dump/key.ts";
import type { Endpoint } from "../cnosdb/http.ts";
import type { MetaClient } from "../cnosdb/meta.ts";
import { type Identity, passwordHash } from "../cnosdb/meta_group.ts";
import type { Problems } from "../cli/problems.ts";
import { type Format, formats, formatsOf, identify } from "../versions/versions.ts";

/** The store of a cluster as it is now. */
export interface Snapshot {
  /** the node that gave it */
  node: Endpoint;
  blocks: Block[];
  entries: Map<string, Entry>;
}

/** What is known about a target. */
export interface Target extends Snapshot {
  cluster: string;
  /** by their shapes, and by what /read or a data node says: mostly one */
  formats: Format[];
  dataNodes: number;
  identity: Identity;
}

/** Reads the store, as text. */
export function takeSnapshot(meta: MetaClient): Promise<Snapshot> {
  return meta.dump(async (dump) => {
    const blocks = await Array.fromAsync(dump.blocks);
    return {
      node: dump.node,
      blocks,
      entries: new Map([...allEntries(blocks)].map((entry) => [entry.key, entry])),
    };
  });
}

/** The entries of a dump, as text. */
export function* allEntries(blocks: Iterable<Block>): Generator<Entry> {
  for (const { bytes, line } of blocks) yield* entriesOf({ bytes: toText(bytes), line });
}

/** What an entry is about, or undefined where it is nothing that CnosDB 2.3 or 2.4 knows. */
export function objectOf({ key, value }: Entry): Key | undefined {
  try {
    return identify(key, value);
  } catch {
    return undefined;
  }
}

/**
 * Looks at a target: which cluster it is, how many data nodes it has, which version.
 * @param ping the form that a data node's version stands for, where one was asked
 * @param force whether entries that the target itself cannot read are no problem, as they may be about to be overwritten
 * @throws {Failure} where it does not answer /read or is no 2.4
 */
export async function lookAt(
  meta: MetaClient,
  { ping, force, problems }: { ping: Format | undefined; force: boolean; problems: Problems },
): Promise<Target> {
  const snapshot = await takeSnapshot(meta);
  const nodes = new Map<string, string[]>();
  for (const { key, value } of snapshot.entries.values()) {
    const [read] = candidates(key);
    if (read?.cluster === undefined) continue;
    const values = nodes.get(read.cluster) ?? [];
    if (key.startsWith(`/${read.cluster}/data_nodes/`)) values.push(value);
    nodes.set(read.cluster, values);
  }
  // What was once restored under a wrong name stays there, without nodes.
  const [cluster, dataNodes] = [...nodes].sort((a, b) => b[1].length - a[1].length)[0] ?? [];
  if (!cluster || !dataNodes) throw new Failure(`${meta.name}: its dump holds no cluster`);
  const spoken = await formatsByRead(meta, cluster);
  if (ping && !spoken.includes(ping)) {
    problems.add(
      `the data node at --sql says ${ping}, the meta service answers as ${spoken.join(", ")} does`,
      "are they of one cluster?",
    );
  }
  const { fits, unreadable } = narrow(ping ? [ping] : spoken, snapshot);
  if (fits.includes("2.3")) {
    throw new Failure(
      `${meta.name}: the target is 2.3, which has no /restore`,
      "was the old cluster's address given in place of the new one's?",
    );
  }
  for (const { key, form } of force ? [] : unreadable) {
    problems.add(
      `the target (${fits.join(" or ")}) holds ${key} in the form of ${form}, which it cannot read`,
      "the target would not survive its next restart: remove that by SQL, or write over it with --force.",
    );
  }
  const root = snapshot.entries.get(`/${cluster}/users/root`);
  const rootHashes = new Set([passwordHash(root?.value)]);
  return {
    ...snapshot,
    ...{ cluster, formats: fits, dataNodes: dataNodes.length },
    identity: { cluster, dataNodes: new Set(dataNodes.map(canonical)), rootHashes },
  };
}

/** The forms that a server may have, by how it answers /read: 2.3 wraps the answer, 2.4.3 spells a command in its own way. */
async function formatsByRead(meta: MetaClient, cluster: string): Promise<Format[]> {
  await meta.readTenant(cluster, "cnosdb").catch((error) => {
    throw new Failure(
      `the target does not answer /read: ${messageOf(error)}`,
      "what is restored could not be checked, so nothing was written.",
    );
  });
  if (meta.wraps) return ["2.3"];
  return meta.metaDataCommand === "TenantMetaData" ? ["2.4.3"] : ["2.4.0", "2.4.1", "2.4.2"];
}

/** The forms that fit the shapes of all entries, and the entries that fit none of those that others fit. */
function narrow(fits: Format[], { entries }: Snapshot): { fits: Format[]; unreadable: Unreadable[] } {
  const unreadable: Unreadable[] = [];
  for (const entry of entries.values()) {
    const object = objectOf(entry);
    const range = object && rangeOf(object, entry.value);
    if (!range) continue;
    const [first, last] = [formats.indexOf(range[0]), formats.indexOf(range[1])];
    const narrowed = fits.filter((format) =>
      formats.indexOf(format) >= first && formats.indexOf(format) <= last
    );
    if (narrowed.length) fits = narrowed;
    else unreadable.push({ key: entry.key, form: range[0] });
  }
  return { fits, unreadable };
}

interface Unreadable {
  key: string;
  form: Format;
}

function rangeOf(object: Key, value: string): readonly [Format, Format] | undefined {
  try {
    return formatsOf(object, value);
  } catch {
    return undefined;
  }
}
