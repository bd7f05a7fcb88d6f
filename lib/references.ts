/**
 * Ids that are referred to, and which of them exist: millions in little memory, 53 bits of hash and a line each. Two ids are
 * taken for one once in some 10^15 pairs, so it is good for notes, not for decisions.
 */
export class References {
  #hashes = new Float64Array(1024);
  /** where each was first referred to; 0 once it is known to exist */
  #lines = new Uint32Array(1024);
  #size = 0;

  /** @param id a byte a character; @param line where it is referred to, from 1 */
  refer(id: string, line: number): void {
    this.#slot(id, line);
  }

  /** Says that an id exists, before or after it is referred to. */
  define(id: string): void {
    this.#lines[this.#slot(id, 0)] = 0;
  }

  /** The lines that refer to ids which do not exist, in their order. */
  missing(): number[] {
    return [...this.#lines.filter((line) => line > 0)].sort((a, b) => a - b);
  }

  /** Where an id is; where it is new, with `line`. */
  #slot(id: string, line: number): number {
    if (this.#size * 3 > this.#hashes.length * 2) this.#grow();
    const hash = hash53(id);
    const slot = find(this.#hashes, hash);
    if (this.#hashes[slot] === 0) {
      this.#hashes[slot] = hash;
      this.#lines[slot] = line;
      this.#size++;
    }
    return slot;
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
