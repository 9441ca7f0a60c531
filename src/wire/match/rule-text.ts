/**
 * The text of match rules: `key='value'` with commas between, quoted much as a shell does (D-Bus specification, "Match
 * Rules"). What the keys mean is in `match-rule.ts`. Layer 4: imports lower layers only.
 */
import { InvalidTextError } from '../base/errors.js';

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
  const where = offset === undefined ? '' : ` (character ${offset})`;
  return new InvalidTextError('invalid-match-rule', `invalid match rule: ${detail}${where}`, offset ?? 0);
}

/**
 * A piece of a value: quoted, where a backslash is one; an apostrophe by its backslash; a backslash before anything else,
 * which is one too and takes what follows along, even a comma, as in the reference implementation; or anything else.
 */
const PIECE = /'([^']*)'|\\(')|(\\(?!'))([^'])?|([^',\\]+)/y;
const KEY = /([ \t\r\n]*)([^= \t\r\n]*)[ \t\r\n]*/y;

/**
 * Cuts a rule into its pairs.
 * @throws {InvalidTextError} `invalid-match-rule`
 */
export function readPairs(text: string): RulePair[] {
  const pairs: RulePair[] = [];
  let at = 0;
  while (at < text.length) {
    KEY.lastIndex = at;
    const [whole = '', space = '', key = ''] = KEY.exec(text) ?? [];
    const offset = at + space.length;
    at += whole.length;
    // White space at the end, such as after a last comma, is no key.
    if (key === '' && at === text.length) break;
    if (key === '') throw invalidRule('`=` without a key before it', offset);
    if (text[at] !== '=') throw invalidRule('a key without `=` after it', offset);
    const { value, end } = readValue(text, at + 1);
    pairs.push({ key, value, offset });
    at = end + 1;
  }
  return pairs;
}

/** The value at `start`, and where it ends: at a comma outside quotes, or at the end of the text. */
function readValue(text: string, start: number): { value: string; end: number } {
  let value = '';
  let at = start;
  while (at < text.length && text[at] !== ',') {
    PIECE.lastIndex = at;
    const piece = PIECE.exec(text);
    if (piece === null) throw invalidRule('a quotation without its end', at);
    value += piece.slice(1).join('');
    at = PIECE.lastIndex;
  }
  return { value, end: at };
}

/** A value in quotes. An apostrophe cannot stand in them: they end, it comes with a backslash, and they begin again. */
export function quoteValue(value: string): string {
  return `'${value.replaceAll("'", "'\\''")}'`;
}
