/** What a store should hold: every state it has had since it was made, and which of them may be found after a crash. */
import type { CredentialOptions } from '../../../../src/stash/native/credentials.js';
import type { Stash } from '../../../../src/stash/native/stash.js';
import type { StashOperation } from '../../../../src/stash/sstash/batch.js';
import { Model } from '../../model.js';

/** What has to open the store, one of what, and what must not. */
export interface Openers {
  readonly every: readonly CredentialOptions[];
  readonly one: readonly CredentialOptions[];
  readonly none: readonly CredentialOptions[];
}

/** What may be found after a crash at one moment. */
export interface Expectation extends Openers {
  /** Whether there may be no file. */
  readonly absent: boolean;
  /** Listings, each as {@link listing} gives it. */
  readonly listings: readonly string[];
}

function render(key: readonly string[], value: Uint8Array | string): [readonly string[], string] {
  const text = typeof value === 'string' ? value : Buffer.from(value).toString('hex');
  // Long ones by their length and a few bytes: they are random.
  return [key, text.length > 100 ? `${text.length}:${text.slice(0, 40)}${text.slice(-40)}` : text];
}

/** All entries of a handle, in order, as one text. */
export async function listing(stash: Stash): Promise<string> {
  const list: unknown[] = [];
  for await (const { key, value } of stash.entries()) list.push(render(key, value));
  return JSON.stringify(list);
}

/** A listing with one more entry, the last. */
export function withEntry(list: string, key: readonly string[], value: Uint8Array): string {
  return JSON.stringify([...(JSON.parse(list) as unknown[]), render(key, value)]);
}

/** Follows what is asked of a store, and what was acknowledged. */
export class Track {
  /** Rises with each thing that changes what is expected. */
  version = 0;
  /** Whether somebody was told that there is a store. */
  created = false;
  openers: Openers;
  readonly #model: Model = new Model();
  /** The listing after each change that was asked for, in order; the first is that of the beginning. */
  readonly #listings: string[] = ['[]'];
  /** All changes before this one have to be there. */
  #durable = 0;
  /** All changes before this one have been acknowledged, with or without a word on the disk. */
  #acknowledged = 0;

  constructor(credential: CredentialOptions) {
    this.openers = { every: [credential], one: [], none: [] };
  }

  get expectation(): Expectation {
    return {
      ...this.openers,
      absent: !this.created,
      listings: this.#listings.slice(this.#durable),
    };
  }

  /** What is there if all that was asked for is. */
  get latest(): string {
    return this.#listings.at(-1) as string;
  }

  markCreated(): void {
    this.created = true;
    this.version++;
  }

  setOpeners(openers: Partial<Openers>): void {
    this.openers = { ...this.openers, ...openers };
    this.version++;
  }

  #apply(operation: StashOperation): void {
    if (operation.type === 'write')
      this.#model.write(operation.key, Buffer.from(operation.value).toString('hex'));
    else if (operation.type === 'remove') this.#model.remove(operation.key);
  }

  /** Asks for changes, all or none. */
  async batch(stash: Stash, operations: readonly StashOperation[], isDurable = true): Promise<void> {
    for (const operation of operations) this.#apply(operation);
    const entries = this.#model.entries().map(([key, value]) => render(key, value));
    const index = this.#listings.push(JSON.stringify(entries)) - 1;
    this.version++;
    const [first] = operations;
    if (operations.length > 1 || first === undefined) await stash.batch(operations);
    else if (first.type === 'write') await stash.write(first.key, first.value);
    else if (first.type === 'remove') await stash.remove(first.key);
    this.#acknowledged = Math.max(this.#acknowledged, index);
    if (isDurable) this.#durable = Math.max(this.#durable, index);
    this.created ||= isDurable;
    this.version++;
  }

  async write(stash: Stash, key: readonly string[], value: Uint8Array, isDurable = true): Promise<void> {
    await this.batch(stash, [{ type: 'write', key: [...key], value }], isDurable);
  }

  /** Takes back the last change that was asked for: it was refused, and has left nothing. */
  withdraw(): void {
    this.#listings.pop();
    this.#take(this.latest);
  }

  #take(list: string): void {
    this.#model.top = new Model().top;
    for (const [key, value] of JSON.parse(list) as [string[], string][]) this.#model.write(key, value);
    this.version++;
  }

  /** Waits for what makes durable all that had been acknowledged before. */
  async settle(action: () => Promise<unknown>): Promise<void> {
    const acknowledged = this.#acknowledged;
    await action();
    this.#durable = Math.max(this.#durable, acknowledged);
    this.version++;
  }

  /** Takes over what was found after a crash. Nothing is asked for at that time. */
  recover(found: string): void {
    const index = this.#listings.indexOf(found, this.#durable);
    if (index < 0) throw new Error(`found what was never there: ${found}`);
    this.#listings.length = index + 1;
    this.#acknowledged = index;
    this.#take(found);
  }

  /** Begins with what a store holds that is there. */
  adopt(found: string): void {
    this.#listings[0] = found;
    this.recover(found);
    this.#durable = 0;
    this.created = true;
  }
}
