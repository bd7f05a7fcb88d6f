/** All that speaks against doing something, so that an operator sees it at once and not one by one. */
import { someOf } from "../dump/compare.ts";
import { Failure } from "../cli/errors.ts";

export class Problems {
  readonly #found: string[] = [];
  readonly #hints = new Set<string>();

  /** @param hint what to do about it; said once, however often it is given */
  add(problem: string, hint: string): void {
    this.#found.push(problem);
    this.#hints.add(hint);
  }

  /** @throws {Failure} with everything that was added, if there is anything */
  throwIfAny(): void {
    const [first, ...more] = this.#found;
    if (first === undefined) return;
    throw new Failure(
      more.length
        ? `nothing was written, because:\n  ${someOf(this.#found, 20, "\n  ")}`
        : `${first}; nothing was written`,
      [...this.#hints].join("\n"),
    );
  }
}
