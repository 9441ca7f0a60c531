/**
 * Introspection data to interface definitions (D-Bus specification, "Introspection Data Format").
 * Layer 4: imports lower layers only.
 *
 * What real services send is read leniently where it stays meaningful. The document must be well-formed and its outermost
 * element a `node`. Elements and attributes that the format does not have are passed over. An interface, member, annotation
 * or child that is not valid, not where it belongs, or there a second time, is left out and listed in `ignored`. A missing
 * direction is `in` for methods; signals have only one. Annotations of arguments, and what child nodes hold, are passed over.
 */
import { InvalidTextError } from '../base/errors.js';
import { isObjectPath } from '../types/names.js';
import {
  checkDefinition,
  checkMethod,
  checkProperty,
  checkSignal,
  EMITS_CHANGED,
  quoteName,
} from './check.js';
import type {
  InterfaceDefinition,
  Introspection,
  MethodDefinition,
  PropertyDefinition,
  SignalDefinition,
} from './definition.js';
import { invalidIntrospection, readXml, type XmlHandler } from './xml.js';

export { formatIntrospection } from './format-introspection.js';

/** A part of a document that was left out. */
export interface IgnoredPart {
  /** The interface it is or belongs to, `''` for one without a name; absent when it belongs to none. */
  readonly interface?: string;
  /** What it is, such as `method "Get"`. */
  readonly part: string;
  readonly reason: string;
  /** Where its element begins, in UTF-16 units. */
  readonly offset: number;
}

export interface ParsedIntrospection extends Introspection {
  readonly ignored: readonly IgnoredPart[];
}

type Attributes = ReadonlyMap<string, string>;

/** The elements of the format. */
const ELEMENTS: ReadonlySet<string> = new Set([
  'node',
  'interface',
  'method',
  'signal',
  'property',
  'arg',
  'annotation',
]);

/** The elements of one interface or member as they are read. */
interface Draft {
  readonly element: string;
  readonly name: string | undefined;
  readonly offset: number;
  readonly attributes: Attributes;
  readonly annotations: Record<string, string>;
  readonly args: Attributes[];
}

interface InterfaceDraft extends Draft {
  readonly methods: Record<string, MethodDefinition>;
  readonly signals: Record<string, SignalDefinition>;
  readonly properties: Record<string, PropertyDefinition>;
}

/** An object without a prototype, for names that a peer chose. */
function dictionary<Value>(): Record<string, Value> {
  return Object.create(null) as Record<string, Value>;
}

function draftOf(element: string, attributes: Attributes, offset: number): Draft {
  return { element, name: attributes.get('name'), offset, attributes, annotations: dictionary(), args: [] };
}

/** `{}` without entries, so that a definition has no empty parts. */
function unlessEmpty(key: string, entries: object): object {
  return Object.keys(entries).length === 0 ? {} : { [key]: entries };
}

/** The types of arguments as one signature, and their names when one has any. */
function signatureOf(args: readonly Attributes[], key: string, namesKey: string): object {
  if (args.length === 0) return {};
  const names = args.map((arg) => arg.get('name') ?? '');
  for (const arg of args) checkArgument(arg);
  return {
    [key]: args.map((arg) => arg.get('type')).join(''),
    ...(names.some((name) => name !== '') ? { [namesKey]: names } : {}),
  };
}

/** Each argument by itself: `a` and `s` would else make one together. */
function checkArgument(arg: Attributes): void {
  checkProperty('Argument', { type: arg.get('type'), access: 'read' }, 'argument');
}

function methodOf({ args, annotations }: Draft): object {
  const directed = (direction: string): readonly Attributes[] =>
    args.filter((arg) => (arg.get('direction') ?? 'in') === direction);
  const ins = directed('in');
  const outs = directed('out');
  if (ins.length + outs.length !== args.length) {
    throw new InvalidTextError('invalid-interface', 'a direction that is neither in nor out', 0);
  }
  return {
    ...signatureOf(ins, 'in', 'inNames'),
    ...signatureOf(outs, 'out', 'outNames'),
    ...unlessEmpty('annotations', annotations),
  };
}

function signalOf({ args, annotations }: Draft): object {
  return { ...signatureOf(args, 'signature', 'names'), ...unlessEmpty('annotations', annotations) };
}

/** Makes definitions of the elements of one document. */
class IntrospectionBuilder implements XmlHandler {
  readonly interfaces = new Map<string, InterfaceDefinition>();
  readonly children = new Set<string>();
  readonly ignored: IgnoredPart[] = [];
  /** Open elements that mean something; `#skipped` counts those open in one that does not. */
  readonly #open: Draft[] = [];
  #skipped = 0;
  #interface: InterfaceDraft | undefined;

  open(element: string, attributes: Attributes, offset: number): void {
    const parent = this.#open.at(-1);
    if (parent === undefined && element !== 'node') {
      throw invalidIntrospection('the outermost element is not a node', offset);
    }
    if (this.#skipped > 0 || !this.#begin(parent, element, attributes, offset)) this.#skipped++;
  }

  /** @returns false when the element and all in it is to be passed over. */
  #begin(parent: Draft | undefined, element: string, attributes: Attributes, offset: number): boolean {
    const draft = draftOf(element, attributes, offset);
    const within = parent?.element;
    const isMember = within === 'method' || within === 'signal' || within === 'property';
    if (parent !== undefined && element === 'annotation' && (isMember || within === 'interface')) {
      this.#annotate(parent, draft);
      return false;
    }
    if (parent !== undefined && element === 'arg' && isMember && within !== 'property') {
      parent.args.push(attributes);
      return false;
    }
    if (within === 'node' && element === 'node') {
      this.#addChild(draft);
      return false;
    }
    if (within === 'node' && element === 'interface') {
      this.#interface = { ...draft, methods: dictionary(), signals: dictionary(), properties: dictionary() };
      this.#open.push(this.#interface);
      return true;
    }
    const begins =
      within === undefined ||
      (within === 'interface' && (element === 'method' || element === 'signal' || element === 'property'));
    if (begins) this.#open.push(draft);
    else if (ELEMENTS.has(element)) this.#ignore(draft, 'not where it belongs');
    return begins;
  }

  close(): void {
    if (this.#skipped > 0) {
      this.#skipped--;
      return;
    }
    const draft = this.#open.pop();
    if (draft === undefined) return;
    try {
      this.#end(draft);
    } catch (error) {
      if (!(error instanceof InvalidTextError)) throw error;
      this.#ignore(draft, error.message);
    }
    if (draft === this.#interface) this.#interface = undefined;
  }

  #end(draft: Draft): void {
    const owner = this.#interface;
    if (owner === undefined) return;
    const name = draft.name ?? '';
    switch (draft.element) {
      case 'method':
        this.#add(owner.methods, draft, () => checkMethod(name, methodOf(draft), 'method'));
        break;
      case 'signal':
        this.#add(owner.signals, draft, () => checkSignal(name, signalOf(draft), 'signal'));
        break;
      case 'property':
        this.#add(owner.properties, draft, () => checkProperty(name, this.#propertyOf(draft), 'property'));
        break;
      default:
        this.#endInterface(owner);
    }
  }

  #add<Member>(members: Record<string, Member>, draft: Draft, check: () => Member): void {
    const member = check();
    const name = draft.name as string;
    if (name in members) this.#ignore(draft, 'there is one of this name already');
    else members[name] = member;
  }

  #propertyOf(draft: Draft): object {
    const { [EMITS_CHANGED]: emitsChanged, ...annotations } = draft.annotations;
    return {
      type: draft.attributes.get('type'),
      access: draft.attributes.get('access'),
      emitsChanged: this.#emitsChanged(draft, emitsChanged),
      ...unlessEmpty('annotations', annotations),
    };
  }

  /** A value that nobody knows counts as `false`, with which a reader relies on no signal. */
  #emitsChanged(draft: Draft, value: string | undefined): string | undefined {
    if (value === undefined || ['true', 'invalidates', 'const', 'false'].includes(value)) return value;
    this.#ignore(draft, `${EMITS_CHANGED} is ${quoteName(value)}, taken for false`);
    return 'false';
  }

  #endInterface(draft: InterfaceDraft): void {
    const { [EMITS_CHANGED]: ofAll, ...annotations } = draft.annotations;
    const emitsChanged = this.#emitsChanged(draft, ofAll);
    const { methods, signals } = draft;
    const properties = dictionary<PropertyDefinition>();
    for (const [name, property] of Object.entries(draft.properties)) {
      properties[name] =
        emitsChanged === undefined ? property : ({ emitsChanged, ...property } as PropertyDefinition);
    }
    const definition = checkDefinition({
      name: draft.name,
      ...unlessEmpty('methods', methods),
      ...unlessEmpty('signals', signals),
      ...unlessEmpty('properties', properties),
      ...unlessEmpty('annotations', annotations),
    });
    if (this.interfaces.has(definition.name)) this.#ignore(draft, 'there is one of this name already');
    else this.interfaces.set(definition.name, definition);
  }

  #annotate(parent: Draft, { attributes, offset, name = '' }: Draft): void {
    const value = attributes.get('value');
    const wrong =
      name === '' || value === undefined
        ? 'an annotation needs a name and a value'
        : name in parent.annotations && 'there is one of this name already';
    if (wrong === false) parent.annotations[name] = value as string;
    else this.#ignore({ element: 'annotation', name, offset }, wrong);
  }

  #addChild(draft: Draft): void {
    const name = draft.name ?? '';
    if (name === '' || !isObjectPath(`/${name}`)) this.#ignore(draft, 'not a path from the object');
    else if (this.children.has(name)) this.#ignore(draft, 'there is one of this name already');
    else this.children.add(name);
  }

  #ignore({ element, name, offset }: Pick<Draft, 'element' | 'name' | 'offset'>, reason: string): void {
    const owner = this.#interface && (this.#interface.name ?? '');
    const part = name === undefined ? `${element} without a name` : `${element} ${quoteName(name)}`;
    this.ignored.push({ ...(owner === undefined ? {} : { interface: owner }), part, reason, offset });
  }
}

/**
 * Parses introspection data. The definitions are checked and frozen as those of `defineInterface` are. Properties whose
 * EmitsChangedSignal is given, on them or on the whole interface, have it as `emitsChanged`.
 * @throws {InvalidTextError} `invalid-introspection` when the document is not well-formed, not introspection data, or larger
 * than the limits
 */
export function parseIntrospection(xml: string): ParsedIntrospection {
  const builder = new IntrospectionBuilder();
  readXml(xml, builder);
  const { interfaces, children, ignored } = builder;
  return { interfaces: [...interfaces.values()], children: [...children], ignored };
}
