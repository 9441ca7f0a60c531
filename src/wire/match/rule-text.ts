/**
 * The text of match rules: `key='value'` with commas between, quoted much as a shell does (D-Bus specification, "Match
 * Rules"). What the keys mean is in `match-rule.ts`. Layer 4: imports lower layers only.
 */
import { type InvalidTextError, invalidText } from '../base/errors.js';

/** One `key=value` of a rule, unquoted. */
export interface RulePair {
  readonly key: string;
  /** Text, unless it comes from a caller who broke the types. */
  readonly value: unknown;
  /** Where the key starts in the text, in UTF-16 units; absent if there is no text. */
  readonly offset?: number;
}

/**
 * What is wrong with a rule; `offset` is where, if it was text. It quotes no values, which may be as secret as the arguments
 * of signals are.
 */
export function invalidRule(detail: string, offset?: number): InvalidTextError {
  return invalidText('invalid-match-rule', detail, offset);
}

/**
 * A piece of a value: quoted, where a backslash is one; an apostrophe by its backslash; a backslash before anything else,
 * which is one too and takes what follows along, even a comma, as in the reference implementation; or anything else.
 */
const PIECE = /'([^']*)'|\\(')|(\\(?!')[^']?|[^',\\]+)/g;
/** White space, a key, and what comes after `=`. None of it has to be there, so that nothing is ever tried in two ways. */
const PAIR = /([ \t\r\n]*)([^= \t\r\n]*)[ \t\r\n]*(?:=((?:'[^']*'|\\'|\\(?!')[^']?|[^',\\]+)*))?/y;

/**
 * Cuts a rule into its pairs.
 * @throws {InvalidTextError} `invalid-match-rule`
 */
export function* readPairs(text: string): Generator<RulePair> {
  for (let at = 0; at < text.length; at++) {
    PAIR.lastIndex = at;
    const [whole = '', space = '', key = '', value] = PAIR.exec(text) ?? [];
    const offset = at + space.length;
    at += whole.length;
    // White space at the end, such as after a last comma, is no key.
    if (key === '' && value === undefined) return;
    if (key === '') throw invalidRule('`=` without a key', offset);
    if (value === undefined) throw invalidRule('a key without `=`', offset);
    if (at < text.length && text[at] !== ',') throw invalidRule('a quotation without its end', at);
    yield { key, value: value.replaceAll(PIECE, '$1$2$3'), offset };
  }
}

/** A value in quotes. An apostrophe cannot stand in them: they end, it comes with a backslash, and they begin again. */
export function quoteValue(value: string): string {
  return `'${value.replaceAll("'", "'\\''")}'`;
}
