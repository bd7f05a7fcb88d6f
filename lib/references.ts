/**
 * Ids that are referred to, and which of them exist: millions in little memory, 53 bits of hash each. Two ids are taken for one once
 * in some 10^15 pairs, so it is good for notes, not for decisions.
 */
export class References {
  readonly #referred = new Numbers();
  /** where each of `#referred` is */
  readonly #lines = new Numbers();
  readonly #defined = new Numbers();

  /** @param id a byte a character; @param line where it is referred to, from 1 */
  refer(id: string, line: number): void {
    this.#referred.push(hash53(id));
    this.#lines.push(line);
  }

  /** Says that an id exists, before or after it is referred to. */
  define(id: string): void {
    this.#defined.push(hash53(id));
  }

  /** The lines that refer to ids which do not exist, in the order in which they were given. */
  *missing(): Generator<number> {
    const defined = this.#defined.all().sort();
    for (let n = 0; n < this.#referred.length; n++) {
      if (!includes(defined, this.#referred.at(n))) yield this.#lines.at(n);
    }
  }
}

const chunkBits = 13;

/** A list of numbers that grows without being copied. */
class Numbers {
  readonly #chunks: Float64Array[] = [];
  length = 0;

  push(number: number): void {
    const at = this.length++;
    let chunk = this.#chunks[at >>> chunkBits];
    if (!chunk) this.#chunks.push(chunk = new Float64Array(1 << chunkBits));
    chunk[at & (1 << chunkBits) - 1] = number;
  }

  at(n: number): number {
    return this.#chunks[n >>> chunkBits]![n & (1 << chunkBits) - 1]!;
  }

  all(): Float64Array {
    const all = new Float64Array(this.#chunks.length << chunkBits);
    for (const [n, chunk] of this.#chunks.entries()) all.set(chunk, n << chunkBits);
    return all.subarray(0, this.length);
  }
}

function includes(sorted: Float64Array, number: number): boolean {
  let from = 0, to = sorted.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (sorted[middle]! < number) from = middle + 1;
    else to = middle;
  }
  return sorted[from] === number;
}

/** Two FNV-1a hashes side by side. */
function hash53(text: string): number {
  let a = 0x811c9dc5, b = 0x9747b28c;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    a = Math.imul(a ^ c, 0x01000193);
    b = Math.imul(b ^ c, 0x85ebca6b) ^ (b >>> 13);
  }
  return (b >>> 11) * 4294967296 + (a >>> 0);
}
