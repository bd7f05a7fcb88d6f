/** Runs the scripts as processes, as their users do. */
const root = new URL("../../", import.meta.url);

/** Runs a script as its users do, and gives all that it said. */
export async function runScript(
  script: string,
  args: string[],
  stdin = "",
  env: Record<string, string> = {},
): Promise<{ stdout: string; stderr: string; code: number }> {
  const child = new Deno.Command(Deno.execPath(), {
    cwd: root,
    args: ["run", "--quiet", "-A", new URL(`scripts/${script}.ts`, root).pathname, ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1", LC_ALL: "C", ...env },
  }).spawn();
  const writer = child.stdin.getWriter();
  // A script that refuses its arguments does not read its input.
  const fed = writer.write(new TextEncoder().encode(stdin)).then(() => writer.close()).catch(() => {});
  const { stdout, stderr, code } = await child.output();
  await fed;
  return { stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr), code };
}
