/** The SHA-256 of a dump's bytes. */
import { Buffer } from "node:buffer";
import type { Hash } from "node:crypto";

const smallBytes = 1 << 20;

/**
 * SHA-256 of bytes that come in pieces. A small dump's is made by WebCrypto, which takes them as one: loading
 * node:crypto alone takes 20 ms.
 */
export class Sha256 {
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #hash: Hash | undefined;

  /** @param piece must stay as it is */
  async update(piece: Uint8Array): Promise<void> {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    if (this.#bytes <= smallBytes) return;
    this.#hash ??= (await import("node:crypto")).createHash("sha256");
    for (const piece of this.#pieces.splice(0)) this.#hash.update(piece);
  }

  /** The digest in hexadecimal; nothing can follow it. */
  async digest(): Promise<string> {
    if (this.#hash) return this.#hash.digest("hex");
    return new Uint8Array(await crypto.subtle.digest("SHA-256", Buffer.concat(this.#pieces))).toHex();
  }
}
