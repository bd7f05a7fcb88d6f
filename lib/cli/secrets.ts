/** Passwords and keys: learned from the command line and the environment, and kept out of all that people read. */
import { harmless } from "./harmless.ts";

const known = new Set<string>();

/** A bcrypt hash, whole or cut, as servers quote it from `hash_password`. */
const bcryptHash = /\$2[abxy]?\$\d\d\$[./A-Za-z0-9]*/g;

/**
 * From now on `secret` appears in no message, plain or as a URL or a header writes it. One of fewer than four characters does: to blot it
 * out of every word that it is in would tell more than it hides.
 */
export function keepSecret(secret: string | undefined): void {
  if (secret === undefined || secret.length < 4) return;
  for (const form of [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)]) {
    known.add(form);
  }
}

/**
 * The same for whatever of a command line looks like `user:password@`, also where no URL or a file is expected: a misplaced URL
 * is then named in messages like any other wrong argument, but for its password.
 */
export function keepSecretsOf(given: readonly string[]): void {
  for (const text of given) {
    const [, password] = /^(?:--?[\w-]+=)?(?:[a-z][\w+.-]*:\/+|\/+)?[^:@%/]*(?::|%3a)(.+)@/is.exec(text) ??
      [];
    for (const line of [password, ...password?.split("\n") ?? []]) keepSecret(line);
  }
}

/** A text without the secrets that are known, and without hashes of passwords. */
export function withoutSecrets(text: string): string {
  let shown = text.replaceAll(bcryptHash, "$2…");
  for (const secret of known) shown = shown.replaceAll(secret, "…");
  return shown;
}

/**
 * What was given on the command line, for a message that says why it cannot be taken: shown only as far as it can hold no password, as
 * malformed URLs do: nothing of it where there is an @, else up to the first colon.
 */
export function echoed(given: string): string {
  if (/[@\s]/.test(given) || given.length > 60) return "a value (not shown, as it may hold a password)";
  return JSON.stringify(harmless(given.replace(/^((?:[a-z][a-z0-9+.-]*:\/\/)?[^:]*:).+$/i, "$1…")));
}
