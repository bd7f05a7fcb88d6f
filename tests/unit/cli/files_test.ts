import { readInput, saveFile, type Sink } from "../../../lib/cli/files.ts";
import { Failure, Interrupted } from "../../../lib/cli/errors.ts";
import { assertEquals, assertRejects } from "../../helpers/deps.ts";

const writing = (...texts: string[]) => async (sink: Sink) => {
  for (const text of texts) await sink(new TextEncoder().encode(text));
};

async function inDirectory(test: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await test(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const names = (directory: string) => [...Deno.readDirSync(directory)].map(({ name }) => name).sort();

Deno.test("saveFile() makes a file that only its owner can read", () =>
  inDirectory(async (directory) => {
    await Deno.writeTextFile(`${directory}/a`, "before", { mode: 0o644 });
    await saveFile(`${directory}/a`, writing("x", "y"));
    assertEquals(await Deno.readTextFile(`${directory}/a`), "xy");
    assertEquals((await Deno.stat(`${directory}/a`)).mode! & 0o777, 0o600);
    assertEquals(names(directory), ["a"]);
  }));

Deno.test("if writing a file fails, the old one stays", () =>
  inDirectory(async (directory) => {
    await Deno.writeTextFile(`${directory}/a`, "before");
    const failing = async (sink: Sink) => {
      await writing("half")(sink);
      throw new RangeError("half-way");
    };
    await assertRejects(() => saveFile(`${directory}/a`, failing), RangeError);
    assertEquals([names(directory), await Deno.readTextFile(`${directory}/a`)], [["a"], "before"]);
  }));

Deno.test("the partial file of a killed run is removed, that of a live one is not", () =>
  inDirectory(async (directory) => {
    for (const name of ["a.0123abcd.partial", "a.89abcdef.partial", "b.0123abcd.partial"]) {
      await Deno.writeTextFile(`${directory}/${name}`, "$2b$12$…");
    }
    await Deno.utime(`${directory}/a.0123abcd.partial`, 0, 0);
    await Deno.utime(`${directory}/b.0123abcd.partial`, 0, 0);
    await saveFile(`${directory}/a`, writing("x"));
    assertEquals(names(directory), ["a", "a.89abcdef.partial", "b.0123abcd.partial"]);
  }));

Deno.test("a partial file that cannot be removed does not stop the next run", () =>
  inDirectory(async (directory) => {
    await Deno.mkdir(`${directory}/a.0123abcd.partial/not-ours`, { recursive: true });
    await Deno.utime(`${directory}/a.0123abcd.partial`, 0, 0);
    await saveFile(`${directory}/a`, writing("x"));
    assertEquals(names(directory), ["a", "a.0123abcd.partial"]);
  }));

Deno.test("a link is followed and a device is written, not replaced", () =>
  inDirectory(async (directory) => {
    await Deno.writeTextFile(`${directory}/real`, "before");
    await Deno.symlink(`${directory}/real`, `${directory}/link`);
    await saveFile(`${directory}/link`, writing("x"));
    assertEquals([(await Deno.lstat(`${directory}/link`)).isSymlink, names(directory)], [true, [
      "link",
      "real",
    ]]);
    await saveFile("/dev/null", writing("x"));
    assertEquals((await Deno.stat("/dev/null")).isFile, false);
  }));

Deno.test("a full disk and a missing directory are failures, and leave nothing", async () => {
  await assertRejects(() => saveFile("/dev/full", writing("x")), Failure, "/dev/full: cannot be written");
  await assertRejects(() => saveFile("/no/such/directory/a", writing()), Failure, "cannot be written");
  await assertRejects(
    () => Array.fromAsync(readInput("/no/such/file", new AbortController().signal)),
    Failure,
    "/no/such/file: cannot be read",
  );
});

Deno.test("an interrupt ends the reading of a silent pipe", () =>
  inDirectory(async (directory) => {
    await new Deno.Command("mkfifo", { args: [`${directory}/pipe`] }).output();
    using _writer = await Deno.open(`${directory}/pipe`, { read: true, write: true });
    const controller = new AbortController();
    const reading = Array.fromAsync(readInput(`${directory}/pipe`, controller.signal));
    setTimeout(() => controller.abort(new Interrupted("interrupted")), 20);
    await assertRejects(() => reading, Interrupted);
    // lets the read that is under way end
    await _writer.write(new TextEncoder().encode("x"));
  }));
