import { showProgress } from "../../../lib/cli/say.ts";
import { assertEquals } from "../../helpers/deps.ts";

Deno.test("progress fits a window that is resized, and a closed one ends no script", async () => {
  const { consoleSize, stderr } = Deno;
  const { isTerminal, writeSync } = stderr;
  const drawn: string[] = [];
  const sizes = [20, 10];
  Object.assign(stderr, {
    isTerminal: () => true,
    writeSync(bytes: Uint8Array) {
      drawn.push(new TextDecoder().decode(bytes));
      return bytes.length;
    },
  });
  Deno.consoleSize = () => {
    const columns = sizes.shift();
    if (columns === undefined) throw new Error("not connected to a terminal");
    return { columns, rows: 24 };
  };
  try {
    const end = showProgress(() => "x".repeat(100), () => {});
    while (drawn.filter((text) => text.startsWith("x")).length < 3) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    end();
  } finally {
    Object.assign(stderr, { isTerminal, writeSync });
    Deno.consoleSize = consoleSize;
  }
  const widths = drawn.filter((text) => text.startsWith("x")).map((text) => text.length);
  assertEquals(widths, [19, 9, 79]);
});
