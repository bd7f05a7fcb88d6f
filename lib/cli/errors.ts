/**
 * Errors for the operator, a class for each exit code: 1 failed, 2 usage, 3 done but reading back found a
 * difference, 130 interrupted. Whatever else is thrown is a bug of ours, and is not mistaken for bad data.
 */
import { presentable } from "./presentable.ts";

/**
 * A failure that the operator can do something about. `message` says what was tried, where and what came
 * back; `hint` says what to do. Both are made presentable.
 */
export class Failure extends Error {
  override name = "Failure";
  readonly exitCode: number = 1;
  readonly hint: string | undefined;

  constructor(message: string, hint?: string, options?: ErrorOptions) {
    super(presentable(message), options);
    this.hint = hint === undefined ? undefined : presentable(hint);
  }
}

/** The command line cannot be carried out. */
export class UsageError extends Failure {
  override name = "UsageError";
  override readonly exitCode = 2;
}

/** All was done, but what reads back is not what was written. */
export class Difference extends Failure {
  override name = "Difference";
  override readonly exitCode = 3;
}

/** Stopped by SIGINT or SIGTERM. */
export class Interrupted extends Failure {
  override name = "Interrupted";
  override readonly exitCode = 130;
}

/** The first line of the message of whatever was thrown. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return presentable(text.split("\n", 1)[0] || (error instanceof Error ? error.name : "unknown error"));
}
