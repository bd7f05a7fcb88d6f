/** Makes texts safe to show: without passwords and keys, and without anything that a terminal or SQL acts on. */

/** Longest first: if one is part of another, replacing it first would leave the rest of the other. */
let secrets: string[] = [];

/** A bcrypt hash, whole or cut, as servers quote it from `hash_password`. */
const bcryptHash = /\$2[abxy]?\$\d\d\$[./A-Za-z0-9]*/g;

/**
 * From now on `secret` appears in no message, as it is or as URLs and JSON write it. Does nothing with fewer
 * than four characters: replacing them in each word that contains them would reveal them.
 */
export function keepSecret(secret: string | undefined): void {
  if (secret === undefined || secret.length < 4) return;
  const forms = [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
  secrets = [...new Set([...secrets, ...forms])].sort((a, b) => b.length - a.length);
}

/**
 * Does the same for each password that looks like `user:password@` on a command line, also if no URL belongs
 * there: messages can then name a misplaced argument, without its password.
 */
export function keepSecretsOf(given: readonly string[]): void {
  const userAndPassword = /^(?:--?[\w-]+=)?(?:[a-z][\w+.-]*:\/+|\/+)?[^:@%/]*(?::|%3a)(.+)@/is;
  for (const text of given) {
    const password = userAndPassword.exec(text)?.[1];
    for (const line of [password, ...password?.split("\n") ?? []]) keepSecret(line);
  }
}

/**
 * A text without known secrets and hashes of passwords, each of its lines harmless. A character that was cut
 * in half becomes `�`: PostgreSQL refuses JSON with half of one.
 */
export function presentable(text: string): string {
  let shown = text.toWellFormed().replaceAll(bcryptHash, "$2…");
  for (const secret of secrets) shown = shown.replaceAll(secret, "…");
  return shown.split("\n").map(harmless).join("\n");
}

/**
 * A text on which no terminal, page or comment of SQL acts: control characters (C0, C1, line breaks) and
 * those that change the direction of writing are escaped, such as `\u001b`. JSON keeps its meaning.
 */
export function harmless(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\ufeff]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * A wrong argument, for a message. It may be a malformed URL with a password, so a text with an @ is not
 * shown at all, and others only up to the first colon.
 */
export function echoed(given: string): string {
  if (/[@\s]/.test(given) || given.length > 60) return "a value (not shown, as it may hold a password)";
  return JSON.stringify(harmless(given.replace(/^((?:[a-z][a-z0-9+.-]*:\/\/)?[^:]*:).+$/i, "$1…")));
}
