/**
 * Schemas: which attributes the items of one kind have, and of which types.
 *
 * libsecret's way to keep the items of programs apart: the schema's name is the attribute `xdg:schema`, whole numbers are
 * written in decimal digits, and truth values as `true` and `false`. What is stored with a schema here, libsecret finds with
 * the same schema, and the other way round.
 */

import { type Attributes, readAttributes } from './attributes.js';
import { SecretServiceError } from './errors.js';
import { SCHEMA_ATTRIBUTE } from './names.js';

/** The type of an attribute. `integer` is a safe integer. */
export type SchemaType = 'string' | 'integer' | 'boolean';

/** The attributes of a schema, by name. */
export type SchemaFields = Readonly<Record<string, SchemaType>>;

interface Values {
  string: string;
  integer: number;
  boolean: boolean;
}

/** Values for some or all attributes of a schema. */
export type SchemaValues<Fields extends SchemaFields> = {
  readonly [Name in keyof Fields]?: Values[Fields[Name]] | undefined;
};

/** A schema, made by {@link defineSchema}. */
export interface Schema<Fields extends SchemaFields = SchemaFields> {
  /** What the attribute `xdg:schema` says. */
  readonly name: string;
  readonly fields: Fields;
  /**
   * The attributes for `values`, to store an item with or to search by; values that are not given are left out.
   * @throws {SecretServiceError} `bad-argument` for a name that the schema does not have, or a value of another type
   */
  attributes(values?: SchemaValues<Fields>): Map<string, string>;
  /**
   * The values in an item's attributes. Attributes that the schema does not have are left out: services add some.
   * @throws {SecretServiceError} `schema` if they are of another schema, or a value is not of its type
   */
  parse(attributes: Attributes): SchemaValues<Fields>;
}

const TYPES: ReadonlySet<unknown> = new Set<SchemaType>(['string', 'integer', 'boolean']);

/**
 * Defines a schema.
 * @param name - Such as `org.example.Password`.
 * @throws {SecretServiceError} `bad-argument`
 */
export function defineSchema<const Fields extends SchemaFields>(
  name: string,
  fields: Fields,
): Schema<Fields> {
  if (typeof name !== 'string' || name === '') {
    throw new SecretServiceError('bad-argument', 'a schema needs a name');
  }
  const types = readAttributes(fields);
  for (const [field, type] of types) {
    if (!TYPES.has(type) || field === SCHEMA_ATTRIBUTE) {
      throw new SecretServiceError('bad-argument', `the schema's attribute '${field}' cannot be`);
    }
  }
  return Object.freeze({
    name,
    fields,
    attributes: (values: SchemaValues<Fields> = {}) => formatValues(name, types, values),
    parse: (attributes: Attributes) => parseValues(name, types, attributes) as SchemaValues<Fields>,
  });
}

function formatValues(
  name: string,
  types: ReadonlyMap<string, string>,
  values: Readonly<Record<string, unknown>>,
): Map<string, string> {
  if (typeof values !== 'object' || values === null) {
    throw new SecretServiceError('bad-argument', 'the values must be an object');
  }
  const attributes = new Map([[SCHEMA_ATTRIBUTE, name]]);
  for (const [field, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const type = types.get(field);
    const text = formatValue(value, type);
    if (text === undefined) {
      throw new SecretServiceError('bad-argument', `'${field}' is no ${type ?? 'attribute'} of ${name}`);
    }
    attributes.set(field, text);
  }
  return attributes;
}

/** Undefined for a value that is not of the type. */
function formatValue(value: unknown, type: string | undefined): string | undefined {
  if (type === 'string') return typeof value === 'string' ? value : undefined;
  if (type === 'boolean') return typeof value === 'boolean' ? `${value}` : undefined;
  if (type !== 'integer' || typeof value !== 'number') return undefined;
  return Number.isSafeInteger(value) ? `${value}` : undefined;
}

function parseValues(
  name: string,
  types: ReadonlyMap<string, string>,
  attributes: Attributes,
): Record<string, unknown> {
  const read = readAttributes(attributes);
  if (read.get(SCHEMA_ATTRIBUTE) !== name) {
    throw new SecretServiceError('schema', `the attributes are not of the schema ${name}`);
  }
  const values: [string, unknown][] = [];
  for (const [field, type] of types) {
    const text = read.get(field);
    if (text === undefined) continue;
    const value = parseValue(text, type);
    if (value === undefined) throw new SecretServiceError('schema', `'${field}' is no ${type}`);
    values.push([field, value]);
  }
  return Object.fromEntries(values);
}

function parseValue(text: string, type: string): unknown {
  if (type === 'string') return text;
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : undefined;
  // -0 is 0: what is stored for both is the same.
  const value = /^-?\d+$/.test(text) ? Number(text) + 0 : Number.NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}
