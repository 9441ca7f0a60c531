/** Makes an input that fails smaller, by leaving out ever smaller pieces for as long as it still fails. */

/** `fails` is asked at most `budget` times; then no candidate fails. */
export async function minimise(
  input: Uint8Array,
  fails: (candidate: Uint8Array) => boolean | Promise<boolean>,
  budget = 2000,
): Promise<Uint8Array> {
  let best = input;
  let asked = 0;
  const holds = async (candidate: Uint8Array): Promise<boolean> =>
    asked++ < budget && (await fails(candidate));
  for (let size = best.length; size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < best.length; ) {
      const candidate = Uint8Array.from([...best.subarray(0, at), ...best.subarray(at + size)]);
      if (await holds(candidate)) best = candidate;
      else at += size;
    }
  }
  // What cannot be left out becomes plain where it can.
  for (let at = 0; at < best.length; at++) {
    for (const plain of [0, 0x61]) {
      if (best[at] === plain) break;
      const candidate = new Uint8Array(best);
      candidate[at] = plain;
      if (await holds(candidate)) {
        best = candidate;
        break;
      }
    }
  }
  return best;
}
