import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { withDeadline } from '../../src/wire/connection/deadline.js';

const limits = { timeoutMs: 10_000, signal: undefined, deadline: 'call' } as const;

describe('withDeadline', () => {
  it('begins nothing when the signal has fired already', async () => {
    let began = false;
    const signal = AbortSignal.abort('why');
    const work = async (): Promise<void> => {
      began = true;
    };
    await expect(withDeadline({ ...limits, signal }, work)).rejects.toMatchObject({
      code: 'cancelled',
      cause: 'why',
    });
    expect(began).toBe(false);
  });

  it('settles at the deadline, tells the work, and hands on what comes too late', async () => {
    let finish!: (value: number) => void;
    let reason: unknown;
    let late: number | undefined;
    const work = (signal: AbortSignal): Promise<number> => {
      signal.addEventListener('abort', () => (reason = signal.reason));
      return new Promise((settle) => (finish = settle));
    };
    const error: unknown = await withDeadline(
      { ...limits, timeoutMs: 5, deadline: 'connect' },
      work,
      (value) => (late = value),
    ).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'deadline', deadline: 'connect', timeoutMs: 5 });
    expect(reason).toBe(error);
    finish(7);
    await expect.poll(() => late).toBe(7);
  });

  it('stops listening to the signal however it ends', async () => {
    const { signal } = new AbortController();
    const failure = new Error('no');
    expect(await withDeadline({ ...limits, signal }, async () => 1)).toBe(1);
    await expect(withDeadline({ ...limits, signal }, () => Promise.reject(failure))).rejects.toBe(failure);
    await expect(
      withDeadline({ ...limits, signal, timeoutMs: 1 }, () => new Promise(() => {})),
    ).rejects.toMatchObject({ code: 'deadline' });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});
