/**
 * Interface definitions as users give them: literals, whose types are kept, and introspection data. Layer 4: imports lower
 * layers only.
 */
import { InvalidTextError } from '../base/errors.js';
import type { CheckedSignature, InvalidSignature, SingleValueOf } from '../types/infer.js';
import { STANDARD_INTERFACES } from '../types/standard-names.js';
import { checkDefinition, quoteName } from './check.js';
import type {
  InterfaceDefinition,
  MethodDefinition,
  PropertyDefinition,
  SignalDefinition,
} from './definition.js';
import { parseIntrospection } from './introspection.js';
import { invalidIntrospection } from './xml.js';

declare const known: unique symbol;

/** Stands where a definition has a field that there is not. */
interface NoSuchField<Known extends string> {
  readonly [known]: Known;
}

type Checked<Text> = Text extends string ? CheckedSignature<Text> : Text;

type CheckedSingle<Text> = Text extends string
  ? SingleValueOf<Text> extends infer Only extends InvalidSignature<string>
    ? Only
    : Text
  : Text;

type CheckedMembers<Members, Known> = {
  readonly [M in keyof Members]: {
    readonly [K in keyof Members[M]]: K extends keyof Known
      ? K extends 'in' | 'out' | 'signature'
        ? Checked<Members[M][K]>
        : K extends 'type'
          ? CheckedSingle<Members[M][K]>
          : Members[M][K]
      : NoSuchField<keyof Known & string>;
  };
};

/** The definition itself where it is valid; what nothing fits, and says why, where it is not. */
export type CheckedDefinition<D> = {
  readonly [K in keyof D]: K extends 'methods'
    ? CheckedMembers<D[K], MethodDefinition>
    : K extends 'signals'
      ? CheckedMembers<D[K], SignalDefinition>
      : K extends 'properties'
        ? CheckedMembers<D[K], PropertyDefinition>
        : K extends keyof InterfaceDefinition
          ? D[K]
          : NoSuchField<keyof InterfaceDefinition>;
};

/** The interface that a document is about, of which nothing may have been left out. */
function interfaceOf(xml: string, name: string | undefined): InterfaceDefinition {
  const { interfaces, ignored } = parseIntrospection(xml);
  const candidates =
    name === undefined
      ? interfaces.filter((one) => !STANDARD_INTERFACES.has(one.name))
      : interfaces.filter((one) => one.name === name);
  const fault = ignored.find(({ interface: owner }) =>
    name === undefined ? owner !== undefined && !STANDARD_INTERFACES.has(owner) : owner === name,
  );
  if (fault !== undefined) throw invalidIntrospection(`${fault.part}: ${fault.reason}`, fault.offset);
  const [only] = candidates;
  if (only === undefined) {
    throw invalidIntrospection(name === undefined ? 'no interface' : `no interface ${quoteName(name)}`, 0);
  }
  if (candidates.length > 1) {
    throw invalidIntrospection(`${candidates.length} interfaces, and no name that says which`, 0);
  }
  return only;
}

/**
 * Defines an interface by introspection data: the one named `interfaceName`, or else the only one beside the standard
 * interfaces of `org.freedesktop.DBus`. Unlike `parseIntrospection` it leaves out no part that is invalid.
 * @throws {InvalidTextError} `invalid-introspection`, with the `offset` of the element at fault
 */
export function defineInterface(xml: string, interfaceName?: string): InterfaceDefinition;
/**
 * Defines an interface by a literal: the result is a checked, frozen copy that keeps the literal types, so that the types of
 * arguments and results follow from its signatures. No `as const` is needed.
 * @throws {InvalidTextError} `invalid-interface`; the message tells where, `offset` the character of the text there
 */
export function defineInterface<const D extends InterfaceDefinition>(definition: D & CheckedDefinition<D>): D;
export function defineInterface(
  definition: string | InterfaceDefinition,
  interfaceName?: string,
): InterfaceDefinition {
  if (typeof definition === 'string') return interfaceOf(definition, interfaceName);
  if (interfaceName === undefined) return checkDefinition(definition);
  throw new InvalidTextError('invalid-interface', 'a name is only for introspection data', 0);
}
