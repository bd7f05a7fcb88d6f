import { UsageError } from "../../../lib/cli/errors.ts";
import { parseJson } from "../../../lib/dump/json.ts";
import { identify } from "../../../lib/versions/entry.ts";
import {
  assertReadable,
  describeRange,
  formatsOf,
  positionOf,
  rangeOfSource,
  sources,
  stepsBetween,
  targetFormat,
  targetFormats,
  targets,
} from "../../../lib/versions/versions.ts";
import { assertEquals, assertThrows } from "../../helpers/deps.ts";
import { filter } from "../filter/filtering.ts";

Deno.test("the lists of versions follow from the steps", () => {
  assertEquals(targetFormats, ["2.4.0", "2.4.1", "2.4.2", "2.4.3"]);
  assertEquals(targets.length, 10);
  assertEquals([sources[0], sources[1], sources.at(-1), sources.length], ["2.3", "2.3.0", "2.4.3.4", 25]);
  assertEquals(["2.4.0.1", "2.4.2.1", "2.4.3.4"].map(targetFormat), ["2.4.0", "2.4.2", "2.4.3"]);
  for (const version of ["2.3.5.4", "2.5.0", "", "2.4"]) {
    assertThrows(() => targetFormat(version), UsageError);
  }
});

Deno.test("steps are those after the source, up to the target", () => {
  const steps = (source: string, target: string) =>
    stepsBetween(rangeOfSource(source), target).map(({ releases: [version] }) => version);
  assertEquals(steps("2.3.1", "2.4.0"), ["2.3.2", "2.3.4", "2.4.0"]);
  assertEquals(steps("2.3", "2.4.0"), ["2.3.4", "2.4.0"]);
  assertEquals(steps("2.3.5.4", "2.4.1"), ["2.4.0", "2.4.1"]);
  assertEquals(steps("2.4.2.1", "2.4.3"), ["2.4.3"]);
  assertEquals(steps("2.4.3.4", "2.4.3"), []);
  assertEquals(positionOf("2.4.3"), positionOf("2.4.3.4"));
});

Deno.test("the real dumps of a version are recognized as of that version, or as of no earlier one", async () => {
  const expected: Record<string, string> = {
    "2.3.3-cluster": "2.3.x",
    "2.3.5.4-cluster": "2.3.x",
    "2.4.0-cluster": "2.4.0",
    "2.4.1-single": "2.4.1",
    "2.4.2.1-cluster": "2.4.2 to 2.4.3",
    "2.4.3.4-three-data-nodes": "2.4.2 to 2.4.3",
  };
  for (const [name, version] of Object.entries(expected)) {
    const dump = await Deno.readTextFile(new URL(`../../../fixtures/dumps/${name}.dump`, import.meta.url));
    const { notes } = await filter(dump, { target: "2.4.3" });
    assertEquals(notes[0]?.replace(/.* of (.*) \(.*/, "$1"), version, name);
  }
});

Deno.test("a value shows its form as far as it can", () => {
  const form = (key: string, value: string) => {
    const json = parseJson(value);
    return describeRange(formatsOf(identify(key, json), json));
  };
  const user = (options: string, admin: string) =>
    form("/c/users/u", `{"name":"u","options":{${options}},"${admin}":true}`);
  assertEquals(user('"password":null', "is_admin"), "2.3.x");
  assertEquals(user('"hash_password":null', "is_admin"), "2.4.0");
  assertEquals(user('"hash_password":null', "is_root_admin"), "2.4.1 to 2.4.3");
  const tenant = (options: string) => form("/c/tenants/t", `{"name":"t","options":{${options}}}`);
  assertEquals(tenant(""), "2.3.x");
  assertEquals(tenant('"tenant_is_hidden":false,"drop_after":null'), "2.4.0 to 2.4.3");
  assertEquals(tenant('"tenant_is_hidden":false,"drop_after":{"time_num":1,"unit":"Day"}'), "2.4.0 to 2.4.1");
  assertEquals(form("/c/tenants/t/members/5", '{"System":"Owner"}'), "2.3.x to 2.4.3");
});

Deno.test("what a version refuses is named with its field", () => {
  const key = identify("/c/users/u", { name: "u" });
  const read = (value: string, format: string) => assertReadable(key, parseJson(value), format);
  const user = '{"id":1,"name":"u","options":{"hash_password":5},"is_root_admin":false}';
  assertThrows(
    () => read(user, "2.4.2"),
    Error,
    "options.hash_password: expected a string, got something else",
  );
  assertThrows(() => read(user.replace("5", "null"), "2.4.0"), Error, "is_admin: missing");
  read(user.replace("5", "null"), "2.4.1");
});

Deno.test("--source is held against what the dump shows", async () => {
  const dump = '/c/tenants/b: {"id":1,"name":"b","options":{"tenant_is_hidden":false}}\n';
  const { error } = await filter(dump, { target: "2.4.2", source: "2.3" });
  assertEquals(error, "dump: --source 2.3, but line 1 has the form of 2.4.0 to 2.4.3");
  const later = dump.replace(
    '"tenant_is_hidden":false',
    '"tenant_is_hidden":false,"drop_after":{"duration":{}}',
  );
  assertEquals(
    (await filter(later, { target: "2.4.0", source: "2.4.3" })).error,
    "dump: line 1 has the form of 2.4.2 to 2.4.3, which is later than the target 2.4.0",
  );
});
