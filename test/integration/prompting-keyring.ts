/** A real GNOME Keyring whose dialogs a test answers, with a client of ours on it. */
import { expect } from 'vitest';
import { type PrivateKeyring, startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import {
  type Collection,
  createCollectionWithPassword,
  type Item,
  SecretService,
} from '../../src/secret/index.js';
import { Prompter } from './gnome-prompter.js';

/** Of each collection made here. */
export const PASSWORD = 'öpen sesame';

export const serviceError = (code: string): unknown =>
  expect.objectContaining({ name: 'SecretServiceError', code });

export const promptDeadline = (timeoutMs: number): unknown =>
  expect.objectContaining({ name: 'DeadlineError', deadline: 'prompt', timeoutMs });

export class PromptingKeyring implements AsyncDisposable {
  readonly daemon: PrivateKeyring;
  readonly service: SecretService;
  /** A test may put another in its place, which is closed in the end. */
  prompter: Prompter;

  private constructor(daemon: PrivateKeyring, prompter: Prompter, service: SecretService) {
    this.daemon = daemon;
    this.prompter = prompter;
    this.service = service;
  }

  static async start(): Promise<PromptingKeyring> {
    const daemon = await startPrivateKeyring();
    const { address } = daemon;
    const prompter = await Prompter.start(address);
    const service = await SecretService.connect({ address, windowId: '4711', timeoutMs: 5000 });
    return new PromptingKeyring(daemon, prompter, service);
  }

  /** A locked collection of its own with one item, which nobody has been asked about. */
  async lockedCollection(label = 'mine'): Promise<{ collection: Collection; item: Item }> {
    const collection = await createCollectionWithPassword(this.service, label, PASSWORD);
    const item = await this.service.set({ in: label, by: 'test' }, `secret of ${label}`, { collection });
    await collection.lock();
    expect(await item.locked()).toBe(true);
    return { collection, item };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.service.close();
    await this.prompter[Symbol.asyncDispose]();
    await this.daemon.close();
  }
}
