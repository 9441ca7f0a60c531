/**
 * Match rules: which messages a client of a bus wants (D-Bus specification, "Match Rules"). How their text is quoted is in
 * `rule-text.ts`. Layer 4: imports lower layers only.
 */
import { MAX_MATCH_ARGUMENT, MAX_MATCH_RULE_BYTE_LENGTH } from '../base/limits.js';
import { utf8ByteLength } from '../base/utf8.js';
import { type Message, MessageType } from '../message/message.js';
import { isBusName, isInterfaceName, isMemberName, isObjectPath } from '../types/names.js';
import { parseSignature } from '../types/signature.js';
import { invalidRule, quoteValue, type RulePair, readPairs } from './rule-text.js';

/** Types of message, as match rules spell them. */
export type MatchRuleType = 'method_call' | 'method_return' | 'error' | 'signal';

/** Texts by the index of an argument, 0 to 63. */
export type ArgumentTexts = Readonly<Record<number, string>> | ReadonlyMap<number, string>;

/** What a message must have in order to match: all that is given. What is not given may be anything. */
export interface MatchRuleFields {
  readonly type?: MatchRuleType | undefined;
  /** A bus name. */
  readonly sender?: string | undefined;
  readonly interface?: string | undefined;
  readonly member?: string | undefined;
  /** Exactly this object path; not together with `pathNamespace`. */
  readonly path?: string | undefined;
  /** This object path and all below it. */
  readonly pathNamespace?: string | undefined;
  /** A bus name. A broadcast has no destination, and then never matches. */
  readonly destination?: string | undefined;
  /** What arguments of type STRING must be. */
  readonly args?: ArgumentTexts | undefined;
  /** Arguments of type STRING or OBJECT_PATH must be this, or end with `/` and begin it, or begin with it where it ends with `/`. */
  readonly argPaths?: ArgumentTexts | undefined;
  /** A bus name, or its first elements: the first argument must be of type STRING, and be this or begin with this and a dot. */
  readonly arg0Namespace?: string | undefined;
  /** Asks the bus for messages to others too. `matches` takes no notice of it. */
  readonly eavesdrop?: boolean | undefined;
}

const TYPES: Readonly<Record<string, number>> = {
  method_call: MessageType.methodCall,
  method_return: MessageType.methodReturn,
  error: MessageType.error,
  signal: MessageType.signal,
};

/** Unlike a whole name, a namespace may have one element only. */
function isNamespace(text: string): boolean {
  return isBusName(text) || /^[A-Za-z_-][\w-]{0,254}$/.test(text);
}

/** Text that a message can carry. */
function isText(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

/** Keys of text, with their fields and what is a value of them, in canonical order. */
const TEXT_KEYS = [
  ['type', 'type', (text: string) => Object.hasOwn(TYPES, text)],
  ['sender', 'sender', isBusName],
  ['interface', 'interface', isInterfaceName],
  ['member', 'member', isMemberName],
  ['path', 'path', isObjectPath],
  ['path_namespace', 'pathNamespace', isObjectPath],
  ['destination', 'destination', isBusName],
] as const;

const ARGUMENT_KEY = /^arg(0|[1-9]\d?)(path|namespace)?$/;

/** What one argument must be. */
interface ArgumentTest {
  readonly index: number;
  readonly kind: string;
  readonly text: string;
}

function* argumentPairs(texts: ArgumentTexts | undefined, kind: string): Generator<RulePair> {
  if (texts === undefined) return;
  if (typeof texts !== 'object' || texts === null) throw invalidRule('arguments not in an object');
  for (const [index, value] of texts instanceof Map
    ? (texts as Map<unknown, unknown>)
    : Object.entries(texts)) {
    // Else an index of `0path` would pass for the key of a path.
    const isIndex = typeof index === 'number' || (typeof index === 'string' && /^\d+$/.test(index));
    yield { key: isIndex ? `arg${index}${kind}` : '', value };
  }
}

function* pairsOf(fields: MatchRuleFields): Generator<RulePair> {
  if (typeof fields !== 'object' || fields === null) throw invalidRule('not an object');
  for (const [key, field] of TEXT_KEYS) {
    if (fields[field] !== undefined) yield { key, value: fields[field] };
  }
  yield* argumentPairs(fields.args, '');
  yield* argumentPairs(fields.argPaths, 'path');
  if (fields.arg0Namespace !== undefined) yield { key: 'arg0namespace', value: fields.arg0Namespace };
  if (fields.eavesdrop !== undefined) yield { key: 'eavesdrop', value: String(fields.eavesdrop) };
}

/** One rule. It does not change. */
export class MatchRule implements MatchRuleFields {
  readonly type: MatchRuleType | undefined;
  readonly sender: string | undefined;
  readonly interface: string | undefined;
  readonly member: string | undefined;
  readonly path: string | undefined;
  readonly pathNamespace: string | undefined;
  readonly destination: string | undefined;
  readonly args: ReadonlyMap<number, string> = new Map();
  readonly argPaths: ReadonlyMap<number, string> = new Map();
  readonly arg0Namespace: string | undefined;
  readonly eavesdrop: boolean = false;
  /** By index. */
  readonly #tests: ArgumentTest[] = [];
  #text = '';

  /** @throws {InvalidTextError} `invalid-match-rule`, also where its text would be longer than a bus takes: 1,024 bytes */
  constructor(fields: MatchRuleFields) {
    this.#take(pairsOf(fields));
  }

  /** The rule that text or fields stand for. @throws {InvalidTextError} `invalid-match-rule` @internal */
  static from(rule: MatchRuleFields | string): MatchRule {
    return typeof rule === 'string' ? MatchRule.parse(rule) : new MatchRule(rule);
  }

  /**
   * Reads a rule as the reference implementation does, but for what that one ignores or misreads: a `=` without a key, whatever
   * comes after 16 keys, indexes of arguments that are not plain decimal.
   * @throws {InvalidTextError} `invalid-match-rule`
   */
  static parse(text: string): MatchRule {
    if (typeof text !== 'string') throw invalidRule('not text');
    assertShort(text);
    const rule = new MatchRule({});
    rule.#take(readPairs(text));
    return rule;
  }

  /** Checks each pair and fills the fields. */
  #take(pairs: Iterable<RulePair>): void {
    for (const { key, value, offset } of pairs) {
      const found = TEXT_KEYS.find(([name]) => name === key);
      const [, digits, kind = ''] = ARGUMENT_KEY.exec(key) ?? [];
      const index = Number(digits);
      const isArgument = index <= MAX_MATCH_ARGUMENT && (kind !== 'namespace' || index === 0);
      if (found === undefined && !isArgument && key !== 'eavesdrop') {
        throw invalidRule('an unknown key', offset);
      }
      const isValid = found?.[2] ?? (kind === 'namespace' ? isNamespace : isArgument ? isText : isBoolean);
      if (typeof value !== 'string' || !isValid(value)) throw invalidRule(`not a valid ${key}`, offset);
      if (found !== undefined) {
        if (this[found[1]] !== undefined) throw invalidRule(`${key} comes twice`, offset);
        (this as Filling)[found[1]] = value as MatchRuleType;
      } else if (isArgument) {
        if (this.#tests.some((test) => test.index === index)) {
          throw invalidRule(`argument ${index} comes twice`, offset);
        }
        this.#tests.push({ index, kind, text: value });
        if (kind === 'namespace') (this as Filling).arg0Namespace = value;
        else (this[kind === 'path' ? 'argPaths' : 'args'] as Map<number, string>).set(index, value);
      } else {
        // As in the reference implementation it may come again, and the last one counts.
        (this as Filling).eavesdrop = value === 'true';
      }
      if (this.path !== undefined && this.pathNamespace !== undefined) {
        throw invalidRule('both path and path_namespace', offset);
      }
    }
    this.#tests.sort((a, b) => a.index - b.index);
    this.#text = [
      ...TEXT_KEYS.map(([key, field]) => [key, this[field]] as const),
      ...this.#tests.map(({ index, kind, text }) => [`arg${index}${kind}`, text] as const),
      ['eavesdrop', this.eavesdrop ? 'true' : undefined] as const,
    ]
      .flatMap(([key, text]) => (text === undefined ? [] : `${key}=${quoteValue(text)}`))
      .join(',');
    assertShort(this.#text);
  }

  /** The rule as text: the same for two rules exactly when they are equal. */
  toString(): string {
    return this.#text;
  }

  /**
   * Whether a message, as it was received, has all that the rule asks for. Names are compared letter by letter, but for this:
   * messages from a bus carry the unique name of their sender, so that for a well-known `sender` the unique name of its
   * present owner has to be given as `owner`.
   */
  matches(message: Message, options?: { owner?: string | undefined }): boolean {
    // What tells signals apart best comes first.
    if (this.member !== undefined && this.member !== message.member) return false;
    if (this.interface !== undefined && this.interface !== message.interface) return false;
    if (this.path !== undefined && this.path !== message.path) return false;
    if (this.type !== undefined && TYPES[this.type] !== message.type) return false;
    if (this.sender !== undefined && !isFrom(this.sender, message.sender, options?.owner)) return false;
    if (this.destination !== undefined && this.destination !== message.destination) return false;
    if (this.pathNamespace !== undefined && !isWithin(this.pathNamespace, message.path, '/')) return false;
    for (const test of this.#tests) {
      if (!passes(test, message)) return false;
    }
    return true;
  }
}

/** A rule while its fields are filled in. */
type Filling = { -readonly [Field in keyof MatchRule]: MatchRule[Field] };

function isBoolean(text: string): boolean {
  return text === 'true' || text === 'false';
}

/** @throws {InvalidTextError} `invalid-match-rule` */
function assertShort(text: string): void {
  if (text.length > MAX_MATCH_RULE_BYTE_LENGTH || utf8ByteLength(text) > MAX_MATCH_RULE_BYTE_LENGTH) {
    throw invalidRule(`longer than ${MAX_MATCH_RULE_BYTE_LENGTH} bytes`, MAX_MATCH_RULE_BYTE_LENGTH);
  }
}

function isFrom(wanted: string, sender: string | undefined, owner: string | undefined): boolean {
  return sender === (owner === undefined || wanted.startsWith(':') ? wanted : owner);
}

/** Whether `text` is `namespace`, or goes on after it with `separator`. Everything is below the path `/`. */
function isWithin(namespace: string, text: string | undefined, separator: string): boolean {
  if (text === undefined || !text.startsWith(namespace)) return false;
  return text.length === namespace.length || text[namespace.length] === separator || namespace === '/';
}

function passes({ index, kind, text }: ArgumentTest, message: Message): boolean {
  const value = message.body[index];
  if (typeof value !== 'string') return false;
  if (kind === '') {
    if (value !== text) return false;
  } else if (kind === 'namespace') {
    if (!isWithin(text, value, '.')) return false;
  } else if (value !== text) {
    const [shorter, longer] = value.length < text.length ? [value, text] : [text, value];
    if (!shorter.endsWith('/') || !longer.startsWith(shorter)) return false;
  }
  // Last, since it costs most: texts of the other types are not compared.
  const code = parseSignature(message.signature)[index]?.code;
  return code === 's' || (kind === 'path' && code === 'o');
}
