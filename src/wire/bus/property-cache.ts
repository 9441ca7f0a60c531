/**
 * The properties of an interface of an object elsewhere, kept up to date (D-Bus specification, "Standard Interfaces",
 * Properties). Layer 8: imports lower layers only.
 */
import { Variant } from '../codec/variant.js';
import type { InterfaceDefinition } from '../interface/definition.js';
import type { PropertyName, PropertyValue } from '../interface/typed.js';
import { MatchRule } from '../match/match-rule.js';
import type { Message } from '../message/message.js';
import { PROPERTIES } from '../types/standard-names.js';
import type { CallOptions, WaitOptions } from './call.js';
import type { Proxy } from './proxy.js';
import type { Subscription } from './subscription.js';

/** Names of properties that have changed; an iteration of the cache gives them. */
export interface PropertyChanges<Name extends string = string> {
  readonly changed: readonly Name[];
  /** Those of which only that is known: they are absent until `refresh`. */
  readonly invalidated: readonly Name[];
}

/**
 * Reads without a round trip. Both the reply to GetAll and each PropertiesChanged are applied in the order in which they
 * come, before any code of users sees either, so that an old value never replaces a newer one.
 */
export class PropertyCache<Definition extends InterfaceDefinition> {
  /** Changes, as an async iterable; reading them is optional. */
  readonly changes: Subscription<PropertyChanges<PropertyName<Definition>>>;
  readonly #target: Proxy<Definition>;
  readonly #values = new Map<string, unknown>();
  readonly #types: ReadonlyMap<string, string>;

  /** @internal */
  constructor(target: Proxy<Definition>) {
    this.#target = target;
    this.#types = new Map(
      Object.entries(target.definition.properties ?? {}).map(([name, { type }]) => [name, type]),
    );
    const rule = new MatchRule({
      type: 'signal',
      sender: target.destination,
      path: target.path,
      interface: PROPERTIES,
      member: 'PropertiesChanged',
      args: { 0: target.definition.name },
    });
    this.changes = target.endpoint.subscribe(rule, (message) => this.#apply(message), {});
  }

  /** The value as last told, or undefined when the object has not told it. */
  get<Name extends PropertyName<Definition>>(name: Name): PropertyValue<Definition, Name> | undefined {
    return this.#values.get(name) as PropertyValue<Definition, Name> | undefined;
  }

  has(name: PropertyName<Definition>): boolean {
    return this.#values.has(name);
  }

  /** Reads all properties anew, such as after one was invalidated or the object's owner has changed. @throws as `call` */
  async refresh(options: WaitOptions = {}): Promise<void> {
    const { endpoint, destination, path, definition } = this.#target;
    const call: CallOptions<string, 'a{sv}'> = {
      ...options,
      destination,
      path,
      interface: PROPERTIES,
      member: 'GetAll',
      signature: 's',
      body: [definition.name],
      replySignature: 'a{sv}',
    };
    await endpoint.callTaking<'a{sv}', void>(call, ([dict]) => {
      this.#values.clear();
      this.#put(dict);
    });
  }

  /** Stops following the changes. */
  async close(): Promise<void> {
    await this.changes.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #put(dict: ReadonlyMap<string, Variant>): string[] {
    const names: string[] = [];
    for (const [name, variant] of dict) {
      // What is not of the type defined is as good as not told.
      if (this.#types.get(name) !== variant.signature) continue;
      this.#values.set(name, variant.value);
      names.push(name);
    }
    return names;
  }

  #apply(message: Message): PropertyChanges<PropertyName<Definition>> | undefined {
    if (message.signature !== 'sa{sv}as') return undefined;
    const [, dict, names] = message.body as [string, ReadonlyMap<string, Variant>, readonly string[]];
    const changed = this.#put(dict);
    const invalidated = names.filter((name) => this.#types.has(name));
    for (const name of invalidated) this.#values.delete(name);
    return { changed, invalidated };
  }
}

/**
 * Reads the properties of a proxy's interface once and keeps them up to date by PropertiesChanged, in the order in which the
 * object sent both. Resolves when all are there.
 * @throws as `proxy.getAll`
 */
export async function watchProperties<Definition extends InterfaceDefinition>(
  proxy: Proxy<Definition>,
  options: WaitOptions = {},
): Promise<PropertyCache<Definition>> {
  const cache = new PropertyCache(proxy);
  try {
    // Both are on their way at one time: the rule is in force before the properties are read.
    await Promise.all([cache.changes.ready, cache.refresh(options)]);
    return cache;
  } catch (error) {
    await cache.close();
    throw error;
  }
}
