/**
 * An interface definition joined with what answers for it: handlers found and signatures looked at once, so that a call
 * costs a few look-ups in Maps, in which no name means anything but itself. Layer 8: imports lower layers only.
 */
import { DBusError } from '../base/errors.js';
import { marshal } from '../codec/marshal.js';
import type { EmitsChanged, InterfaceDefinition, PropertyDefinition } from '../interface/definition.js';
import type { Message } from '../message/message.js';
import { parseSignature } from '../types/signature.js';
import type { ObjectHost, ObjectRegistry, RegistryOptions } from './object-registry.js';

/** A method call as its handler sees it. */
export interface IncomingCall {
  /** The METHOD_CALL as it was received; `sender` is the caller's unique name on a bus. */
  readonly message: Message;
  /** Aborted when the connection ends: nobody waits for the result any more. */
  readonly signal: AbortSignal;
}

export interface Method {
  /** Signature of the arguments. */
  readonly in: string;
  /** Signature of the reply. */
  readonly out: string;
  /** Single complete types in `out`. */
  readonly outLength: number;
  readonly handle: (args: readonly unknown[], call: IncomingCall) => unknown;
}

export interface Property {
  readonly type: string;
  readonly emitsChanged: EmitsChanged;
  /** Undefined when the property cannot be read. */
  readonly get: (() => unknown) | undefined;
  /** Undefined when the property cannot be written. */
  readonly set: ((value: unknown, call: IncomingCall) => unknown) | undefined;
}

/** Handlers by member, not yet looked at. */
export interface UncheckedParts {
  readonly methods?: unknown;
  readonly properties?: unknown;
}

/** What answers for one interface. Made by `implement`; holds no state, and may be exported at many paths. */
export interface Implementation<Definition extends InterfaceDefinition = InterfaceDefinition> {
  readonly definition: Definition;
  /** @internal */
  readonly methods: ReadonlyMap<string, Method>;
  /** @internal */
  readonly properties: ReadonlyMap<string, Property>;
  /** Signatures by name. @internal */
  readonly signals: ReadonlyMap<string, string>;
  /**
   * Makes the registry that exports it. A connection takes it from the first implementation it is given, and so needs none
   * of this code where nothing is exported.
   * @internal
   */
  readonly createRegistry: (host: ObjectHost, options?: RegistryOptions) => ObjectRegistry;
}

/** An implementation without the way to the registry. */
export type Compiled = Omit<Implementation, 'createRegistry'>;

function missing(definition: InterfaceDefinition, member: string, what: string): DBusError {
  return new DBusError('missing-handler', `${definition.name}.${member} has no ${what}`);
}

/** The part for `name`: own, or of a class; what every object inherits is nobody's handler. */
function partOf(parts: unknown, name: string): unknown {
  if (typeof parts !== 'object' || parts === null) return undefined;
  for (let holder: object | null = parts; holder !== null && holder !== Object.prototype; ) {
    if (Object.hasOwn(holder, name) && (holder === parts || name !== 'constructor')) {
      return Reflect.get(holder, name, parts);
    }
    holder = Object.getPrototypeOf(holder) as object | null;
  }
  return undefined;
}

/** The two functions of a property that is not a constant. A Map is a value: its `get` and `set` are its own business. */
function accessorsOf(part: unknown): { get: Property['get']; set: Property['set'] } | undefined {
  if (typeof part !== 'object' || part === null || part instanceof Map) return undefined;
  const [get, set] = ['get', 'set'].map((name) => {
    const candidate: unknown = Reflect.get(part, name);
    if (typeof candidate !== 'function') return undefined;
    return (...args: unknown[]): unknown => Reflect.apply(candidate, part, args);
  });
  return get === undefined && set === undefined ? undefined : { get, set };
}

/** What is told as a constant is checked here, where its author sees it. */
function constant(type: string, value: unknown): { get: Property['get']; set: Property['set'] } {
  if (value === undefined) return { get: undefined, set: undefined };
  marshal(type, [value]);
  return { get: () => value, set: undefined };
}

function compileProperty(
  definition: InterfaceDefinition,
  name: string,
  { type, access, emitsChanged = 'true' }: PropertyDefinition,
  part: unknown,
): Property {
  const { get, set } = accessorsOf(part) ?? constant(type, part);
  if (access !== 'write' && get === undefined) throw missing(definition, name, 'getter');
  if (access !== 'read' && set === undefined) throw missing(definition, name, 'setter');
  return {
    type,
    emitsChanged,
    get: access === 'write' ? undefined : get,
    set: access === 'read' ? undefined : set,
  };
}

/**
 * Joins a definition that has been checked with its handlers.
 * @throws {DBusError} `missing-handler` when a method or property of the definition has none
 * @throws {MarshalError} when a constant is not of the type of its property
 */
export function compileInterface(definition: InterfaceDefinition, parts: UncheckedParts): Compiled {
  const methods = new Map<string, Method>();
  for (const [name, method] of Object.entries(definition.methods ?? {})) {
    const handler = partOf(parts.methods, name);
    if (typeof handler !== 'function') throw missing(definition, name, 'handler');
    const { in: input = '', out = '' } = method;
    methods.set(name, {
      in: input,
      out,
      outLength: parseSignature(out).length,
      handle: (args, call) => Reflect.apply(handler, parts.methods, [...args, call]) as unknown,
    });
  }
  const properties = new Map<string, Property>();
  for (const [name, property] of Object.entries(definition.properties ?? {})) {
    properties.set(name, compileProperty(definition, name, property, partOf(parts.properties, name)));
  }
  const signals = new Map<string, string>();
  for (const [name, { signature = '' }] of Object.entries(definition.signals ?? {}))
    signals.set(name, signature);
  return { definition, methods, properties, signals };
}
