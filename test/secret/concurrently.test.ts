import fc from 'fast-check';
import { expect, test } from 'vitest';
import { concurrently } from '../../src/secret/calls/concurrently.js';

/** Lets everything that can go on go on. */
const settle = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

interface Running {
  readonly began: number[];
  readonly run: Promise<number[]>;
  readonly end: (input: number, failure?: Error) => Promise<void>;
}

/** Runs tasks that end when the test wants. */
function start(inputs: Iterable<number>): Running {
  const began: number[] = [];
  const ends = new Map<number, (failure?: Error) => void>();
  const run = concurrently(inputs, async (input) => {
    began.push(input);
    await new Promise<void>((resolve, reject) => {
      ends.set(input, (failure) => (failure === undefined ? resolve() : reject(failure)));
    });
    return input * 10;
  });
  run.catch(() => {});
  const end = async (input: number, failure?: Error): Promise<void> => {
    const ending = ends.get(input);
    if (ending === undefined) throw new Error(`task ${input} has not begun`);
    ending(failure);
    await settle();
  };
  return { began, run, end };
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

test('begins 32 at once and one more for each that ends', async () => {
  const { began, run, end } = start(upTo(35));
  expect(began).toEqual(upTo(32));
  await end(31);
  expect(began).toEqual(upTo(33));
  await end(32);
  await end(0);
  expect(began).toEqual(upTo(35));
  for (const input of upTo(35)) if (![0, 31, 32].includes(input)) await end(input);
  expect(await run).toEqual(upTo(35).map((input) => input * 10));
});

test('takes an input only when its task begins', async () => {
  let taken = 0;
  function* inputs(): Generator<number> {
    for (const input of upTo(40)) {
      taken++;
      yield input;
    }
  }
  const { run, end } = start(inputs());
  expect(taken).toBe(32);
  await end(5);
  expect(taken).toBe(33);
  for (const input of upTo(40)) if (input !== 5) await end(input);
  expect(await run).toHaveLength(40);
});

test('throws what failed first, when all that had begun have ended, and begins nothing more', async () => {
  const { began, run, end } = start(upTo(100));
  let hasEnded = false;
  const outcome = run.finally(() => {
    hasEnded = true;
  });
  outcome.catch(() => {});
  const [first, second] = [new Error('first'), new Error('second')];
  await end(7, first);
  await end(3, second);
  expect(began).toEqual(upTo(32));
  for (const input of upTo(32)) {
    if (input === 3 || input === 7) continue;
    expect(hasEnded).toBe(false);
    await end(input);
  }
  expect(began).toEqual(upTo(32));
  await expect(outcome).rejects.toBe(first);
});

test('throws a failure that is undefined', async () => {
  let caught: unknown = 'nothing';
  // oxlint-disable-next-line prefer-promise-reject-errors
  await concurrently([1], async () => await Promise.reject(undefined)).catch((error: unknown) => {
    caught = error;
  });
  expect(caught).toBeUndefined();
});

test('gives the results in the order of the inputs, whatever order the tasks end in', async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), fc.nat({ max: 50 }), async (scheduler, count) => {
      let now = 0;
      let most = 0;
      const run = concurrently(upTo(count), async (input) => {
        most = Math.max(most, ++now);
        await scheduler.schedule(Promise.resolve());
        now--;
        return input;
      });
      await scheduler.waitFor(run);
      expect(await run).toEqual(upTo(count));
      expect(most).toBe(Math.min(count, 32));
    }),
  );
});
