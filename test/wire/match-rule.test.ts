import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MatchRule, type MatchRuleFields } from '../../src/wire/match/match-rule.js';
import type { Message } from '../../src/wire/message/message.js';
import { matchable, mutatedRuleText, POOLS, ruleFields, validRuleText } from '../support/match-rules.js';

const invalid = (detail = ''): Error =>
  expect.objectContaining({
    name: 'InvalidTextError',
    code: 'invalid-match-rule',
    message: expect.stringContaining(detail),
  }) as Error;

function signal(fields: Partial<Message> = {}): Message {
  return {
    type: 4,
    flags: 1,
    serial: 1,
    path: '/a',
    interface: 'a.b',
    member: 'C',
    signature: '',
    body: [],
    ...fields,
  };
}

/** A signal with arguments, given as pairs of type and value. */
function withArguments(...parts: [string, unknown][]): Message {
  return signal({ signature: parts.map(([type]) => type).join(''), body: parts.map(([, value]) => value) });
}

function matches(rule: string, message: Message, owner?: string): boolean {
  return MatchRule.parse(rule).matches(message, { owner });
}

/** Whatever the text, it is read or refused with our error. */
function check(text: string): void {
  try {
    MatchRule.parse(text);
  } catch (error) {
    expect(error).toEqual(invalid());
    expect((error as { offset: number }).offset).toBeLessThanOrEqual(text.length);
  }
}

describe('the text of match rules', () => {
  it.each<[string, MatchRuleFields]>([
    ['', {}],
    [' \t\r\n', {}],
    ["type='signal'", { type: 'signal' }],
    ['type=signal', { type: 'signal' }],
    ["type='signal',", { type: 'signal' }],
    ["type='signal', ", { type: 'signal' }],
    ["\ttype ='signal',\r\n member='A'", { type: 'signal', member: 'A' }],
    ["type='sig''nal'''", { type: 'signal' }],
    ["sender=':1.5',destination='a.b'", { sender: ':1.5', destination: 'a.b' }],
    ["path='/',interface='a.b'", { path: '/', interface: 'a.b' }],
    ["path_namespace='/a'", { pathNamespace: '/a' }],
    ["arg0namespace='com'", { arg0Namespace: 'com' }],
    ["arg0namespace=':1.5'", { arg0Namespace: ':1.5' }],
    ["arg0='',arg63='a',arg7path='/a/'", { args: { 0: '', 63: 'a' }, argPaths: { 7: '/a/' } }],
    ["eavesdrop='true'", { eavesdrop: true }],
    ["eavesdrop='true',eavesdrop=false", {}],
    // As the specification shows it.
    [String.raw`arg0=''\''',arg1='\',arg2=',',arg3='\\'`, { args: { 0: "'", 1: '\\', 2: ',', 3: '\\\\' } }],
    // As the reference implementation does it: outside quotes a backslash takes along what follows.
    [String.raw`arg0=\',arg1=\,,arg2=\\,arg3=\a`, { args: { 0: "'", 1: '\\,', 2: '\\\\', 3: '\\a' } }],
    ["arg0='a'\\", { args: { 0: 'a\\' } }],
    ['arg0= a ,arg1=b c', { args: { 0: ' a ', 1: 'b c' } }],
    ["arg0='ü\u{1d11e}\n'", { args: { 0: 'ü\u{1d11e}\n' } }],
  ])('%j is read', (text, fields) => {
    expect(MatchRule.parse(text)).toEqual(new MatchRule(fields));
    expect(String(MatchRule.parse(text))).toBe(String(new MatchRule(fields)));
  });

  it.each<[string, string, number]>([
    ['type', 'a key without `=`', 0],
    ['type signal', 'a key without `=`', 0],
    ["type='signal',member", 'a key without `=`', 14],
    [',', 'a key without `=`', 0],
    ["type='signal',,member='A'", 'an unknown key', 14],
    ['=signal', '`=` without a key', 0],
    ["type='signal', ='a'", '`=` without a key', 15],
    ["type='signal", 'a quotation without its end', 5],
    ["arg0='\\''", 'a quotation without its end', 8],
    ["Type='signal'", 'an unknown key', 0],
    ["type='Signal'", 'not a valid type', 0],
    ["type='toString'", 'not a valid type', 0],
    ["type= 'signal'", 'not a valid type', 0],
    ["type=''", 'not a valid type', 0],
    ["type='signal',type='signal'", 'type comes twice', 14],
    ["sender='a'", 'not a valid sender', 0],
    ["destination='1.a'", 'not a valid destination', 0],
    ["interface='a'", 'not a valid interface', 0],
    ["member='a.b'", 'not a valid member', 0],
    ["path='/a/'", 'not a valid path', 0],
    ["path_namespace=''", 'not a valid path_namespace', 0],
    ["path='/',path_namespace='/'", 'path and path_namespace', 9],
    ["arg0namespace=''", 'not a valid arg0namespace', 0],
    ["arg0namespace='a.'", 'not a valid arg0namespace', 0],
    ["arg0namespace='a\n'", 'not a valid arg0namespace', 0],
    ["arg1namespace='a'", 'an unknown key', 0],
    ["arg0='a',arg0path='a'", 'argument 0 comes twice', 9],
    ["arg0namespace='a',arg0='a'", 'argument 0 comes twice', 18],
    ["arg='a'", 'an unknown key', 0],
    ["arg64='a'", 'an unknown key', 0],
    ["arg00='a'", 'an unknown key', 0],
    ["arg-0='a'", 'an unknown key', 0],
    ["arg0Path='a'", 'an unknown key', 0],
    ["arg0='\0'", 'not a valid arg0', 0],
    ["arg0='\ud800'", 'not a valid arg0', 0],
    ["eavesdrop='yes'", 'not a valid eavesdrop', 0],
  ])('%j is refused', (text, detail, offset) => {
    expect(() => MatchRule.parse(text)).toThrow(invalid(detail));
    expect(() => MatchRule.parse(text)).toThrow(expect.objectContaining({ offset }) as Error);
  });

  it('has 1,024 bytes at most', () => {
    const euro = `arg0='${'€'.repeat(339)}'`;
    expect(String(MatchRule.parse(euro))).toBe(euro);
    expect(Buffer.byteLength(euro)).toBe(1024);
    expect(() => MatchRule.parse(`${euro},`)).toThrow(invalid('longer than'));
    expect(() => MatchRule.parse(' '.repeat(1e6))).toThrow(invalid('longer than'));
    expect(() => new MatchRule({ args: { 0: `${'€'.repeat(339)}a` } })).toThrow(invalid('longer than'));
    // What a bus would be sent counts, apostrophes in it quoted.
    expect(() => MatchRule.parse(String.raw`arg0=${String.raw`\'`.repeat(300)}`)).toThrow(invalid('longer'));
  });

  it('of a namespace has 255 bytes at most', () => {
    expect(MatchRule.parse(`arg0namespace='${'a'.repeat(255)}'`).arg0Namespace).toHaveLength(255);
    expect(() => MatchRule.parse(`arg0namespace='${'a'.repeat(256)}'`)).toThrow(invalid());
  });

  it('is canonical: one order of keys, everything in quotes', () => {
    const text = String(
      new MatchRule({
        eavesdrop: true,
        argPaths: { 2: '/' },
        args: new Map([
          [11, "it's"],
          [1, ''],
        ]),
        arg0Namespace: 'a',
        destination: 'a.b',
        path: '/',
        member: 'C',
        interface: 'a.b',
        sender: ':1.1',
        type: 'signal',
      }),
    );
    expect(text).toBe(
      "type='signal',sender=':1.1',interface='a.b',member='C',path='/',destination='a.b'," +
        String.raw`arg0namespace='a',arg1='',arg2path='/',arg11='it'\''s',eavesdrop='true'`,
    );
  });

  it('and fields are one to one', () => {
    fc.assert(
      fc.property(ruleFields(), (fields) => {
        const rule = new MatchRule(fields);
        const again = MatchRule.parse(String(rule));
        expect(again).toEqual(rule);
        expect(String(again)).toBe(String(rule));
        expect(new MatchRule(rule)).toEqual(rule);
        expect(again).toMatchObject({
          type: fields.type,
          sender: fields.sender,
          interface: fields.interface,
          member: fields.member,
          path: fields.path,
          pathNamespace: fields.pathNamespace,
          destination: fields.destination,
          args: new Map(fields.args as Map<number, string>),
          argPaths: new Map(fields.argPaths as Map<number, string>),
          arg0Namespace: fields.arg0Namespace,
          eavesdrop: fields.eavesdrop ?? false,
        });
      }),
    );
  });

  it('may be written in many ways that mean the same', () => {
    fc.assert(
      fc.property(validRuleText, (text) => {
        const rule = MatchRule.parse(text);
        expect(String(MatchRule.parse(String(rule)))).toBe(String(rule));
      }),
    );
  });

  it('whatever it is, is read or refused with our error, which does not quote it', () => {
    fc.assert(fc.property(fc.oneof(mutatedRuleText, fc.string({ unit: 'binary', maxLength: 1100 })), check));
    const secret = 'hunter2';
    for (const text of [`type='${secret}'`, `arg0='${secret}\0'`, `sender='${secret}'`, `arg0='${secret}`]) {
      expect(() => MatchRule.parse(text)).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining(secret) }) as Error,
      );
    }
  });

  it('takes no longer than its length allows', () => {
    for (const piece of ['\\', "'", "\\'", ' ', ',', '=', "''", 'arg0=', "a='b',"]) {
      const start = performance.now();
      for (let count = 0; count < 100; count++) {
        expect(() => MatchRule.parse(`arg0=a${piece.repeat(1018 / piece.length)},type`)).toThrow();
      }
      expect(performance.now() - start).toBeLessThan(1000);
    }
  });

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['text', "type='signal'"],
    ['a type of another kind', { type: 4 }],
    ['a path that is none', { path: 'a' }],
    ['two paths', { path: '/', pathNamespace: '/' }],
    ['arguments that are text', { args: 'abc' }],
    ['arguments that are null', { args: null }],
    ['an index too high', { args: { 64: '' } }],
    ['an index below 0', { args: new Map([[-1, '']]) }],
    ['an index between', { args: new Map([[0.5, '']]) }],
    ['an index that is not plain', { args: { '00': '' } }],
    ['an index that would make another key', { args: { '0path': '/' } }],
    ['an index of another kind', { args: new Map([[{}, '']]) }],
    ['an argument that is a number', { args: { 0: 1 } }],
    ['an argument that is undefined', { args: { 0: undefined } }],
    ['an argument with two tests', { args: { 0: 'a' }, argPaths: { 0: 'a' } }],
    ['an argument with two tests, one a namespace', { args: { 0: 'a' }, arg0Namespace: 'a' }],
    ['a NUL', { args: { 0: '\0' } }],
    ['half a character', { argPaths: { 0: '\udc00' } }],
    ['eavesdrop of another kind', { eavesdrop: 1 }],
  ])('cannot be made of %s', (_, fields) => {
    expect(() => new MatchRule(fields as MatchRuleFields)).toThrow(invalid());
  });

  it('is not read from anything but text', () => {
    for (const value of [undefined, null, 5, {}, [], Symbol('a')]) {
      expect(() => MatchRule.parse(value as string)).toThrow(invalid('not text'));
    }
  });
});

describe('a match rule', () => {
  it('matches every message when it asks for nothing', () => {
    expect(matches('', signal())).toBe(true);
    expect(matches('', { type: 77, flags: 0, serial: 1, signature: '', body: [] })).toBe(true);
  });

  it.each<[string, Message, boolean]>([
    ['type=signal', signal(), true],
    ['type=signal', signal({ type: 1 }), false],
    ['type=method_call', signal({ type: 1 }), true],
    ['type=method_return', signal({ type: 2 }), true],
    ['type=error', signal({ type: 3 }), true],
    ['interface=a.b', signal(), true],
    ['interface=a.b', signal({ interface: 'a.b.c' }), false],
    ['member=C', signal({ member: 'c' }), false],
    ['path=/a', signal({ path: '/a/b' }), false],
    ['path_namespace=/', signal({ path: '/a/b' }), true],
    ['path_namespace=/', signal({ path: '/' }), true],
    ['path_namespace=/a', signal({ path: '/a' }), true],
    ['path_namespace=/a', signal({ path: '/a/b' }), true],
    ['path_namespace=/a', signal({ path: '/ab' }), false],
    ['path_namespace=/a', signal({ path: '/' }), false],
    ['destination=:1.5', signal(), false],
    ['destination=:1.5', signal({ destination: ':1.5' }), true],
    ['eavesdrop=true', signal(), true],
    ['arg0=a', withArguments(['s', 'a']), true],
    ['arg0=a', withArguments(['s', 'ab']), false],
    ['arg0=/', withArguments(['o', '/']), false],
    ['arg0=s', withArguments(['g', 's']), false],
    ['arg0=s', withArguments(['as', ['s']]), false],
    ['arg0=', withArguments(), false],
    ['arg1=a', withArguments(['u', 1], ['s', 'a']), true],
    ['arg1=a', withArguments(['s', 'a']), false],
    ['arg0path=/a', withArguments(['o', '/a']), true],
    ['arg0path=/a', withArguments(['s', '/a']), true],
    ['arg0path=s', withArguments(['g', 's']), false],
    ['arg0path=/a/', withArguments(['s', '/a/b/c']), true],
    ['arg0path=/a/', withArguments(['s', '/a/']), true],
    ['arg0path=/a/', withArguments(['s', '/a']), false],
    ['arg0path=/a/b/c', withArguments(['s', '/a/']), true],
    ['arg0path=/a/b/c', withArguments(['s', '/']), true],
    ['arg0path=/a/b/c', withArguments(['s', '/a']), false],
    ['arg0path=/a', withArguments(['s', '/a/b']), false],
    ['arg0path=', withArguments(['s', '']), true],
    ['arg0path=', withArguments(['s', '/']), false],
    ['arg0path=/', withArguments(['s', '']), false],
    ['arg0path=/', withArguments(['s', 'a']), false],
    ['arg0namespace=a.b', withArguments(['s', 'a.b']), true],
    ['arg0namespace=a.b', withArguments(['s', 'a.b.c']), true],
    ['arg0namespace=a.b', withArguments(['s', 'a.bc']), false],
    ['arg0namespace=a.b', withArguments(['s', 'a']), false],
    ['arg0namespace=a', withArguments(['s', 'a.']), true],
    ['arg0namespace=s', withArguments(['g', 's']), false],
  ])('%s against %j: %j', (rule, message, expected) => {
    expect(matches(rule, message)).toBe(expected);
  });

  it('matches no message without the field it asks for', () => {
    const bare: Message = { type: 4, flags: 0, serial: 1, signature: '', body: [] };
    fc.assert(
      fc.property(ruleFields(), (fields) => {
        const rule = new MatchRule({ ...fields, type: undefined, eavesdrop: undefined });
        expect(rule.matches(bare)).toBe(String(rule) === '');
      }),
    );
  });

  it('takes a well-known sender for its present owner, and a unique one for itself', () => {
    const message = signal({ sender: ':1.5' });
    expect(matches('sender=a.b', message, ':1.5')).toBe(true);
    expect(matches('sender=a.b', message, ':1.6')).toBe(false);
    expect(matches('sender=a.b', message)).toBe(false);
    expect(matches('sender=:1.5', message)).toBe(true);
    expect(matches('sender=:1.5', message, ':1.6')).toBe(true);
    expect(matches('sender=:1.6', message, ':1.5')).toBe(false);
    expect(matches('sender=a.b', signal(), undefined)).toBe(false);
    expect(matches('sender=a.b', signal({ sender: 'a.b' }))).toBe(true);
    expect(matches('sender=a.b', signal({ sender: 'a.b' }), ':1.5')).toBe(false);
  });

  it('asks for all that it says: with one more condition it matches no more', () => {
    fc.assert(
      fc.property(ruleFields(), matchable(POOLS.name), (fields, message) => {
        const whole = new MatchRule(fields).matches({ ...message, serial: 1 });
        const parts = Object.entries(fields).flatMap(([name, value]): MatchRuleFields[] => {
          if (value === undefined || name === 'eavesdrop') return [];
          if (!(value instanceof Map)) return [{ [name]: value }];
          return [...(value as Map<number, string>)].map((pair) => ({ [name]: new Map([pair]) }));
        });
        const each = parts.every((part) => new MatchRule(part).matches({ ...message, serial: 1 }));
        expect(whole).toBe(each);
      }),
    );
  });
});
