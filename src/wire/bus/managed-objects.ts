/**
 * The objects below a path of a service, with their properties, kept up to date (D-Bus specification, "Standard Interfaces",
 * ObjectManager). Layer 8: imports lower layers only.
 */
import { DBusError, OverloadError } from '../base/errors.js';
import { MAX_MANAGED_ENTRIES } from '../base/limits.js';
import type { Variant } from '../codec/variant.js';
import { MatchRule } from '../match/match-rule.js';
import type { Message } from '../message/message.js';
import { isObjectPath } from '../types/names.js';
import { OBJECT_MANAGER, PROPERTIES } from '../types/standard-names.js';
import type { WaitOptions } from './call.js';
import type { Endpoint } from './endpoint.js';
import { Subscription, type SubscriptionOptions } from './subscription.js';

/** An object: its interfaces by name, and their properties by name. */
export type ManagedObject = ReadonlyMap<string, ReadonlyMap<string, Variant>>;

/** What has changed of one object. */
export interface ObjectChange {
  readonly type: 'added' | 'removed' | 'changed';
  readonly path: string;
  /** Interfaces that came or went, or the one whose properties changed. */
  readonly interfaces: readonly string[];
}

type Interfaces = Map<string, Map<string, Variant>>;
type ReceivedInterfaces = ReadonlyMap<string, ReadonlyMap<string, Variant>>;

/**
 * Reads without a round trip. The reply to GetManagedObjects and each signal are applied in the order in which they come,
 * before code of users sees either. At most 131,072 objects, interfaces and properties are kept: with more, `changes` and
 * `refresh` fail with `OverloadError`. When the owner of the name goes, the objects stay as they were until `refresh`.
 */
export class ManagedObjects {
  /** Changes, as an async iterable; reading them is optional. */
  readonly changes: Subscription<ObjectChange>;
  readonly #endpoint: Endpoint;
  readonly #destination: string | undefined;
  readonly #path: string;
  readonly #objects = new Map<string, Interfaces>();
  /** Objects, interfaces and properties that are kept. */
  #entries = 0;
  /** Ends `changes` with an error. */
  #fail!: (error: Error) => void;

  /** @internal */
  constructor(
    endpoint: Endpoint,
    destination: string | undefined,
    path: string,
    options: SubscriptionOptions,
  ) {
    if (!isObjectPath(path)) throw new DBusError('invalid-option', '`path` is not an object path');
    this.#endpoint = endpoint;
    this.#destination = destination;
    this.#path = path;
    const common = { type: 'signal', sender: destination } as const;
    const rules = [
      new MatchRule({ ...common, path, interface: OBJECT_MANAGER }),
      new MatchRule({ ...common, pathNamespace: path, interface: PROPERTIES, member: 'PropertiesChanged' }),
    ];
    this.changes = new Subscription(
      (feed) => {
        const entered = rules.map((rule) => endpoint.feed(rule, { ...feed }));
        this.#fail = (error) => feed.end(error);
        return {
          ready: Promise.all(entered.map(({ ready }) => ready)),
          leave: () => Promise.all(entered.map(({ leave }) => leave())),
        };
      },
      (message) => this.#apply(message),
      options,
    );
  }

  /** The objects by path. The same Map, as it changes. */
  get objects(): ReadonlyMap<string, ManagedObject> {
    return this.#objects;
  }

  /** Reads all objects anew, such as when the owner of the name has changed. @throws as `call` */
  async refresh(options: WaitOptions = {}): Promise<void> {
    const call = {
      ...options,
      destination: this.#destination,
      path: this.#path,
      interface: OBJECT_MANAGER,
      member: 'GetManagedObjects',
      replySignature: 'a{oa{sa{sv}}}',
    } as const;
    await this.#endpoint.callTaking(call, ([objects]) => {
      this.#clear();
      for (const [path, interfaces] of objects as ReadonlyMap<string, ReceivedInterfaces>) {
        this.#add(path, interfaces);
      }
    });
  }

  /** Stops following the changes. */
  async close(): Promise<void> {
    await this.changes.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @throws {OverloadError} `too-many-objects`; nothing is kept then, and `changes` has ended */
  #count(entries: number): void {
    this.#entries += entries;
    if (this.#entries <= MAX_MANAGED_ENTRIES) return;
    this.#clear();
    const error = new OverloadError(
      'too-many-objects',
      `more than ${MAX_MANAGED_ENTRIES} objects and properties`,
    );
    this.#fail(error);
    throw error;
  }

  #clear(): void {
    this.#objects.clear();
    this.#entries = 0;
  }

  #add(path: string, interfaces: ReceivedInterfaces): void {
    let object = this.#objects.get(path);
    if (object === undefined) {
      object = new Map<string, Map<string, Variant>>();
      this.#objects.set(path, object);
      this.#count(1);
    }
    for (const [name, properties] of interfaces) {
      const known = object.get(name);
      object.set(name, new Map(properties));
      this.#count(properties.size - (known?.size ?? -1));
    }
  }

  #remove(path: string, interfaces: readonly string[]): void {
    const object = this.#objects.get(path);
    if (object === undefined) return;
    for (const name of interfaces) {
      const known = object.get(name);
      if (known === undefined) continue;
      object.delete(name);
      this.#count(-1 - known.size);
    }
    if (object.size > 0) return;
    this.#objects.delete(path);
    this.#count(-1);
  }

  #isBelow(path: string): boolean {
    return this.#path === '/' || path.startsWith(`${this.#path}/`);
  }

  /** No code of users runs in it, and nothing of it throws. */
  #apply(message: Message): ObjectChange | undefined {
    try {
      return this.#applied(message);
    } catch (error) {
      if (error instanceof OverloadError) return undefined;
      throw error;
    }
  }

  #applied(message: Message): ObjectChange | undefined {
    const { interface: interfaceName, member, signature, body } = message;
    if (interfaceName === PROPERTIES) {
      return signature === 'sa{sv}as' ? this.#applyProperties(message) : undefined;
    }
    if (member === 'InterfacesAdded' && signature === 'oa{sa{sv}}') {
      const [path, interfaces] = body as [string, ReceivedInterfaces];
      if (!this.#isBelow(path)) return undefined;
      this.#add(path, interfaces);
      return { type: 'added', path, interfaces: [...interfaces.keys()] };
    }
    if (member === 'InterfacesRemoved' && signature === 'oas') {
      const [path, interfaces] = body as [string, string[]];
      this.#remove(path, interfaces);
      return { type: 'removed', path, interfaces };
    }
    return undefined;
  }

  #applyProperties({ path = '', body }: Message): ObjectChange | undefined {
    const [name, changed, invalidated] = body as [string, ReadonlyMap<string, Variant>, readonly string[]];
    const properties = this.#objects.get(path)?.get(name);
    // Of an object that is not there, or not yet: what is read of it later has the change in it.
    if (properties === undefined) return undefined;
    const before = properties.size;
    for (const [property, variant] of changed) properties.set(property, variant);
    for (const property of invalidated) properties.delete(property);
    this.#count(properties.size - before);
    return { type: 'changed', path, interfaces: [name] };
  }
}

/**
 * Reads the objects below the ObjectManager at `path` of `destination` and follows their changes; resolves when all are there.
 * @param endpoint - a `Bus` or a `Connection`.
 * @throws as `call`; {DBusError} `invalid-option`
 */
export async function watchObjects(
  endpoint: Endpoint,
  destination: string | undefined,
  path: string,
  options: SubscriptionOptions & WaitOptions = {},
): Promise<ManagedObjects> {
  const objects = new ManagedObjects(endpoint, destination, path, options);
  try {
    await Promise.all([objects.changes.ready, objects.refresh(options)]);
    return objects;
  } catch (error) {
    await objects.close();
    throw error;
  }
}
