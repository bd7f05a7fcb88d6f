/** What a rule of the filter is, and what an operator asks the filter for. */
import type { Json } from "../dump/json.ts";
import type { Key } from "../dump/key.ts";
import type { Context } from "../versions/step.ts";
import type { Format } from "../versions/versions.ts";
import type { Item } from "./item.ts";
import type { Selection } from "./selection.ts";

/** A rule drops an entry, or changes its value. */
export interface Rule {
  /** as reports say */
  readonly name: string;
  /** as `--print-rules` prints it: YAML that `--rules` takes, or a comment */
  readonly text: string;
  /** one of `--rules`: how often it matched; it is named even if it changes nothing */
  readonly own?: { readonly pattern: string; matches: number };
  /** the kind of entry that it is about, if it is about one */
  readonly kind?: Key["kind"];
  applies(item: Item): boolean;
  /** the value that the entry gets, undefined for a rule that drops it; `personal` says that it depends on the entry's id */
  readonly change?: (item: Item, value: Json, personal: () => void) => Json;
}

/** What an operator asks for. */
export interface FilterOptions {
  target: Format;
  /** the release that the dump is of, if it does not show */
  source?: string;
  /** the target cluster's name, in the keys that come out */
  cluster?: string;
  selection: Selection;
  /** the rules of `--rules` */
  own: readonly Rule[];
  /** the most replicas a database may have */
  replica?: number;
  root: "auto" | "keep" | "drop";
  keepSystem: boolean;
  pruneUsers: boolean;
  dropInvalid: boolean;
  /** whether outcomes say which fields changed */
  details: boolean;
  /** bcrypt, loaded only if the dump has a plain-text password */
  loadHash: () => Promise<Context["hash"]>;
}
