/** Prompts of a real GNOME Keyring that nobody answers in time, or many at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Collection, SecretService } from '../../src/secret/index.js';
import { deferred } from '../../src/wire/connection/deferred.js';
import { describeWith, runs } from '../support/external.js';
import { type Answer, Prompter } from './gnome-prompter.js';
import { PASSWORD, PromptingKeyring, promptDeadline, serviceError } from './prompting-keyring.js';

const present = ['dbus-daemon', 'gnome-keyring-daemon'].every((program) => runs('which', [program]));

describeWith('gnome-keyring-daemon', present)('waiting for prompts of a real keyring', () => {
  let keyring: PromptingKeyring;
  let prompter: Prompter;
  let service: SecretService;

  beforeEach(async () => {
    keyring = await PromptingKeyring.start();
    ({ prompter, service } = keyring);
  });

  afterEach(() => keyring?.[Symbol.asyncDispose]());

  const shown = async (): Promise<void> =>
    await vi.waitFor(() => {
      expect(prompter.questions).toHaveLength(1);
      expect(prompter.open).toBe(1);
    });
  const gone = async (): Promise<void> => await vi.waitFor(() => expect(prompter.open).toBe(0));

  it('waits for nobody: the deadline, the signal and close() end the wait, and the dialog goes away', async () => {
    prompter.answer(['never']);
    const started = performance.now();
    const late = service.createCollection('never', { promptTimeoutMs: 300 });
    await expect(late).rejects.toEqual(promptDeadline(300));
    expect(performance.now() - started).toBeLessThan(1500);
    await gone();

    prompter.answer(['never']);
    const controller = new AbortController();
    const cancelled = service.createCollection('never', { signal: controller.signal });
    await Promise.all([
      expect(cancelled).rejects.toMatchObject({ name: 'CancelledError' }),
      shown().then(() => controller.abort()),
    ]);
    await gone();

    prompter.answer(['never']);
    const closed = service.createCollection('never');
    await Promise.all([
      expect(closed).rejects.toEqual(serviceError('closed')),
      shown().then(() => service.close()),
    ]);
    await gone();
    expect(prompter.mostOpen).toBe(1);
  });

  /** What the process of the daemon is: it must not have ended. */
  const owner = async (): Promise<string | undefined> => (await service.probe()).owner;

  // GNOME Keyring up to 50 ends with a failed assertion when an unlock prompt is dismissed while a dialog of one is open:
  // `perform_next_unlock` in gkd-secret-unlock.c. With it end the sessions of all programs, and what they had unlocked.
  it.each([
    ['the deadline', async (collection: Collection) => await collection.unlock({ promptTimeoutMs: 300 })],
    [
      'the signal',
      async (collection: Collection) => await collection.unlock({ signal: AbortSignal.timeout(300) }),
    ],
  ])('lets the service live when %s ends the wait for an unlock', async (_name, unlock) => {
    const { collection, item } = await keyring.lockedCollection();
    const before = await owner();
    const person = deferred<Answer>();
    prompter.answer(() => person.promise);
    const started = performance.now();
    await expect(unlock(collection)).rejects.toMatchObject({
      name: expect.stringMatching(/^(?:Deadline|Cancelled)Error$/),
    });
    expect(performance.now() - started).toBeLessThan(1500);
    await sleep(100);
    expect(await owner()).toBe(before);
    // The dialog is still there, and answered at last.
    person.resolve({ password: PASSWORD });
    await vi.waitFor(async () => expect(await collection.locked()).toBe(false));
    expect((await item.getSecret()).text()).toBe('secret of mine');
  });

  it('lets the service live when one asks and another does not want to', async () => {
    const { collection } = await keyring.lockedCollection();
    const { collection: second } = await keyring.lockedCollection('second');
    await using other = await SecretService.connect({ address: keyring.daemon.address, prompt: 'never' });
    const before = await owner();
    const person = deferred<Answer>();
    prompter.answer(() => person.promise);
    const unlocking = collection.unlock();
    unlocking.catch(() => {});
    await shown();
    const unwilling = (await other.collection(second.path)).unlock();
    await expect(unwilling).rejects.toEqual(serviceError('prompt-required'));
    await expect(second.unlock({ prompt: 'never' })).rejects.toEqual(serviceError('prompt-required'));
    await sleep(100);
    person.resolve({ password: PASSWORD });
    await unlocking;
    expect(await owner()).toBe(before);
    expect(await second.locked()).toBe(true);
  });

  it('shows the dialogs of two clients, and each gets its own answer', async () => {
    await keyring.lockedCollection('first');
    await keyring.lockedCollection('second');
    await using other = await SecretService.connect({ address: keyring.daemon.address });
    prompter.answer(async ({ description }) => {
      await sleep(50);
      return description.includes('first') ? 'dismiss' : { password: PASSWORD };
    });
    const [first, second] = await Promise.allSettled([
      service.lookup({ in: 'first' }),
      other.lookup({ in: 'second' }),
    ]);
    expect(first).toMatchObject({ reason: serviceError('prompt-dismissed') });
    expect(second.status).toBe('fulfilled');
    expect(prompter.questions).toHaveLength(2);
  });

  it('does not count the time of the person as its own', async () => {
    await keyring.lockedCollection();
    prompter.answer(async () => {
      await sleep(700);
      return { password: PASSWORD };
    });
    expect((await service.lookup({ in: 'mine' }, { timeoutMs: 500 }))?.text()).toBe('secret of mine');
  });

  it('unlocks many, one dialog after the other, and tells which are open', async () => {
    const made = [
      await keyring.lockedCollection('one'),
      await keyring.lockedCollection('two'),
      await keyring.lockedCollection('three'),
    ];
    prompter.answer(({ description }) => (description.includes('two') ? 'dismiss' : { password: PASSWORD }));
    const all = made.flatMap(({ collection, item }) => [collection, item]);
    await expect(service.unlock(all)).rejects.toEqual(serviceError('prompt-dismissed'));
    prompter.answer(() => ({ password: PASSWORD }));
    expect(await service.unlock(all)).toEqual(all);
    expect(await Promise.all(all.map((one) => one.locked()))).toEqual(Array(6).fill(false));
    expect(await service.lock(all)).toEqual(all);
    expect(await Promise.all(all.map((one) => one.locked()))).toEqual(Array(6).fill(true));
  });

  it('shows the dialogs of operations at once one after the other, in their order', async () => {
    const labels = ['one', 'two', 'three', 'four'];
    for (const label of labels) await keyring.lockedCollection(label);
    prompter.answer(async () => {
      await sleep(50);
      return { password: PASSWORD };
    });
    const texts = labels.map(async (label) => (await service.lookup({ in: label }))?.text());
    expect(await Promise.all(texts)).toEqual(labels.map((label) => `secret of ${label}`));
    expect(prompter.mostOpen).toBe(1);
    const asked = prompter.questions.map(({ description }) =>
      labels.find((label) => description.includes(label)),
    );
    expect(asked).toEqual(labels);
  });

  it('goes on with the next dialog when one is dismissed, cancelled or never answered', async () => {
    await keyring.lockedCollection('one');
    await keyring.lockedCollection('four');
    const controller = new AbortController();
    prompter.answer(({ description }) => {
      if (description.includes('one')) return 'dismiss';
      if (description.includes('two')) controller.abort();
      return description.includes('four') ? { password: PASSWORD } : 'never';
    });
    const results = await Promise.allSettled([
      service.lookup({ in: 'one' }),
      service.createCollection('two', { signal: controller.signal }),
      service.createCollection('three', { promptTimeoutMs: 200 }),
      service.lookup({ in: 'four' }),
    ]);
    expect(results).toEqual([
      { status: 'rejected', reason: serviceError('prompt-dismissed') },
      { status: 'rejected', reason: expect.objectContaining({ name: 'CancelledError' }) },
      { status: 'rejected', reason: promptDeadline(200) },
      { status: 'fulfilled', value: expect.anything() },
    ]);
    await gone();
  });

  it('rejects when the service dies while it asks, and when the prompter does', async () => {
    const { collection } = await keyring.lockedCollection();
    prompter.answer(['never']);
    await Promise.all([
      expect(collection.unlock()).rejects.toEqual(serviceError('prompt-dismissed')),
      vi
        .waitFor(() => expect(prompter.questions).toHaveLength(1))
        .then(() => prompter[Symbol.asyncDispose]()),
    ]);
    prompter = await Prompter.start(keyring.daemon.address);
    keyring.prompter = prompter;
    prompter.answer(['never']);
    await Promise.all([
      expect(collection.unlock()).rejects.toEqual(serviceError('not-available')),
      vi
        .waitFor(() => expect(prompter.questions).toHaveLength(1))
        .then(() => process.kill(keyring.daemon.processId, 'SIGKILL')),
    ]);
  });

  it('gives every match rule back', async () => {
    const { bus } = service.context;
    const rules = async (): Promise<unknown> => (await bus.stats(bus.uniqueName)).get('MatchRules')?.value;
    const { collection } = await keyring.lockedCollection();
    const before = await rules();
    for (const answers of [['dismiss'], ['never'], [{ password: PASSWORD }]] as const) {
      prompter.answer(answers);
      await service.createCollection('another', { promptTimeoutMs: 200 }).catch(() => {});
      await vi.waitFor(async () => expect(await rules()).toBe(before));
    }
    prompter.answer([{ password: PASSWORD }]);
    await collection.unlock();
    await vi.waitFor(async () => expect(await rules()).toBe(before));
  });
});
