/** Prompts: shown one at a time, ended by whatever comes first, dismissed by whoever no longer waits. */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { Variant } from '../../src/wire/index.js';
import { watchEachTest } from '../support/hostile-peer.js';
import { type Objects, operations, release } from './support/operations.js';
import {
  allow,
  asking,
  completed,
  create,
  error,
  numbers,
  PROMPT_INTERFACE,
  settle,
  shown,
  timers,
} from './support/prompting.js';
import { failed, returned, type Signal } from './support/scripted-bus.js';

watchEachTest();

describe('a prompt', () => {
  test.each<'before' | number>(['before', 0, 20])(
    'gives its result when Completed comes %s the reply to Prompt',
    async (completes) => {
      for (const how of ['to the caller', 'broadcast'] as const) {
        const objects = await asking({ completed: how });
        const { service } = objects;
        service.prompts.completes = completes;
        const item = await objects.collection.createItem(
          { label: 'x', attributes: { e: 'f' }, secret: 'secret' },
          allow,
        );
        expect(service.item(item.path).value.toString()).toBe('secret');
        expect(shown(objects)).toEqual([1]);
        expect(service.prompts.dismissed).toEqual([]);
        await settle();
        expect(service.bus.matchRules).toEqual([]);
        await release(objects);
      }
    },
  );

  test('is listened for before it is shown', async () => {
    const objects = await asking();
    await create(objects);
    const { members } = objects.service;
    expect(members.slice(0, 5)).toEqual(['CreateItem', 'AddMatch', 'AddMatch', 'AddMatch', 'Prompt']);
    await release(objects);
  });

  test('that has ended leaves nothing, even where Prompt is never answered', async () => {
    const objects = await asking();
    const { service, client } = objects;
    const before = timers();
    service.override('Prompt', (call) => {
      setTimeout(() => service.prompts.complete(call.path ?? '', 'accepts'), 1);
      return undefined;
    });
    await create(objects, { promptTimeoutMs: 60_000 });
    expect(timers()).toBeLessThanOrEqual(before);
    expect(getEventListeners(client.context.closing, 'abort')).toEqual([]);
    await settle();
    expect(service.bus.matchRules).toEqual([]);
    await release(objects);
  });

  test('is shown before the window that is given', async () => {
    const objects = await asking();
    await create(objects, { windowId: '1234' });
    await create(objects);
    expect(objects.service.prompts.shown.map(({ windowId }) => windowId)).toEqual(['1234', '']);
    await release(objects);
  });

  test('that the user refuses is a typed outcome, and is not dismissed again', async () => {
    for (const result of [new Variant('s', ''), new Variant('ao', ['/']), new Variant('o', '/')]) {
      const objects = await asking({ dismissedResult: result });
      objects.service.prompts.person = 'dismisses';
      const rejection = { code: 'prompt-dismissed', promptPath: '/org/freedesktop/secrets/prompt/p1' };
      await expect(create(objects)).rejects.toMatchObject(rejection);
      await settle();
      expect(objects.service.members).not.toContain('Dismiss');
      expect(objects.service.items.size).toBe(2);
      await release(objects);
    }
  });

  test('may complete twice', async () => {
    const objects = await asking();
    const { service } = objects;
    service.override('Prompt', (_call, proper) => {
      setTimeout(() => service.bus.emit(completed(objects, { body: [true, new Variant('s', '')] })), 1);
      return proper();
    });
    service.prompts.completes = 'before';
    await create(objects);
    await settle();
    await create(objects);
    await release(objects);
  });

  test.each<[string, (objects: Objects) => Partial<Signal>]>([
    ['from another sender', () => ({ sender: ':1.66' })],
    ['from the bus', () => ({ sender: 'org.freedesktop.DBus' })],
    ['of another prompt', () => ({ path: '/org/freedesktop/secrets/prompt/p2' })],
    ['of another interface', () => ({ interface: 'org.freedesktop.Secret.Service' })],
    ['by another name', () => ({ member: 'Finished' })],
  ])('does not end by a signal %s', async (_name, change) => {
    const objects = await asking();
    const { service, bus } = objects;
    service.prompts.completes = 20;
    service.override('Prompt', (_call, proper) => {
      const forged = completed(objects, { ...change(objects), destination: bus.uniqueName });
      setTimeout(() => service.bus.emit(forged), 5);
      return proper();
    });
    expect(await create(objects)).not.toMatchObject({ path: '/forged' });
    await release(objects);
  });

  test.each([
    ['b', [false]],
    ['v', [new Variant('o', '/a')]],
    ['bo', [false, '/a']],
    ['sv', ['no', new Variant('o', '/a')]],
    ['', []],
  ])('that completes with the signature %j is a bad reply', async (signature, body) => {
    const objects = await asking();
    const { service } = objects;
    service.prompts.person = 'does nothing';
    service.override('Prompt', (_call, proper) => {
      setTimeout(() => service.bus.emit(completed(objects, { signature, body })), 1);
      return proper();
    });
    await expect(create(objects)).rejects.toEqual(error('bad-reply'));
    await release(objects);
  });

  test.each([
    new Variant('s', '/a'),
    new Variant('ao', ['/a']),
    new Variant('o', '/'),
    new Variant('v', new Variant('o', '/a')),
  ])('that gives %j for a new item is a bad reply', async (result) => {
    const objects = await asking();
    const { service } = objects;
    service.prompts.person = 'does nothing';
    service.override('Prompt', (_call, proper) => {
      setTimeout(() => service.bus.emit(completed(objects, { body: [false, result] })), 1);
      return proper();
    });
    await expect(create(objects)).rejects.toEqual(error('bad-reply'));
    await release(objects);
  });

  test('that gives no list after Unlock is believed only of what is unlocked', async () => {
    for (const result of [new Variant('s', ''), new Variant('ao', []), new Variant('ao', ['/'])]) {
      for (const isUnlocked of [false, true]) {
        const objects = await asking();
        const { service, locked } = objects;
        service.prompts.person = 'does nothing';
        service.override('Prompt', (_call, proper) => {
          service.setLocked(locked.path, !isUnlocked);
          setTimeout(() => service.bus.emit(completed(objects, { body: [false, result] })), 1);
          return proper();
        });
        const unlocking = locked.unlock(allow);
        if (isUnlocked) await unlocking;
        else await expect(unlocking).rejects.toEqual(error('locked'));
        await release(objects);
      }
    }
  });

  test('that has gone when it is to be shown does not say that what it was for has gone', async () => {
    const gone = [
      'org.freedesktop.DBus.Error.UnknownObject',
      'org.freedesktop.DBus.Error.UnknownMethod',
      'org.freedesktop.Secret.Error.NoSuchObject',
      'org.freedesktop.DBus.Error.InvalidArgs',
      'org.freedesktop.Secret.Error.IsLocked',
    ];
    for (const name of gone) {
      for (const run of [
        operations['createItem'],
        operations['item.delete'],
        operations['clear'],
        operations['set, a new item'],
      ]) {
        const objects = await asking();
        objects.service.override('Prompt', failed(name));
        await expect(run?.(objects, allow), name).rejects.toMatchObject({
          code: 'failed',
          cause: { name },
        });
        const { members } = objects.service;
        expect(members.filter((member) => member === 'Prompt')).toHaveLength(1);
        expect(members.filter((member) => /^(Lock|Unlock)$/.test(member)).length).toBeLessThanOrEqual(1);
        await release(objects);
      }
      // Where it can be seen what became of it, that is what counts: KWallet ends the prompts that wait with the one shown.
      const isLost = gone.indexOf(name) < 3;
      for (const [run, code] of [
        [operations['item.unlock'], 'locked'],
        [operations['item.lock'], 'failed'],
      ] as const) {
        const objects = await asking();
        objects.service.override('Prompt', failed(name));
        const expected = isLost ? { code } : { code: 'failed', cause: { name } };
        await expect(run?.(objects, allow), name).rejects.toMatchObject(expected);
        expect(objects.service.members.filter((member) => /^(Lock|Unlock)$/.test(member))).toHaveLength(1);
        await release(objects);
      }
    }
  });

  test.each([
    ['never', { prompt: 'never' }, error('prompt-required')],
    [
      'at its deadline',
      { promptTimeoutMs: 20 },
      expect.objectContaining({ deadline: 'prompt', timeoutMs: 20 }),
    ],
    ['at its signal', {}, expect.objectContaining({ name: 'CancelledError', cause: 'enough' })],
  ])('is dismissed %s, exactly once, and nobody waits for that', async (name, options, rejection) => {
    for (const dismissed of [true, false, undefined]) {
      const objects = await asking({ dismissed });
      const { service } = objects;
      service.prompts.person = 'does nothing';
      let answer: (() => void) | undefined;
      service.override('Dismiss', async (_call, proper) => {
        await new Promise<void>((resolve) => (answer = resolve));
        return proper();
      });
      const controller = new AbortController();
      const signal = name === 'at its signal' ? controller.signal : undefined;
      const start = performance.now();
      const creating = create(objects, { ...options, signal });
      setTimeout(() => controller.abort('enough'), 20);
      await expect(creating).rejects.toEqual(rejection);
      expect(performance.now() - start).toBeLessThan(500);
      await settle();
      const sent = service.calls.filter(({ member }) => member === 'Dismiss');
      expect(sent).toHaveLength(1);
      expect(sent[0]).toMatchObject({
        path: '/org/freedesktop/secrets/prompt/p1',
        interface: PROMPT_INTERFACE,
      });
      expect(shown(objects)).toEqual(name === 'never' ? [] : [1]);
      answer?.();
      await settle();
      expect(service.items.size).toBe(2);
      expect(service.bus.matchRules).toEqual([]);
      await release(objects);
    }
  });

  test('takes no time of the calls', async () => {
    const objects = await asking();
    objects.service.prompts.completes = 80;
    await create(objects, { timeoutMs: 50 });
    // Of a verb that goes on afterwards too.
    await objects.client.set({ c: 'd' }, 'new', { ...allow, timeoutMs: 60 });
    objects.service.override('SetSecret', undefined);
    const start = performance.now();
    const late = objects.client.set({ c: 'd' }, 'new', { ...allow, timeoutMs: 60 });
    await expect(late).rejects.toMatchObject({ deadline: 'call', timeoutMs: 60 });
    expect(performance.now() - start).toBeLessThan(500);
    await release(objects);
  });

  test('takes no time of the calls that go on beside it', async () => {
    const objects = await asking({ prompts: new Set() });
    const { service, client } = objects;
    const paths = Array.from({ length: 120 }, () => service.add({ many: 'yes' }, 'x'));
    service.prompts.completes = 300;
    service.override('Delete', async (call, proper) => {
      if (call.path === paths[0]) {
        const prompt = service.prompts.add('Delete', objects.bus.uniqueName, () => {
          service.items.delete(paths[0] ?? '');
          return new Variant('s', '');
        });
        return returned('o', prompt);
      }
      await settle(40);
      return proper();
    });
    // Four rounds of 40 ms each, all while the prompt is shown.
    expect(await client.clear({ many: 'yes' }, { ...allow, timeoutMs: 120 })).toBe(120);
    await release(objects);
  });

  test('is not shown where the bus refuses the match rule', async () => {
    const objects = await asking();
    objects.service.override('AddMatch', failed('org.freedesktop.DBus.Error.LimitsExceeded'));
    await expect(create(objects)).rejects.toEqual(error('failed'));
    expect(shown(objects)).toEqual([]);
    await settle();
    expect(numbers(objects.service.prompts.dismissed)).toEqual([1]);
    await release(objects);
  });

  test('ends with the service, whether that tells before or after it is listened to', async () => {
    for (const member of ['CreateItem', 'AddMatch', 'Prompt', 'later']) {
      const objects = await asking();
      const { service } = objects;
      service.prompts.person = 'does nothing';
      service.override(member, (_call, proper) => {
        const reply = proper();
        service.restart();
        return reply;
      });
      if (member === 'later') setTimeout(() => service.restart(), 20);
      const start = performance.now();
      await expect(create(objects), member).rejects.toEqual(error('not-available'));
      expect(performance.now() - start).toBeLessThan(500);
      await settle();
      expect(service.bus.matchRules).toEqual([]);
      // The next operation goes to the new one.
      service.overrides.clear();
      service.prompts.person = 'accepts';
      await create(objects);
      await release(objects);
    }
  });

  test('is dismissed when the client is closed, shown or not', async () => {
    const objects = await asking();
    const { service } = objects;
    service.prompts.person = 'does nothing';
    const creating = [create(objects), create(objects), create(objects)];
    const outcomes = Promise.allSettled(creating);
    await settle();
    const start = performance.now();
    await objects.client.close();
    const closed = { status: 'rejected', reason: error('closed') };
    expect(await outcomes).toEqual([closed, closed, closed]);
    expect(performance.now() - start).toBeLessThan(500);
    expect(shown(objects)).toEqual([1]);
    await settle();
    expect(numbers(service.prompts.dismissed)).toEqual([1, 2, 3]);
    expect(service.bus.matchRules).toEqual([]);
    await release(objects);
  });

  test('ends with the connection, shown or not', async () => {
    const objects = await asking();
    objects.service.prompts.person = 'does nothing';
    const outcomes = Promise.allSettled([create(objects), create(objects), create(objects)]);
    await settle();
    objects.hangUp();
    for (const outcome of await outcomes) {
      expect(outcome).toEqual({ status: 'rejected', reason: error('closed') });
    }
    await release(objects);
  });
});

test('a prompt that is no object path is a bad reply', async () => {
  const objects = await asking();
  objects.service.override('CreateItem', returned('os', '/', 'prompt'));
  await expect(create(objects)).rejects.toEqual(error('bad-reply'));
  objects.service.override('CreateItem', returned('oo', '/', '/'));
  await expect(create(objects)).rejects.toEqual(error('bad-reply'));
  await release(objects);
});
