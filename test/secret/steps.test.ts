/**
 * Whatever happens at any step of any operation, it ends in time with the right answer or a typed error, and leaves nothing
 * behind. The steps are what the operation calls when nothing goes wrong.
 */
import { getEventListeners } from 'node:events';
import { beforeAll, describe, expect, test } from 'vitest';
import { DBusError, Variant } from '../../src/wire/index.js';
import { watchEachTest } from '../support/hostile-peer.js';
import { keyOf, type Override } from './support/mock-service.js';
import {
  ALL_PROMPTS,
  type Objects,
  operations,
  prepared,
  prompting,
  type Run,
  release,
  stepsOf,
} from './support/operations.js';
import type { Quirks } from './support/quirks.js';
import { failed, returned } from './support/scripted-bus.js';

watchEachTest();

interface Kind {
  readonly options: { readonly prompt: 'allow' | 'never' };
  readonly quirks: Partial<Quirks>;
}

const silent: Kind = { options: { prompt: 'never' }, quirks: {} };
const asking: Kind = { options: { prompt: 'allow' }, quirks: { prompts: ALL_PROMPTS } };
const cases: [string, Run, Kind][] = [
  ...Object.entries(operations).map(([name, run]): [string, Run, Kind] => [name, run, silent]),
  ...Object.entries(prompting).map(([name, run]): [string, Run, Kind] => [`${name}, asking`, run, asking]),
];

/** What nobody waits for. */
const UNATTENDED = new Set(['RemoveMatch', 'Close', 'Dismiss']);
/** What takes a collection back that was made, and got no alias. */
const TAKES_BACK = 'Delete';
/** What is done while the user is asked. */
const OF_PROMPTS = new Set(['AddMatch', 'Prompt']);

const typed = expect.objectContaining({ name: 'SecretServiceError', code: expect.any(String) });
const late = (deadline: string): unknown => expect.objectContaining({ name: 'DeadlineError', deadline });

/** Answers the call with this number by `answer`, and the others properly. */
function atStep({ service }: Objects, step: number, answer: Override): void {
  let count = 0;
  service.interceptor = (call, proper) => (count++ === step ? answer(call, proper) : proper());
}

/** What a service that goes leaves unanswered; the bus answers what it is asked itself. */
function goingWith(go: (error: string) => void, name: string, isDone = false): Override {
  return (call, proper) => {
    const isForService = call.destination !== 'org.freedesktop.DBus';
    if (isDone && isForService) proper();
    go(`org.freedesktop.DBus.Error.${name}`);
    return isForService ? undefined : proper();
  };
}

/** That the match rules are gone, which takes the answers to RemoveMatch. */
async function expectNoRules({ service }: Objects): Promise<void> {
  for (let round = 0; round < 50 && service.bus.matchRules.length > 0; round++) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(round, 4)));
  }
  expect(service.bus.matchRules).toEqual([]);
}

async function settledIn<Result>(
  limitMs: number,
  run: Promise<Result>,
): Promise<PromiseSettledResult<Result>> {
  const start = performance.now();
  const [outcome] = await Promise.allSettled([run]);
  expect(performance.now() - start).toBeLessThan(limitMs);
  return outcome;
}

describe.each(cases)('%s', (_name, run, { options, quirks }) => {
  let members: string[];
  let steps: [number, string][];

  beforeAll(async () => {
    members = await stepsOf(run, options, quirks);
    expect(members.length).toBeGreaterThan(0);
    steps = [...members.entries()].filter(([, member]) => !UNATTENDED.has(member));
  });

  /** With an operation of its own at each step; all at a time, since most of it is waiting. */
  async function atEach(
    work: (objects: Objects, step: number, member: string) => Promise<void>,
  ): Promise<void> {
    const outcomes = await Promise.allSettled(
      steps.map(async ([step, member]) => {
        const objects = await prepared(quirks);
        try {
          await work(objects, step, member);
        } finally {
          await release(objects);
        }
      }),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  test('ends at its deadline, hanging at any step', async () => {
    await atEach(async (objects, step, member) => {
      atStep(objects, step, () => undefined);
      const times = OF_PROMPTS.has(member)
        ? { timeoutMs: 5_000, promptTimeoutMs: 30 }
        : { timeoutMs: 30, promptTimeoutMs: 5_000 };
      const outcome = await settledIn(1_000, run(objects, { ...options, ...times }));
      // Completed is what counts, and not the answer to Prompt.
      const kind = OF_PROMPTS.has(member) ? 'prompt' : 'call';
      expect(outcome, member).toEqual({ status: 'rejected', reason: late(kind) });
      await expectNoRules(objects);
    });
  });

  test('ends at its signal, hanging at any step', async () => {
    await atEach(async (objects, step, member) => {
      const controller = new AbortController();
      const { signal } = controller;
      const reason = new Error('enough');
      atStep(objects, step, () => {
        setImmediate(() => controller.abort(reason));
        return undefined;
      });
      const outcome = await settledIn(1_000, run(objects, { ...options, signal }));
      expect(outcome, member).toMatchObject({
        status: 'rejected',
        reason: { name: 'CancelledError', cause: reason },
      });
      expect(getEventListeners(signal, 'abort')).toEqual([]);
      await expectNoRules(objects);
      // Nothing more is sent but what takes things back.
      const after = objects.service.members.slice(step + 1).filter((sent) => !UNATTENDED.has(sent));
      const concurrent = [...members.slice(step + 1), ...(member === 'SetAlias' ? [TAKES_BACK] : [])];
      expect(concurrent).toEqual(expect.arrayContaining(after));
    });
  });

  test('ends with a typed error when the service goes for good at any step', async () => {
    for (const name of ['NoReply', 'ServiceUnknown', 'Disconnected']) {
      await atEach(async (objects, step, member) => {
        const { service } = objects;
        service.override('StartServiceByName', failed('org.freedesktop.DBus.Error.ServiceUnknown'));
        atStep(
          objects,
          step,
          goingWith((error) => service.stop(error), name),
        );
        const outcome = await settledIn(1_000, run(objects, options));
        if (outcome.status === 'fulfilled') {
          // A probe finds that out.
          expect(outcome.value).toEqual({ state: 'activatable' });
        } else {
          expect(outcome.reason, member).toEqual(
            expect.objectContaining({ name: 'SecretServiceError', code: 'not-available' }),
          );
        }
        await expectNoRules(objects);
      });
    }
  });

  test('goes on, or ends with a typed error, when the service restarts at any step', async () => {
    for (const isDone of [false, true]) {
      await atEach(async (objects, step, member) => {
        const { service } = objects;
        const [itemCount, collectionCount] = [service.items.size, service.collections.size];
        // Whether it was carried out is what nobody knows.
        atStep(
          objects,
          step,
          goingWith((error) => service.restart(error), 'NoReply', isDone),
        );
        const outcome = await settledIn(1_000, run(objects, options));
        if (outcome.status === 'rejected') {
          expect(outcome.reason, member).toEqual(typed);
          expect(outcome.reason.code, member).toBe('not-available');
        }
        // Never made twice, never deleted twice.
        const made = service.members.filter((sent) => /^Create(?!d)/.test(sent)).length;
        const deleted = service.members.filter((sent) => sent === 'Delete').length;
        expect(made, member).toBeLessThanOrEqual(1);
        expect(deleted, member).toBeLessThanOrEqual(1);
        expect(service.items.size).toBeLessThanOrEqual(itemCount + 1);
        expect(service.collections.size).toBeLessThanOrEqual(collectionCount + 1);
        await expectNoRules(objects);
      });
    }
  });

  test('goes on when the service has restarted before any step', async () => {
    await atEach(async (objects, step, member) => {
      const { service } = objects;
      atStep(
        objects,
        step,
        goingWith((error) => service.restart(error), 'ServiceUnknown'),
      );
      const outcome = await settledIn(1_000, run(objects, options));
      if (outcome.status === 'rejected') {
        // The prompt went with the service.
        expect(OF_PROMPTS.has(member), `${member}: ${outcome.reason}`).toBe(true);
        expect(outcome.reason).toEqual(expect.objectContaining({ code: 'not-available' }));
      }
      await expectNoRules(objects);
    });
  });

  test('rejects a reply of the wrong type at any step', async () => {
    const wrong: [string, ...unknown[]][] = [
      ['t', 7n],
      ['v', new Variant('t', 0n)],
      ['a{sv}', new Map([['Locked', new Variant('s', 'no')]])],
      ['a{sv}', new Map()],
      ['oo', '/', '/'],
      ['aoo', ['/'], '/'],
    ];
    for (const [signature, ...body] of wrong) {
      await atEach(async (objects, step, member) => {
        atStep(objects, step, () => returned(signature, ...body));
        const outcome = await settledIn(
          1_000,
          run(objects, { ...options, promptTimeoutMs: member === 'Prompt' ? 30 : 5_000 }),
        );
        if (outcome.status === 'rejected') {
          // A prompt that is not shown is not answered.
          const expected = member === 'Prompt' ? late('prompt') : typed;
          expect(outcome.reason, `${member} ${signature}`).toEqual(expected);
        }
        // What else is of a type that nothing has is refused.
        if (signature === 't' && member !== 'Prompt') {
          expect(outcome, member).toMatchObject({ status: 'rejected', reason: { code: 'bad-reply' } });
        }
        await expectNoRules(objects);
      });
    }
  });

  test('rejects or goes on after any error at any step', async () => {
    for (const error of [
      'org.freedesktop.DBus.Error.AccessDenied',
      'org.freedesktop.DBus.Error.Failed',
      'org.freedesktop.DBus.Error.InvalidArgs',
      'org.freedesktop.DBus.Error.TimedOut',
      'org.freedesktop.DBus.Error.UnknownMethod',
      'org.freedesktop.DBus.Error.UnknownObject',
      'org.freedesktop.Secret.Error.IsLocked',
      'org.freedesktop.Secret.Error.NoSession',
      'org.freedesktop.Secret.Error.NoSuchObject',
      'com.example.Unheard.Of',
    ]) {
      await atEach(async (objects, step, member) => {
        atStep(objects, step, () => failed(error));
        const outcome = await settledIn(
          1_000,
          run(objects, { ...options, promptTimeoutMs: member === 'Prompt' ? 30 : 5_000 }),
        );
        if (outcome.status === 'rejected') expect(outcome.reason, `${member} ${error}`).toEqual(typed);
        await expectNoRules(objects);
      });
    }
  });

  test('keeps its promises when every reply comes late', async () => {
    const objects = await prepared(quirks);
    objects.service.interceptor = async (_call, proper) => {
      await new Promise((resolve) => setTimeout(resolve, 3));
      return proper();
    };
    await run(objects, options);
    await expectNoRules(objects);
    expect(objects.service.calls.map(keyOf).toSorted()).toEqual(members.toSorted());
    await release(objects);
  });

  test('does not begin once its signal has fired', async () => {
    const objects = await prepared(quirks);
    const signal = AbortSignal.abort('too late');
    const outcome = await settledIn(100, run(objects, { ...options, signal }));
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: { name: 'CancelledError', cause: 'too late' },
    });
    expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(DBusError);
    expect(objects.service.calls).toEqual([]);
    await release(objects);
  });

  test('ends when the bus hangs up at any step', async () => {
    await atEach(async (objects, step, member) => {
      let isLost = false;
      atStep(objects, step, () => {
        isLost = true;
        objects.hangUp();
        return undefined;
      });
      const outcome = await settledIn(1_000, run(objects, options));
      expect(isLost).toBe(true);
      expect(outcome, member).toMatchObject({
        status: 'rejected',
        reason: { name: 'SecretServiceError', code: 'closed', cause: { name: 'ClosedError' } },
      });
    });
  });

  test('rejects when the client is closed at any step', async () => {
    await atEach(async (objects, step, member) => {
      let closing: Promise<void> | undefined;
      atStep(objects, step, (_call, proper) => {
        closing = objects.client.close();
        return proper();
      });
      const outcome = await settledIn(1_000, run(objects, options));
      await closing;
      if (outcome.status === 'rejected') expect(outcome.reason.code, member).toBe('closed');
      // Only what needed no further call, no secret and no prompt can have a result.
      else expect(OF_PROMPTS.has(member), member).toBe(false);
      await expectNoRules(objects);
    });
  });
});
