/** The SHA-256 of a dump's bytes. */
import { Buffer } from "node:buffer";
import type { Hash } from "node:crypto";

const smallBytes = 1 << 20;

/**
 * SHA-256 of bytes that come in pieces. A small dump's is made by WebCrypto, which takes them as one: loading
 * node:crypto alone takes 20 ms.
 */
export class Sha256 {
  #small = Buffer.alloc(0);
  #hash: Hash | undefined;

  /** @param bytes may be overwritten once this is done */
  async update(bytes: Uint8Array): Promise<void> {
    if (!this.#hash && this.#small.length + bytes.length <= smallBytes) {
      this.#small = Buffer.concat([this.#small, bytes]);
      return;
    }
    this.#hash ??= (await import("node:crypto")).createHash("sha256").update(this.#small);
    this.#hash.update(bytes);
  }

  /** The digest in hexadecimal; nothing can follow it. */
  async digest(): Promise<string> {
    if (this.#hash) return this.#hash.digest("hex");
    return new Uint8Array(await crypto.subtle.digest("SHA-256", this.#small)).toHex();
  }
}
