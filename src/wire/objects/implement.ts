/**
 * Joins an interface definition with what answers for it; the types of handlers follow from the definition.
 * Layer 8: imports lower layers only.
 */
import { DBusError } from '../base/errors.js';
import { checkDefinition } from '../interface/check.js';
import type { CheckedDefinition } from '../interface/define-interface.js';
import type { InterfaceDefinition } from '../interface/definition.js';
import type {
  MethodHandlers,
  MethodName,
  PropertyArgument,
  PropertyName,
  PropertyValue,
  ReadableName,
  WritableName,
} from '../interface/typed.js';
import { STANDARD_INTERFACES } from '../types/standard-names.js';
import { compileInterface, type Implementation, type IncomingCall } from './implementation.js';
import { type ObjectHost, ObjectRegistry, type RegistryOptions } from './object-registry.js';
import { OBJECT_MANAGER_DEFINITION } from './standard-interfaces.js';

interface Getter<Value> {
  /** Gives the value, now or later. */
  readonly get: () => Value | PromiseLike<Value>;
}

interface Setter<Value> {
  /** Takes a value of the right type; the caller gets its reply when this has ended. */
  readonly set: (value: Value, call: IncomingCall) => unknown;
}

/** What answers for one property: its functions, or for one that is only read the value itself. */
type PropertyPart<D extends InterfaceDefinition, P extends PropertyName<D>> = string extends P
  ? unknown
  : P extends ReadableName<D>
    ? P extends WritableName<D>
      ? Getter<PropertyArgument<D, P>> & Setter<PropertyValue<D, P>>
      : Getter<PropertyArgument<D, P>> | PropertyArgument<D, P>
    : Setter<PropertyValue<D, P>>;

type PropertyParts<D extends InterfaceDefinition> = { readonly [P in PropertyName<D>]: PropertyPart<D, P> };

/** `Key` with `Parts`, which may be left out when no names are known that must be in them. */
type Part<Key extends string, Names extends string, Parts> = [Names] extends [never]
  ? { readonly [K in Key]?: Readonly<Record<string, never>> }
  : string extends Names
    ? { readonly [K in Key]?: Parts }
    : { readonly [K in Key]: Parts };

/** Handlers for every method, and a part for every property. */
export type ImplementationParts<D extends InterfaceDefinition> = Part<
  'methods',
  MethodName<D>,
  MethodHandlers<D, IncomingCall>
> &
  Part<'properties', PropertyName<D>, PropertyParts<D>>;

function createRegistry(host: ObjectHost, options?: RegistryOptions): ObjectRegistry {
  return new ObjectRegistry(host, options);
}

/**
 * Says what answers for an interface. A method's handler gets the arguments, then an `IncomingCall`, and returns the result,
 * now or later: nothing, a value, or a tuple of several, as the definition has it. A `MethodError` it throws is the ERROR
 * that its caller gets. A property has `get`, `set` or both, or is a value that never changes.
 * @param definition - a literal, or one from `defineInterface`.
 * @param parts - handlers may be methods of an object with a class; they are called on it.
 * @throws {InvalidTextError} when the definition is not valid
 * @throws {DBusError} `missing-handler`, or `reserved-interface` for one that every object has by itself
 * @throws {MarshalError} when a constant is not of the type of its property
 */
export function implement<const Definition extends InterfaceDefinition>(
  definition: Definition & CheckedDefinition<Definition>,
  parts: ImplementationParts<Definition>,
): Implementation<Definition> {
  const checked = checkDefinition(definition);
  if (STANDARD_INTERFACES.has(checked.name)) {
    throw new DBusError('reserved-interface', `${checked.name} is answered for every object`);
  }
  return {
    ...compileInterface(checked, parts),
    definition: checked as Definition,
    createRegistry,
  };
}

/** The interface `org.freedesktop.DBus.ObjectManager`, to be exported at a path that is to list the objects below it. */
export const objectManager: Implementation<typeof OBJECT_MANAGER_DEFINITION> = {
  definition: OBJECT_MANAGER_DEFINITION,
  // The registry answers for it: only there it is known what is below.
  methods: new Map(),
  properties: new Map(),
  signals: new Map(),
  createRegistry,
};
