/** What the mock of a service has in it: collections and items, and what is told when they change. */
import { Variant } from '../../../src/wire/index.js';
import { MockBus } from './mock-bus.js';
import { type Quirks, REFERENCE } from './quirks.js';
import type { Signal } from './scripted-bus.js';

export const LOGIN = '/org/freedesktop/secrets/collection/login';
export const OTHER = '/org/freedesktop/secrets/collection/other';
export const SERVICE = '/org/freedesktop/secrets';

/** An item as the mock keeps it. */
export interface MockItem {
  label: string;
  attributes: Map<string, string>;
  value: Buffer;
  contentType: string;
  isLocked: boolean;
}

export interface MockCollection {
  label: string;
  isLocked: boolean;
  /** Of GNOME Keyring's own interface. */
  password?: string;
}

/** Two collections, `login` and `other`, and no items. */
export class MockObjects {
  readonly quirks: Quirks;
  readonly bus: MockBus;
  readonly items = new Map<string, MockItem>();
  readonly collections = new Map<string, MockCollection>();
  /** When each object was made and changed. */
  readonly times = new Map<string, { created: bigint; modified: bigint }>();
  #count = 0;
  #seconds = 0;

  constructor(quirks: Partial<Quirks>) {
    this.quirks = { ...REFERENCE, ...quirks };
    this.bus = new MockBus(() => this.start(), this.quirks.isActivatable);
    for (const path of [LOGIN, OTHER]) {
      this.collections.set(path, { label: path, isLocked: false });
      this.#touch(path, true);
    }
  }

  start(): void {
    if (this.bus.owner === undefined) this.bus.setOwner(this.bus.nextName());
  }

  add(
    attributes: Record<string, string>,
    value: string | Uint8Array,
    { collection = LOGIN, isLocked = false, contentType = 'text/plain' } = {},
  ): string {
    const path = `${collection}/${++this.#count}`;
    const label = `label ${this.#count}`;
    const bytes = Buffer.from(value as Uint8Array);
    this.items.set(path, {
      label,
      attributes: new Map(Object.entries(attributes)),
      value: bytes,
      contentType,
      isLocked: isLocked && this.quirks.lockedFound !== 'never locked',
    });
    this.#touch(path, true);
    this.#tell(path, 'ItemCreated');
    return path;
  }

  /** The item that a test knows to be there. */
  item(path: string): MockItem {
    const item = this.items.get(path);
    if (item === undefined) throw new Error(`the mock has no item ${path}`);
    return item;
  }

  /** Deletes an item or a collection, as another program does. */
  remove(path: string): void {
    if (this.items.delete(path)) this.#tell(path, 'ItemDeleted');
    if (!this.collections.delete(path)) return;
    for (const item of this.items.keys()) if (item.startsWith(`${path}/`)) this.items.delete(item);
    this.#tell(path, 'CollectionDeleted');
  }

  addCollection(label: string): string {
    const path = `${SERVICE}/collection/c${++this.#count}`;
    this.collections.set(path, { label, isLocked: false });
    this.#touch(path, true);
    this.#tell(path, 'CollectionCreated');
    return path;
  }

  /** Gives a collection a password, for the interface of GNOME Keyring's own. */
  setPassword(path: string, password: string): void {
    Object.assign(this.collections.get(path) ?? {}, { password });
  }

  /** Locks or unlocks an object, and what is in it. */
  setLocked(path: string, isLocked: boolean): void {
    if (this.quirks.lockedFound === 'never locked') return;
    const collection = this.collections.get(path);
    if (collection !== undefined) collection.isLocked = isLocked;
    for (const [inside, item] of this.items) {
      if (inside === path || inside.startsWith(`${path}/`)) item.isLocked = isLocked;
    }
    this.changed(path);
  }

  protected propertiesOf(path: string): Record<string, Variant> | undefined {
    if (path === SERVICE) return { Collections: new Variant('ao', [...this.collections.keys()]) };
    const item = this.items.get(path);
    const collection = this.collections.get(path);
    const { created = 0n, modified = 0n } = this.times.get(path) ?? {};
    if (item === undefined && collection === undefined) return undefined;
    const { label = '', isLocked = false } = item ?? collection ?? {};
    // What hides the items of a locked collection shows nothing else of it either.
    const isShown = item !== undefined || !isLocked || this.quirks.lockedItems === 'shown';
    return {
      Label: new Variant('s', label),
      Locked: new Variant('b', isLocked),
      ...(isShown && { Created: new Variant('t', created), Modified: new Variant('t', modified) }),
      ...(item === undefined
        ? {
            Items: new Variant('ao', this.#itemsIn(path, isLocked)),
          }
        : { Attributes: new Variant('a{ss}', item.attributes) }),
    };
  }

  #itemsIn(path: string, isLocked: boolean): string[] {
    if (isLocked && this.quirks.lockedItems === 'hidden') return [];
    return [...this.items.keys()].filter((inside) => inside.startsWith(`${path}/`));
  }

  protected setProperty(path: string, name: string, value: unknown): void {
    const item = this.items.get(path);
    const object = item ?? this.collections.get(path);
    if (name === 'Label' && object !== undefined) object.label = value as string;
    if (name === 'Attributes' && item !== undefined) item.attributes = value as Map<string, string>;
    this.changed(path);
  }

  /** Notes that an object has changed, and tells it. */
  protected changed(path: string): void {
    this.#touch(path, false);
    this.#tell(path, this.items.has(path) ? 'ItemChanged' : 'CollectionChanged');
  }

  protected matches(path: string, wanted: unknown): boolean {
    const { attributes } = this.item(path);
    return [...(wanted as Map<string, string>)].every(([name, value]) => attributes.get(name) === value);
  }

  #touch(path: string, isNew: boolean): void {
    const { modified: kind } = this.quirks;
    const isZero = kind === 'zero' || (kind === 'zero for collections' && this.collections.has(path));
    const now = 1_700_000_000n + BigInt(++this.#seconds);
    const created = isNew ? now : (this.times.get(path)?.created ?? now);
    this.times.set(path, { created, modified: isZero ? 0n : now });
  }

  /** Tells of a change as the specification says. */
  #tell(path: string, member: string): void {
    const { owner } = this.bus;
    if (owner === undefined) return;
    const isItem = member.startsWith('Item');
    const signal: Signal = {
      sender: owner,
      path: isItem ? path.slice(0, path.lastIndexOf('/')) : SERVICE,
      interface: `org.freedesktop.Secret.${isItem ? 'Collection' : 'Service'}`,
      member,
      signature: 'o',
      body: [path],
    };
    this.bus.emit(signal);
  }
}
