/**
 * What the peers written in JavaScript share: commands read from the input, one line of JSON for each, and the measuring.
 */
import { createInterface } from 'node:readline';

/** Runs `work` and measures it. @param {() => Promise<{ count: number, wall?: number }>} work `wall`: its own figure of the time */
export async function measured(work) {
  const cpuBefore = process.cpuUsage();
  const before = process.hrtime.bigint();
  const { count, wall } = await work();
  const elapsed = Number(process.hrtime.bigint() - before);
  const { user, system } = process.cpuUsage(cpuBefore);
  return { count, wall: wall ?? elapsed, cpu: (user + system) * 1e3 };
}

/** Answers every line of the input until it ends. @param {(line: string) => Promise<unknown>} answer */
export async function answerLines(answer) {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
  }
}
