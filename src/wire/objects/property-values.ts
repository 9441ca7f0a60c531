/**
 * Values of exported properties, read from their getters (D-Bus specification, "org.freedesktop.DBus.Properties").
 * Layer 8: imports lower layers only.
 */
import { marshal } from '../codec/marshal.js';
import { Variant } from '../codec/variant.js';
import type { Property } from './implementation.js';
import type { ExportedInterface } from './object-tree.js';

/** Where something of ours went wrong. */
export interface ErrorPlace {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
}

/** Takes what a handler, getter or setter did wrong; never throws. */
export type Report = (error: unknown, place: ErrorPlace) => void;

/** Whether `value` is to be waited for. What reading its `then` throws is thrown. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, 'then') === 'function';
}

/** Calls `use` at once when nothing has to be waited for, else when all is there. None of `items` may reject. */
export function whenAll<Item, Result>(
  items: readonly (Item | PromiseLike<Item>)[],
  use: (items: Item[]) => Result,
): Result | Promise<Result> {
  return items.some(isThenable) ? Promise.all(items).then(use) : use(items as Item[]);
}

/** Checked one by one, so that a wrong value costs its own property and not the whole reply. @throws {MarshalError} */
function checked({ type }: Property, value: unknown): Variant {
  marshal(type, [value]);
  return new Variant(type, value);
}

/** The value of a property that can be read. @throws what its getter throws, or {MarshalError} */
export function readProperty(property: Property): Variant | Promise<Variant> {
  const value = property.get?.();
  return isThenable(value)
    ? Promise.resolve(value).then((later) => checked(property, later))
    : checked(property, value);
}

type Entry = readonly [member: string, value: Variant];

/**
 * The values of those properties of `exported` that can be read, in the order of the definition; there at once when no getter
 * has to be waited for. One whose getter fails is left out, as GDBus does and as the specification asks for what the caller
 * may not see: with the whole reply failing, as in sd-bus, one broken property would hide all the others.
 * @param wanted - default all.
 */
export function readProperties(
  path: string,
  exported: ExportedInterface,
  report: Report,
  wanted?: ReadonlySet<string>,
): Map<string, Variant> | Promise<Map<string, Variant>> {
  const { definition, properties } = exported.implementation;
  const reading: (Entry | undefined | Promise<Entry | undefined>)[] = [];
  for (const [member, property] of properties) {
    if (property.get === undefined || wanted?.has(member) === false) continue;
    const failed = (error: unknown): undefined => {
      report(error, { path, interface: definition.name, member });
    };
    try {
      const value = readProperty(property);
      reading.push(
        value instanceof Promise
          ? value.then((later): Entry => [member, later]).catch(failed)
          : [member, value],
      );
    } catch (error) {
      failed(error);
    }
  }
  return whenAll(reading, (entries) => new Map(entries.filter((entry) => entry !== undefined)));
}
