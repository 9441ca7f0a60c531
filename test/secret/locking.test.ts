/** Locking and unlocking, one and many. */
import { describe, expect, test } from 'vitest';
import { watchEachTest } from '../support/hostile-peer.js';
import { LOGIN, OTHER } from './support/mock-service.js';
import { type Objects, prepared, release } from './support/operations.js';
import { failed, returned } from './support/scripted-bus.js';

watchEachTest();

const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });

describe('many objects', () => {
  test('take one call and one prompt, and are given in their order', async () => {
    const objects = await prepared({ prompts: new Set(['Lock', 'Unlock']) });
    const { service, client, collection, item, locked } = objects;
    const other = await client.collection(OTHER);
    service.calls.length = 0;
    const all = [locked, other, item, collection, locked];
    expect(await client.lock(all, { prompt: 'allow' })).toEqual(all);
    expect(service.members.filter((member) => member === 'Lock')).toHaveLength(1);
    expect(service.calls[0]?.body).toEqual([[locked.path, OTHER, item.path, LOGIN]]);
    expect(service.prompts.shown).toHaveLength(1);
    // What the prompt gave is believed.
    expect(service.members).not.toContain('Get:Locked');
    expect([...service.items.values()].every(({ isLocked }) => isLocked)).toBe(true);
    expect(await client.unlock(new Set(all), { prompt: 'allow' })).toEqual(all.slice(0, 4));
    expect([...service.items.values()].some(({ isLocked }) => isLocked)).toBe(false);
    await release(objects);
  });

  test('none takes no call', async () => {
    const objects = await prepared();
    expect(await objects.client.lock([])).toEqual([]);
    expect(await objects.client.unlock([])).toEqual([]);
    expect(objects.service.calls).toEqual([]);
    await release(objects);
  });

  test('that are not of this client, or no objects, are refused', async () => {
    const [one, other] = [await prepared(), await prepared()];
    for (const objects of [[other.item], [{ path: LOGIN }], undefined, 5, [undefined]]) {
      await expect(one.client.lock(objects as never)).rejects.toEqual(error('bad-argument'));
      await expect(one.client.unlock(objects as never)).rejects.toEqual(error('bad-argument'));
    }
    expect(one.service.calls).toEqual([]);
    await release(one);
    await release(other);
  });
});

describe('what the service says', () => {
  /** What was left as it was is given only where it is so. */
  const rows: [string, unknown[]][] = [
    ['nothing', []],
    ['"/"', ['/']],
    ['something else', ['/org/freedesktop/secrets/collection/unheard']],
  ];
  test.each(rows)('%s: is asked again of each', async (_name, paths) => {
    const objects = await prepared();
    const { service, client, item, locked } = objects;
    service.override('Unlock', returned('aoo', paths, '/'));
    expect(await client.unlock([item, locked])).toEqual([item]);
    await expect(locked.unlock()).rejects.toMatchObject({ code: 'locked', lockedPaths: [locked.path] });
    await item.unlock();
    service.override('Lock', returned('aoo', paths, '/'));
    expect(await client.lock([item, locked])).toEqual([locked]);
    await expect(item.lock()).rejects.toEqual(error('failed'));
    await release(objects);
  });

  test('the collection for its item: is believed', async () => {
    const objects = await prepared();
    const { service, client, locked } = objects;
    service.override('Unlock', returned('aoo', [LOGIN], '/'));
    expect(await client.unlock([locked])).toEqual([locked]);
    await release(objects);
  });

  test.each(['org.freedesktop.DBus.Error.InvalidArgs', 'org.freedesktop.DBus.Error.UnknownObject'])(
    '%s for all, because of one: the others are done one by one',
    async (name) => {
      const objects: Objects = await prepared();
      const { service, client, item, locked } = objects;
      const gone = await client.collection(OTHER);
      service.remove(OTHER);
      for (const member of ['Lock', 'Unlock']) {
        service.override(member, ({ body: [paths] }, proper) =>
          (paths as string[]).includes(OTHER) ? failed(name) : proper(),
        );
      }
      expect(await client.unlock([locked, gone, item])).toEqual([locked, item]);
      expect(await client.lock([locked, gone, item])).toEqual([locked, item]);
      await expect(client.lock([gone])).rejects.toEqual(error('not-found'));
      await expect(gone.unlock()).rejects.toEqual(error('not-found'));
      await release(objects);
    },
  );

  test.each<[string, unknown[]]>([
    ['aos', [[], '/']],
    ['aso', [['/a'], '/']],
    ['ao', [['/a']]],
    ['oao', ['/', ['/a']]],
  ])('the wrong signature %s is a bad reply', async (signature, body) => {
    const objects = await prepared();
    objects.service.override('Unlock', returned(signature, ...body));
    await expect(objects.client.unlock([objects.item])).rejects.toEqual(error('bad-reply'));
    await release(objects);
  });
});

test('unlocking that the options forbid leaves everything locked, and what a verb finds there says so', async () => {
  const objects = await prepared({ prompts: new Set(['Unlock']) });
  const { service, client, locked } = objects;
  await expect(locked.unlock()).rejects.toEqual(error('prompt-required'));
  await expect(client.lookup({ c: 'd' })).rejects.toMatchObject({
    code: 'locked',
    lockedPaths: [locked.path],
  });
  await expect(client.set({ c: 'd' }, 'x')).rejects.toEqual(error('locked'));
  await expect(client.clear({ c: 'd' })).rejects.toEqual(error('locked'));
  await expect(client.findAll({ c: 'd' })).rejects.toEqual(error('locked'));
  expect(service.prompts.shown).toEqual([]);
  expect(service.item(locked.path).isLocked).toBe(true);
  // A verb does not even ask for a prompt.
  expect(service.members.filter((member) => member === 'Unlock')).toHaveLength(1);
  await release(objects);
});

test('a verb says that it is locked where the service knows of no unlocking', async () => {
  const objects = await prepared();
  const { service, client, locked } = objects;
  service.override('Unlock', failed('org.freedesktop.DBus.Error.UnknownMethod'));
  for (const run of [
    () => client.lookup({ c: 'd' }, { prompt: 'allow' }),
    () => client.set({ c: 'd' }, 'x', { prompt: 'allow' }),
    () => client.clear({ c: 'd' }, { prompt: 'allow' }),
    () => client.findAll({ c: 'd' }, { prompt: 'allow' }),
  ]) {
    await expect(run()).rejects.toMatchObject({ code: 'locked', lockedPaths: [locked.path] });
  }
  await release(objects);
});
