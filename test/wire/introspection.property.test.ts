/** Properties of introspection data: both ways give the same, and no text does any harm. */
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidTextError } from '../../src/wire/base/errors.js';
import { defineInterface } from '../../src/wire/interface/define-interface.js';
import { formatIntrospection } from '../../src/wire/interface/format-introspection.js';
import { parseIntrospection } from '../../src/wire/interface/introspection.js';
import { definition, introspection, xmlText } from '../support/definitions.js';

const FOLDER = new URL('../vectors/introspection/', import.meta.url);
const documents = readdirSync(FOLDER).map((name) => readFileSync(new URL(name, FOLDER), 'utf8'));

/** Pieces that mean something to a reader of XML. */
const piece = fc.oneof(
  fc.constantFrom(
    ...'<>/&;"\'=[]!?-: \n\r\t'.split(''),
    '<node>',
    '</node>',
    '<node/>',
    '<interface name="a.b">',
    '<method name="A"/>',
    '<!--',
    '-->',
    '<![CDATA[',
    ']]>',
    '<?xml version="1.0"?>',
    '<?a?>',
    '<!DOCTYPE node',
    '<!ENTITY a "b">',
    '<!ELEMENT a (b)>',
    '&amp;',
    '&#x41;',
    '&#0;',
    '&a;',
    'name=""',
    '\0',
    '\ud800',
    '\ufeff',
  ),
  fc.string({ maxLength: 4 }),
);

/** Real documents with a few places changed. */
const mutated = fc
  .tuple(
    fc.constantFrom(...documents),
    fc.array(fc.record({ at: fc.nat(), remove: fc.nat({ max: 40 }), insert: piece }), {
      minLength: 1,
      maxLength: 4,
    }),
  )
  .map(([text, edits]) =>
    edits.reduce((changed, { at, remove, insert }) => {
      const index = at % (changed.length + 1);
      return changed.slice(0, index) + insert + changed.slice(index + remove);
    }, text),
  );

/** Parses what may be anything: what comes out is a result or the one error. */
function tryParse(text: string): ReturnType<typeof parseIntrospection> | undefined {
  try {
    return parseIntrospection(text);
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidTextError);
    expect(error).toMatchObject({ code: 'invalid-introspection' });
    const { offset } = error as InvalidTextError;
    expect(offset >= 0 && offset <= text.length).toBe(true);
    return undefined;
  }
}

describe('introspection data', () => {
  it('reads what it wrote', () => {
    fc.assert(
      fc.property(introspection, (data) => {
        const parsed = parseIntrospection(formatIntrospection(data));
        expect(parsed.ignored).toEqual([]);
        expect({ interfaces: parsed.interfaces, children: parsed.children }).toEqual(data);
      }),
    );
  });

  it('keeps a checked definition as it is', () => {
    fc.assert(
      fc.property(definition, (one) => {
        const defined = defineInterface(one);
        const [parsed] = parseIntrospection(
          formatIntrospection({ interfaces: [defined], children: [] }),
        ).interfaces;
        expect(parsed).toEqual(defined);
        expect(defined).toEqual(one);
      }),
    );
  });

  it('reads any text in an attribute, between quotes of either kind', () => {
    fc.assert(
      fc.property(xmlText, (value) => {
        const one = { name: 'a.b', annotations: { x: value } };
        const xml = formatIntrospection({ interfaces: [one], children: [] });
        expect(parseIntrospection(xml.replaceAll('"', "'")).interfaces).toEqual([one]);
      }),
    );
  });

  it('does no harm, whatever it is', () => {
    let accepted = 0;
    let runs = 0;
    fc.assert(
      fc.property(
        fc.oneof(
          { weight: 4, arbitrary: mutated },
          fc.array(piece).map((some) => some.join('')),
        ),
        (text) => {
          runs++;
          const parsed = tryParse(text);
          if (parsed === undefined) return;
          accepted++;
          // Whatever is read is valid: it is written and read again as the same.
          const again = parseIntrospection(formatIntrospection(parsed));
          expect(again).toEqual({ ...parsed, ignored: [] });
        },
      ),
    );
    expect(accepted).toBeGreaterThan(runs / 50);
    expect(accepted).toBeLessThan(runs);
  });

  it('does no harm cut short at any character', () => {
    for (const text of documents) {
      const short = text.slice(0, 6000);
      for (let end = 0; end < short.length; end++) tryParse(short.slice(0, end));
      expect(tryParse(text)).toBeDefined();
    }
  });
});
