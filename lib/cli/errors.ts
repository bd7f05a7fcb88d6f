/**
 * What can go wrong, as the exit code tells it: 0 done, 1 failed, 2 usage, 3 done but reading back found a
 * difference, 130 interrupted.
 */

/** A failure that the operator can act on. `message` says what was tried, where and what came back; `hint` what to do. */
export class Failure extends Error {
  override name = "Failure";
  readonly exitCode: number = 1;
  constructor(message: string, readonly hint?: string, options?: ErrorOptions) {
    super(message, options);
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

/** The reader of stdout went away (`| head`): the script ends quietly. */
export class ReaderGone extends Error {
  override name = "ReaderGone";
}

/** The first line of whatever was thrown, without a stack. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n", 1)[0] || (error instanceof Error ? error.name : "unknown error");
}

/** The same with its hint behind it in brackets, for where there is one line for both. */
export function messageWithHint(error: unknown): string {
  return messageOf(error) + (error instanceof Failure && error.hint ? ` (${error.hint})` : "");
}
