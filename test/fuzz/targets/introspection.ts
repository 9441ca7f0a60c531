/** Introspection data. */
import { isDeepStrictEqual } from 'node:util';
import { formatIntrospection, parseIntrospection } from '../../../src/wire/interface/introspection.js';
import { promise, refusal, type Target, textOf } from '../target.js';

const introspection: Target = {
  name: 'introspection',
  dictionary: [
    '<node>',
    '</node>',
    '<node name="a"/>',
    '<interface name="a.b">',
    '</interface>',
    '<method name="M">',
    '<arg type="s" direction="out"/>',
    '<property name="P" type="u" access="read"/>',
    '<signal name="S"/>',
    '<annotation name="a.b" value="c"/>',
    '<!--',
    '-->',
    '<![CDATA[',
    ']]>',
    '<!DOCTYPE node [',
    ']>',
    '<?xml version="1.0"?>',
    '&amp;',
    '&#x41;',
    '&#0;',
    '&quot;',
    '&apos;',
    '&lt;',
    '&#10;',
    '&a;',
    "'",
    '"',
    '/>',
    '<',
    'a{sv}',
  ],
  run: (input) => {
    let parsed: ReturnType<typeof parseIntrospection>;
    try {
      parsed = parseIntrospection(textOf(input));
    } catch (error) {
      return refusal(error, { InvalidTextError: ['invalid-introspection'] });
    }
    const text = formatIntrospection(parsed);
    const { interfaces, children, ignored } = parseIntrospection(text);
    promise(ignored.length === 0, 'what we write is not all valid');
    promise(
      isDeepStrictEqual([interfaces, children], [parsed.interfaces, parsed.children]),
      'what was written is not what was read',
    );
    return `accepted ${Math.min(parsed.interfaces.length, 2)} ${parsed.ignored[0]?.reason.slice(0, 20) ?? ''}`;
  },
};

export default introspection;
