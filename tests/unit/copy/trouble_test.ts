/** What a failure concerns, and how it is told. */
import { Failure, Interrupted } from "../../../lib/cli/errors.ts";
import { SqlError } from "../../../lib/cnosdb/sql.ts";
import {
  addReason,
  ClusterTrouble,
  concernsTable,
  gistOf,
  GivenUp,
  helpFor,
  type Reasons,
} from "../../../lib/copy/trouble.ts";
import { assertEquals, assertMatch } from "../../helpers/deps.ts";

const name = (table: string) => ({ tenant: "cnosdb", database: "db", table });

Deno.test("a failure of ours is a table's, unless it is of the cluster, of the run, or of rows that expired", () => {
  const expired = new SqlError("no", 422, "030034", "create expired bucket");
  const all = [
    new Failure("no"),
    new GivenUp("no"),
    new ClusterTrouble("no"),
    new Interrupted("no"),
    expired,
  ];
  assertEquals(all.map(concernsTable), [true, true, false, false, false]);
  assertEquals(concernsTable(new TypeError("a bug")), false);
});

Deno.test("a reason is told of the first table that has it, and counted for those that it is the same for", () => {
  const reasons: Reasons = new Map();
  const told = ["air", "sea"].map((table) =>
    addReason(
      reasons,
      name(table),
      `http://a:1, tenant cnosdb: COPY INTO "${table}" answered 422 010001: no room`,
    )
  );
  assertEquals(told, [true, false]);
  assertEquals(addReason(reasons, name("sky"), "cnosdb.db.sky is not on the target"), true);
  assertEquals([...reasons], [
    ["010001: no room", { first: "cnosdb.db.air", tables: 2 }],
    ["it is not on the target", { first: "cnosdb.db.sky", tables: 1 }],
  ]);
  assertEquals(gistOf(new Failure("http://b:2: SELECT 1 answered 422 010001: no room")), "010001: no room");
});

Deno.test("what does not pass by itself has a hint, and a failure's own goes first", () => {
  assertMatch(helpFor(new Failure("Resources exhausted"))!, /a restart of it helps/);
  assertEquals(helpFor(new Failure("Resources exhausted", "look there")), "look there");
  assertEquals(helpFor(new Failure("an election")), undefined);
});
