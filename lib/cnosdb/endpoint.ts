/** Addresses of servers, as the operator writes them. */
import { UsageError } from "../cli/errors.ts";
import { echoed, keepSecret } from "../cli/presentable.ts";

/** A server's address, and the credentials that were in its URL. */
export interface Endpoint {
  /** without credentials and trailing slash, so messages may show it */
  readonly url: string;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
}

/**
 * @param text a URL, or `host:port` or `host` for `http://host:port`
 * @param port for a host alone: 8901 for the meta service, 8902 for SQL
 * @throws {UsageError} if it is neither; the message shows nothing that may be a password
 */
export function parseEndpoint(text: string, port: 8901 | 8902): Endpoint {
  const short = !/^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  const url = URL.parse(short ? `http://${text}` : text);
  // URL.parse takes a number for an address: 8901 for 0.0.34.197.
  const hasHost = url && /^https?:$/.test(url.protocol) && url.hostname && !/\s|^\d+$/.test(text);
  // An @ behind the host shows that the host ended at a slash in a password.
  if (!hasHost || /@/.test(url.pathname + url.search + url.hash)) {
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
 * The Authorization header for a server; without credentials it is root's without a password, as CnosDB's own
 * client sends it. From now on no message shows the password, unless it is also the user's name.
 */
export function basicAuthorization({ user = "root", password = "" }: Endpoint): string {
  const credentials = new TextEncoder().encode(`${user}:${password}`).toBase64();
  if (password) keepSecret(credentials);
  if (password !== user) keepSecret(password);
  return `Basic ${credentials}`;
}
