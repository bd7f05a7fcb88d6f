/** Texts as people may read them: without passwords and keys, and nothing that a terminal or SQL acts on. */

/** Known secrets, the longest first: one may be part of another, whose rest would then be shown. */
let known: string[] = [];

/** A bcrypt hash, whole or cut, as servers quote it from `hash_password`. */
const bcryptHash = /\$2[abxy]?\$\d\d\$[./A-Za-z0-9]*/g;

/**
 * From now on `secret` appears in no message, plain or as a URL or JSON writes it. One of fewer than four
 * characters does: to blot it out of every word that contains it would reveal more than it hides.
 */
export function keepSecret(secret: string | undefined): void {
  if (secret === undefined || secret.length < 4) return;
  const forms = [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
  known = [...new Set([...known, ...forms])].sort((a, b) => b.length - a.length);
}

/**
 * The same for all that looks like `user:password@` on a command line, also if no URL is expected there: a
 * misplaced one is then named in messages like any other wrong argument, but without its password.
 */
export function keepSecretsOf(given: readonly string[]): void {
  const userAndPassword = /^(?:--?[\w-]+=)?(?:[a-z][\w+.-]*:\/+|\/+)?[^:@%/]*(?::|%3a)(.+)@/is;
  for (const text of given) {
    const password = userAndPassword.exec(text)?.[1];
    for (const line of [password, ...password?.split("\n") ?? []]) keepSecret(line);
  }
}

/**
 * A text of one or more lines without known secrets and hashes of passwords, and harmless. A character that
 * was cut in half becomes `�`: PostgreSQL takes no JSON with it.
 */
export function presentable(text: string): string {
  let shown = text.toWellFormed().replaceAll(bcryptHash, "$2…");
  for (const secret of known) shown = shown.replaceAll(secret, "…");
  return shown.split("\n").map(harmless).join("\n");
}

/**
 * A text that does nothing to a terminal, a page or a line of SQL: control characters (C0, C1, line breaks)
 * and those that change the direction of writing become `\u001b`. In JSON the result means the same.
 */
export function harmless(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\ufeff]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * An argument that cannot be taken, for a message. A malformed URL may hold a password, so nothing is shown
 * of a text with an @, and others only up to the first colon.
 */
export function echoed(given: string): string {
  if (/[@\s]/.test(given) || given.length > 60) return "a value (not shown, as it may hold a password)";
  return JSON.stringify(harmless(given.replace(/^((?:[a-z][a-z0-9+.-]*:\/\/)?[^:]*:).+$/i, "$1…")));
}
