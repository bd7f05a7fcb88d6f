/**
 * Runs `action` for each item, `jobs` at once. After a failure nothing further is begun, what is under way is awaited, and the
 * first failure is thrown.
 */
export async function atOnce<T>(
  jobs: number,
  items: Iterable<T>,
  action: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failure: { reason: unknown } | undefined;
  const worker = async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) {
      try {
        await action(next.value);
      } catch (reason) {
        failure ??= { reason };
      }
      if (failure) return;
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  if (failure) throw failure.reason;
}
