/** The prompts of the mock of a service, and the person who answers them. */
import type { Message, Variant } from '../../../src/wire/index.js';
import type { PromptCase, Quirks } from './quirks.js';
import { failed, type Reply, returned, type Signal } from './scripted-bus.js';

/** A prompt that has not ended. */
export interface MockPrompt {
  readonly path: string;
  /** What the user is asked. */
  readonly asks: PromptCase;
  /** The unique name of the client it was made for. */
  readonly client: string;
  /** Does what was asked for, and gives the result. */
  readonly act: () => Variant;
}

/** What the person does with a prompt that is shown. */
export type Person = 'accepts' | 'dismisses' | 'does nothing';

/** What the prompts need of the service. */
export interface PromptHost {
  readonly quirks: Quirks;
  readonly owner: string | undefined;
  emit(signal: Signal): void;
}

export class MockPrompts {
  /** Those that have not ended, by path. */
  readonly open = new Map<string, MockPrompt>();
  /** The paths of those that were shown, in order, and with which window. */
  readonly shown: { readonly path: string; readonly windowId: string }[] = [];
  /** The paths of those that the client has dismissed. */
  readonly dismissed: string[] = [];
  person: Person = 'accepts';
  /** Whether Completed comes before the reply to Prompt, or after it by this many milliseconds. */
  completes: 'before' | number = 0;
  readonly #host: PromptHost;
  #count = 0;

  constructor(host: PromptHost) {
    this.#host = host;
  }

  /** Makes a prompt. @returns Its path. */
  add(asks: PromptCase, client: string, act: () => Variant): string {
    const path = `/org/freedesktop/secrets/prompt/p${++this.#count}`;
    this.open.set(path, { path, asks, client, act });
    return path;
  }

  /** Ends a prompt as the person says. */
  complete(path: string, person: Exclude<Person, 'does nothing'>): void {
    const prompt = this.open.get(path);
    if (prompt === undefined) return;
    this.open.delete(path);
    const isDismissed = person === 'dismisses';
    const result = isDismissed ? this.#host.quirks.dismissedResult : prompt.act();
    this.#tell(prompt, isDismissed, result);
  }

  reply({ member, body }: Message, prompt: MockPrompt): Reply {
    const { path } = prompt;
    if (member === 'Dismiss') {
      this.open.delete(path);
      this.dismissed.push(path);
      const { dismissed, dismissedResult } = this.#host.quirks;
      if (dismissed !== undefined) this.#tell(prompt, dismissed, dismissedResult);
      return returned('');
    }
    if (member !== 'Prompt') return failed('org.freedesktop.DBus.Error.UnknownMethod');
    this.shown.push({ path, windowId: body[0] as string });
    const isUnshowable = this.#host.quirks.unshowable === prompt.asks;
    const person = isUnshowable ? 'dismisses' : this.person;
    if (person !== 'does nothing') {
      if (this.completes === 'before') this.complete(path, person);
      else setTimeout(() => this.complete(path, person), this.completes);
    }
    return returned('');
  }

  #tell({ path, client }: MockPrompt, isDismissed: boolean, result: Variant): void {
    const { owner, quirks } = this.#host;
    if (owner === undefined) return;
    this.#host.emit({
      sender: owner,
      path,
      interface: 'org.freedesktop.Secret.Prompt',
      member: 'Completed',
      signature: 'bv',
      body: [isDismissed, result],
      ...(quirks.completed === 'to the caller' && { destination: client }),
    });
  }
}
