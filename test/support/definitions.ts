/** Random interface definitions, for property tests of introspection data. */
import fc from 'fast-check';
import type {
  Annotations,
  InterfaceDefinition,
  MethodDefinition,
  PropertyDefinition,
  SignalDefinition,
} from '../../src/wire/interface/definition.js';
import { parseSignature } from '../../src/wire/types/signature.js';
import { signature } from './arbitraries.js';

const word = fc
  .tuple(
    fc.constantFrom(...'abzAZ_'.split('')),
    fc.string({ unit: fc.constantFrom(...'abzAZ_09'.split('')), maxLength: 8 }),
  )
  .map((parts) => parts.join(''));

/** Names that mean something to JavaScript among the others. */
const memberName = fc.oneof(
  { weight: 9, arbitrary: word },
  { weight: 1, arbitrary: fc.constantFrom('__proto__', 'constructor', 'then', 'toString', 'hasOwnProperty') },
);

const interfaceName = fc.array(word, { minLength: 2, maxLength: 4 }).map((elements) => elements.join('.'));

// oxlint-disable-next-line no-control-regex
const ILLEGAL = /[\0-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

/** Any text that XML can hold, with what needs escaping more often than elsewhere. */
export const xmlText: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '&',
        '<',
        '>',
        '"',
        "'",
        '\n',
        '\r',
        '\t',
        ' ',
        ']]>',
        '--',
        '&amp;',
        '\u2028',
        '\u0085',
        '\n<',
      ),
      fc.string({ unit: 'binary', maxLength: 3 }),
    ),
    { maxLength: 6 },
  )
  .map((parts) => parts.join('').replaceAll(ILLEGAL, '').toWellFormed());

const annotations: fc.Arbitrary<Annotations> = fc.dictionary(
  fc.oneof(
    interfaceName,
    xmlText.filter((name) => name !== ''),
    fc.constantFrom('org.freedesktop.DBus.Deprecated', 'org.freedesktop.DBus.Method.NoReply', '__proto__'),
  ),
  xmlText,
  { minKeys: 1, maxKeys: 3 },
);

/** A signature, and at times a name for each of its types, at least one of them not empty. */
function typesAndNames<Key extends string, NamesKey extends string>(
  key: Key,
  namesKey: NamesKey,
): fc.Arbitrary<Partial<Record<Key, string> & Record<NamesKey, string[]>>> {
  return signature.chain((types) => {
    const { length } = parseSignature(types);
    const fields = length === 0 ? {} : { [key]: types };
    const names = fc
      .array(fc.oneof(word, xmlText), { minLength: length, maxLength: length })
      .map((list) => (list.some((name) => name !== '') ? { [namesKey]: list } : {}));
    return fc.oneof(fc.constant({}), names).map((named) => Object.assign({}, fields, named) as never);
  });
}

/** A part that is there in half of the cases. */
function maybe<Key extends string, Value>(
  key: Key,
  value: fc.Arbitrary<Value>,
): fc.Arbitrary<Partial<Record<Key, Value>>> {
  return fc.oneof(
    fc.constant({} as Partial<Record<Key, Value>>),
    value.map((present) => ({ [key]: present }) as Partial<Record<Key, Value>>),
  );
}

const method: fc.Arbitrary<MethodDefinition> = fc
  .tuple(typesAndNames('in', 'inNames'), typesAndNames('out', 'outNames'), maybe('annotations', annotations))
  .map((parts) => Object.assign({}, ...parts) as MethodDefinition);

const signal: fc.Arbitrary<SignalDefinition> = fc
  .tuple(typesAndNames('signature', 'names'), maybe('annotations', annotations))
  .map((parts) => Object.assign({}, ...parts) as SignalDefinition);

const property: fc.Arbitrary<PropertyDefinition> = fc
  .tuple(
    signature.filter((types) => types !== '').map((types) => parseSignature(types)[0]?.signature as string),
    fc.constantFrom('read', 'write', 'readwrite'),
    maybe('emitsChanged', fc.constantFrom('true', 'invalidates', 'const', 'false')),
    maybe('annotations', annotations),
  )
  .map(([type, access, ...rest]) => Object.assign({ type, access }, ...rest) as PropertyDefinition);

function members<Member>(member: fc.Arbitrary<Member>): fc.Arbitrary<Record<string, Member>> {
  return fc.dictionary(memberName, member, { minKeys: 1, maxKeys: 3, noNullPrototype: false });
}

/** Definitions without empty parts, as they are parsed. */
export const definition: fc.Arbitrary<InterfaceDefinition> = fc
  .tuple(
    interfaceName,
    maybe('methods', members(method)),
    maybe('signals', members(signal)),
    maybe('properties', members(property)),
    maybe('annotations', annotations),
  )
  .map(([name, ...rest]) => Object.assign({ name }, ...rest) as InterfaceDefinition);

const childName = fc
  .array(fc.string({ unit: fc.constantFrom(...'abAZ_09'.split('')), minLength: 1, maxLength: 6 }), {
    minLength: 1,
    maxLength: 3,
  })
  .map((elements) => elements.join('/'));

/** What an object has, each name once. */
export const introspection: fc.Arbitrary<{ interfaces: InterfaceDefinition[]; children: string[] }> =
  fc.record({
    interfaces: fc.uniqueArray(definition, { selector: (one) => one.name, maxLength: 3 }),
    children: fc.uniqueArray(childName, { maxLength: 4 }),
  });
