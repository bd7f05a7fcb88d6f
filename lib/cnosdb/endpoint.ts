/** Addresses of servers as an operator gives them. */
import { UsageError } from "../cli/errors.ts";
import { echoed, keepSecret } from "../cli/presentable.ts";

/** A server's address with the credentials that were in its URL, which never appear in a message. */
export interface Endpoint {
  /** without credentials or trailing slash; this is what messages show */
  readonly url: string;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
}

/**
 * @param text a URL, or `host:port` or `host` for `http://host:port`
 * @param port for a host alone: 8901 for the meta service, 8902 for SQL
 * @throws {UsageError} if it is neither; nothing of it that may be a password is shown
 */
export function parseEndpoint(text: string, port: 8901 | 8902): Endpoint {
  const short = !/^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  const url = URL.parse(short ? `http://${text}` : text);
  // A number alone would be taken for an address (8901 for 0.0.34.197). A slash in a password ends the host:
  // an @ follows it.
  if (
    !url || !/^https?:$/.test(url.protocol) || !url.hostname || /\s|^\d+$/.test(text) ||
    /@/.test(url.pathname + url.search + url.hash)
  ) {
    throw new UsageError(
      `${echoed(text)} is no URL`,
      `expected host, host:${port} or http://host:${port}, with credentials http://USER:PASSWORD@host:${port}; ` +
        "in these / is written %2F, @ %40, # %23, ? %3F and % %25.",
    );
  }
  const hasPort = /:\d+(?:[/?#]|$)/.test(text);
  if (short && !hasPort) url.port = String(port);
  return {
    url: url.origin + url.pathname.replace(/\/+$/, ""),
    user: decode(url.username) || undefined,
    password: decode(url.password) || undefined,
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UsageError("a user or a password in a URL has a % that begins no code", "write it %25.");
  }
}

/**
 * The header that names us to a server: without credentials as root without a password, as CnosDB's own
 * client does. From now on no message shows the password, unless it is the user's name, which is shown.
 */
export function basicAuthorization({ user = "root", password = "" }: Endpoint): string {
  const credentials = new TextEncoder().encode(`${user}:${password}`).toBase64();
  if (password) keepSecret(credentials);
  if (password !== user) keepSecret(password);
  return `Basic ${credentials}`;
}
