/**
 * A set of strings, each with the line where it was first met, that holds millions in little memory: 53 bits of hash and the
 * line. Two strings are taken for one once in some 10^15 pairs, so it is good for warnings, not for decisions.
 */
export class IdSet {
  #hashes = new Float64Array(1024);
  #lines = new Uint32Array(1024);
  #size = 0;

  /** @param text a byte a character */
  add(text: string, line: number): void {
    if (this.#size * 2 > this.#hashes.length) this.#grow();
    const hash = hash53(text);
    const slot = find(this.#hashes, hash);
    if (this.#hashes[slot] === hash) return;
    this.#hashes[slot] = hash;
    this.#lines[slot] = line;
    this.#size++;
  }

  has(text: string): boolean {
    const hash = hash53(text);
    return this.#hashes[find(this.#hashes, hash)] === hash;
  }

  /** The lines of those that `other` does not have, in their order. */
  linesMissingIn(other: IdSet): number[] {
    const lines: number[] = [];
    for (const [slot, hash] of this.#hashes.entries()) {
      if (hash !== 0 && other.#hashes[find(other.#hashes, hash)] !== hash) lines.push(this.#lines[slot] ?? 0);
    }
    return lines.sort((a, b) => a - b);
  }

  #grow(): void {
    const hashes = new Float64Array(this.#hashes.length * 2);
    const lines = new Uint32Array(hashes.length);
    for (const [slot, hash] of this.#hashes.entries()) {
      if (hash === 0) continue;
      const to = find(hashes, hash);
      hashes[to] = hash;
      lines[to] = this.#lines[slot] ?? 0;
    }
    this.#hashes = hashes;
    this.#lines = lines;
  }
}

/** Where a hash is, or the free slot where it belongs. */
function find(hashes: Float64Array, hash: number): number {
  const mask = hashes.length - 1;
  let slot = (hash | 0) & mask;
  while (hashes[slot] !== 0 && hashes[slot] !== hash) slot = (slot + 1) & mask;
  return slot;
}

/** Two FNV-1a hashes side by side; never 0, which marks a free slot. */
function hash53(text: string): number {
  let a = 0x811c9dc5, b = 0x9747b28c;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    a = Math.imul(a ^ c, 0x01000193);
    b = Math.imul(b ^ c, 0x85ebca6b) ^ (b >>> 13);
  }
  return (b >>> 11) * 4294967296 + (a >>> 0) || 1;
}
