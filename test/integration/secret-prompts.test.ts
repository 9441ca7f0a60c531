/** Prompts of a real GNOME Keyring from end to end: the daemon asks, a prompter of the test answers as a person would. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startPrivateBus, startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import { type OperationOptions, SecretService, unlockWithPassword } from '../../src/secret/index.js';
import { describeWith, runs } from '../support/external.js';
import { Prompter } from './gnome-prompter.js';
import { PASSWORD, PromptingKeyring, serviceError } from './prompting-keyring.js';

const present = ['dbus-daemon', 'gnome-keyring-daemon'].every((program) => runs('which', [program]));
const describeKeyring = describeWith('gnome-keyring-daemon', present);

describeKeyring('prompts of a real keyring', () => {
  let keyring: PromptingKeyring;
  let prompter: Prompter;
  let service: SecretService;

  beforeEach(async () => {
    keyring = await PromptingKeyring.start();
    ({ prompter, service } = keyring);
  });

  afterEach(() => keyring?.[Symbol.asyncDispose]());

  const warnings = (): string[] => prompter.questions.map(({ warning }) => warning);

  it('creates a collection with the password that the person chooses', async () => {
    prompter.answer([{ password: PASSWORD }]);
    const collection = await service.createCollection('mïne');
    expect(prompter.questions).toMatchObject([{ type: 'password', isNew: true, window: '4711' }]);
    expect(prompter.questions[0]?.description).toContain('mïne');
    expect(await collection.label()).toBe('mïne');
    await collection.lock();
    await expect(unlockWithPassword(collection, 'another')).rejects.toEqual(serviceError('access-denied'));
    await unlockWithPassword(collection, PASSWORD);
    expect(await collection.locked()).toBe(false);
  });

  it('creates a collection without a password once the person has confirmed that', async () => {
    prompter.answer([{ password: '' }, 'confirm']);
    const collection = await service.createCollection('open');
    expect(prompter.questions.map(({ type }) => type)).toEqual(['password', 'confirm']);
    await collection.lock();
    prompter.answer([]);
    await collection.unlock();
    expect(prompter.questions).toEqual([]);
  });

  it('does not create one that the person refuses, and none where no prompt is allowed', async () => {
    prompter.answer(['dismiss']);
    const before = (await service.collections()).length;
    await expect(service.createCollection('none')).rejects.toEqual(serviceError('prompt-dismissed'));
    expect(prompter.questions).toHaveLength(1);
    prompter.answer([{ password: PASSWORD }]);
    const refused = service.createCollection('none', { prompt: 'never' });
    await expect(refused).rejects.toMatchObject({ code: 'prompt-required', promptPath: expect.any(String) });
    expect(prompter.questions).toEqual([]);
    expect(await service.collections()).toHaveLength(before);
  });

  it('unlocks with the right password, at once or after a wrong one', async () => {
    const { collection, item } = await keyring.lockedCollection();
    prompter.answer([{ password: PASSWORD }]);
    await collection.unlock();
    expect(warnings()).toEqual(['']);
    expect((await item.getSecret()).text()).toBe('secret of mine');
    await collection.lock();
    prompter.answer([{ password: 'wrong' }, { password: 'wrong again' }, { password: PASSWORD }]);
    expect(await service.unlock([item])).toEqual([item]);
    expect(warnings()).toEqual([
      '',
      expect.stringContaining('incorrect'),
      expect.stringContaining('incorrect'),
    ]);
    expect(await collection.locked()).toBe(false);
  });

  it('stays locked when the person gives up, at once or after a wrong password', async () => {
    const { collection, item } = await keyring.lockedCollection();
    for (const answers of [['dismiss'], [{ password: 'wrong' }, 'dismiss']] as const) {
      prompter.answer(answers);
      await expect(collection.unlock()).rejects.toEqual(serviceError('prompt-dismissed'));
      expect(prompter.questions).toHaveLength(answers.length);
    }
    prompter.answer([{ password: PASSWORD }]);
    await expect(item.unlock({ prompt: 'never' })).rejects.toEqual(serviceError('prompt-required'));
    expect(prompter.questions).toEqual([]);
    expect(await collection.locked()).toBe(true);
  });

  it('does not ask again for a password that the login keyring was told to keep', async () => {
    const { collection } = await keyring.lockedCollection();
    prompter.answer([{ password: PASSWORD, remember: true }]);
    await collection.unlock();
    await collection.lock();
    prompter.answer([]);
    await collection.unlock();
    expect(prompter.questions).toEqual([]);
    expect(await collection.locked()).toBe(false);
  });

  const verbs: [string, (options: OperationOptions) => Promise<unknown>, unknown][] = [
    ['lookup', async (options) => (await service.lookup({ in: 'mine' }, options))?.text(), 'secret of mine'],
    ['clear', (options) => service.clear({ in: 'mine' }, options), 1],
    [
      'findAll',
      async (options) => (await service.findAll({ in: 'mine' }, options)).map(({ secret }) => secret.text()),
      ['secret of mine'],
    ],
    [
      'set of an item there is',
      async (options) => {
        const item = await service.set({ in: 'mine', by: 'test' }, 'new', options);
        return (await item.getSecret()).text();
      },
      'new',
    ],
  ];

  it.each(verbs)('%s asks for what is locked and in its way', async (_name, run, expected) => {
    await keyring.lockedCollection();
    await expect(run({ prompt: 'never' })).rejects.toEqual(serviceError('locked'));
    prompter.answer(['dismiss']);
    await expect(run({})).rejects.toEqual(serviceError('prompt-dismissed'));
    expect(prompter.questions).toHaveLength(1);
    prompter.answer([{ password: PASSWORD }]);
    expect(await run({})).toEqual(expected);
    expect(prompter.questions).toHaveLength(1);
  });

  it('asks before a new item goes into a locked collection, named or the default one', async () => {
    const { collection } = await keyring.lockedCollection();
    const isNew = { in: 'a new one' };
    await expect(service.set(isNew, 'x', { collection, prompt: 'never' })).rejects.toEqual(
      serviceError('locked'),
    );
    prompter.answer([{ password: PASSWORD }]);
    const item = await service.set(isNew, 'x', { collection });
    expect(item.path).toContain(collection.path);
    expect(prompter.questions).toHaveLength(1);

    const login = await service.defaultCollection();
    await login.lock();
    prompter.answer([{ password: keyring.daemon.password }]);
    await service.set({ in: 'login' }, 'y');
    expect(prompter.questions).toHaveLength(1);
    expect(await login.locked()).toBe(false);
  });

  it('reads labels and attributes of what is locked without asking', async () => {
    const { collection, item } = await keyring.lockedCollection();
    expect(await service.listValues({ by: 'test' }, 'in')).toEqual(['mine']);
    expect(await service.search({ in: 'mine' })).toMatchObject({
      unlocked: [],
      locked: [{ path: item.path }],
    });
    expect((await item.properties()).attributes.get('in')).toBe('mine');
    expect(await collection.items()).toMatchObject([{ path: item.path }]);
    expect((await service.getSecrets([item])).size).toBe(0);
    expect(prompter.questions).toEqual([]);
  });
});

describeKeyring('a real keyring without a default collection', () => {
  it('has the person make one where that is allowed', async () => {
    await using bus = await startPrivateBus();
    await using daemon = await startPrivateKeyring({ bus, login: false });
    await using prompter = await Prompter.start(daemon.address);
    await using service = await SecretService.connect({ address: bus.address });
    await expect(service.defaultCollection()).rejects.toEqual(serviceError('no-default-collection'));
    expect((await service.anyCollection()).path).toBe('/org/freedesktop/secrets/collection/session');

    const create = true;
    await expect(service.defaultCollection({ create, prompt: 'never' })).rejects.toEqual(
      serviceError('prompt-required'),
    );
    await expect(service.set({ a: 'b' }, 'x', { prompt: 'never' })).rejects.toEqual(
      serviceError('no-default-collection'),
    );
    prompter.answer(['dismiss', 'dismiss']);
    await expect(service.defaultCollection({ create })).rejects.toEqual(serviceError('prompt-dismissed'));
    await expect(service.set({ a: 'b' }, 'x')).rejects.toEqual(serviceError('prompt-dismissed'));
    expect(prompter.questions).toHaveLength(2);

    prompter.answer([{ password: 'chosen' }]);
    const item = await service.set({ a: 'b' }, 'x');
    const collection = await service.defaultCollection({ create: 'not made again' });
    expect(item.path).toContain(collection.path);
    expect(await collection.label()).toBe('Default');
    expect(prompter.questions).toHaveLength(1);

    await service.setAlias('default', undefined);
    prompter.answer([{ password: 'another' }]);
    const second = await service.defaultCollection({ create: 'Passwörds' });
    expect(await second.label()).toBe('Passwörds');
    expect(second.path).not.toBe(collection.path);
    expect((await service.defaultCollection()).path).toBe(second.path);
  });
});
