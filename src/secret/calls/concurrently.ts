/** Many calls at a time, but not all of them at once. Imports nothing. */

/**
 * Calls made at a time for one operation: enough to hide the round trip, few enough that thousands of
 * items do not fill the service's queue.
 */
const MAX_CONCURRENT_CALLS = 32;

/**
 * Runs `task` for every input, at most 32 at a time.
 * @param inputs - Each is taken when its task begins, and not before; after a failure none is.
 * @returns The results in the order of `inputs`.
 * @throws what the first task to fail threw, once the tasks that had begun have ended; no further one
 * is begun.
 */
export async function concurrently<Input, Output>(
  inputs: Iterable<Input>,
  task: (input: Input) => Promise<Output>,
): Promise<Output[]> {
  const outputs: Output[] = [];
  const pending = inputs[Symbol.iterator]();
  let count = 0;
  let hasFailed = false;
  let failure: unknown;
  const work = async (): Promise<void> => {
    for (let next = pending.next(); next.done !== true; next = pending.next()) {
      const index = count++;
      try {
        outputs[index] = await task(next.value);
      } catch (error) {
        if (!hasFailed) failure = error;
        hasFailed = true;
      }
      if (hasFailed) return;
    }
  };
  await Promise.all(Array.from({ length: MAX_CONCURRENT_CALLS }, work));
  if (hasFailed) throw failure;
  return outputs;
}
