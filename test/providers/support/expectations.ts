/** What the tests of all providers expect and store. */
import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import type { SecretServiceErrorCode } from '../../../src/secret/index.js';

/** Matches a SecretServiceError with a code. */
export function secretError(code: SecretServiceErrorCode): unknown {
  return expect.objectContaining({ name: 'SecretServiceError', code });
}

/** Values that have gone wrong somewhere, as bytes. */
export const VALUES: readonly (readonly [string, Uint8Array])[] = [
  ['text', Buffer.from('pässwörd ✓ 🔑')],
  ['nothing', new Uint8Array(0)],
  ['one byte', Uint8Array.of(0x61)],
  ['text with NUL', Uint8Array.of(0, 0x61, 0, 0x62, 0)],
  ['only NUL', Uint8Array.of(0)],
  ['all bytes', Uint8Array.from({ length: 256 }, (_, byte) => byte)],
  ['invalid UTF-8', Uint8Array.of(0xff, 0xfe, 0xc0, 0x80)],
  ['line ends', Buffer.from('\r\na\n\n')],
  ['a byte order mark', Buffer.from('\ufeffa')],
  ['spaces around', Buffer.from('  a\t ')],
  ['markup', Buffer.from('<b>&amp;</b> %s ${HOME} \\n {"a": {}}')],
  ['placeholders', Buffer.from('{USERNAME}x{PASSWORD} {DT_SIMPLE} {S:x}')],
  ['bytes that look like padding', new Uint8Array(16).fill(16)],
  ['noncharacters', Buffer.from('\ufffe\uffff\u{1ffff}')],
  ['control characters', Buffer.from('\u0001\u0008\u001f\u007f\u0085')],
  ['1 MiB of text', Buffer.from('ä'.repeat(2 ** 19))],
  ['1 MiB of random bytes', randomBytes(2 ** 20)],
];

export const ATTRIBUTE_SETS: readonly (readonly [string, Record<string, string>])[] = [
  ['one', { one: '1' }],
  ['an empty value', { empty: '', full: 'x' }],
  ['unicode', { ключ: 'значение', '🔑': 'ünï', 'a b': 'c d' }],
  ['marks', { '=': '=', "'": '"', '/': '\\', $HOME: '`x`' }],
  ['markup', { '<a>': '&lt;', ']]>': '\n', '{REF:T@I:1}': '{DT_SIMPLE}' }],
  ['names of Object', { __proto__x: '1', constructor: '2', toString: '3', hasOwnProperty: '4' }],
  ['a long value', { long: 'x'.repeat(10_000) }],
  ['many', Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`name${index}`, String(index)]))],
  ['a schema', { 'xdg:schema': 'org.example.Mail', service: 'mail' }],
];

/** The sockets of this process that are open. */
export function openSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'PipeWrap').length;
}

/** The time of a person is over. */
export const promptDeadline: unknown = expect.objectContaining({ name: 'DeadlineError', deadline: 'prompt' });
