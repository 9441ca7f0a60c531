/** Introspection data: documents that real services send, all that XML allows, and what is refused or left out. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { InvalidTextError } from '../../src/wire/base/errors.js';
import {
  MAX_INTROSPECTION_LENGTH,
  MAX_XML_ATTRIBUTES,
  MAX_XML_DEPTH,
  MAX_XML_ELEMENTS,
} from '../../src/wire/base/limits.js';
import { formatIntrospection } from '../../src/wire/interface/format-introspection.js';
import { parseIntrospection } from '../../src/wire/interface/introspection.js';

function document(name: string): string {
  return readFileSync(new URL(`../vectors/introspection/${name}.xml`, import.meta.url), 'utf8');
}

/** The interface `a.b` with something in it. */
function inInterface(content: string): ReturnType<typeof parseIntrospection> {
  return parseIntrospection(`<node><interface name="a.b">${content}</interface></node>`);
}

/** The value of an annotation that is written so. */
function valueOf(written: string): string | undefined {
  return inInterface(`<annotation name="a" value="${written}"/>`).interfaces[0]?.annotations?.['a'];
}

function wrap(content: string): string {
  return `<node>${content}</node>`;
}

function emits(value: string): string {
  return `<annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="${value}"/>`;
}

function property(name: string, content = ''): string {
  return `<property name="${name}" type="s" access="read">${content}</property>`;
}

/** Nodes in nodes. */
function nested(depth: number): string {
  return '<node>'.repeat(depth) + '</node>'.repeat(depth);
}

/** A node of so many attributes. */
function attributed(count: number): string {
  return `<node ${Array.from({ length: count }, (_, index) => `a${index}=""`).join(' ')}/>`;
}

function refusal(message: string): unknown {
  return expect.objectContaining({
    code: 'invalid-introspection',
    message: expect.stringContaining(message),
  });
}

describe('parseIntrospection', () => {
  it('reads everything that the format has', () => {
    expect(parseIntrospection(document('documented'))).toEqual({
      interfaces: [
        {
          name: 'com.example.Documented',
          methods: {
            Frobnicate: {
              in: 'sa{sv}',
              inNames: ['', 'details'],
              out: '(uas)',
              outNames: ['result'],
              annotations: { 'org.freedesktop.DBus.Method.NoReply': 'true' },
            },
            Bare: {},
          },
          signals: { Changed: { signature: 'oay', names: ['what', ''] } },
          properties: {
            Plain: { type: 'i', access: 'readwrite', emitsChanged: 'invalidates' },
            Fixed: {
              type: 'as',
              access: 'read',
              emitsChanged: 'const',
              annotations: { 'org.freedesktop.DBus.Deprecated': 'true' },
            },
          },
          annotations: { 'com.example.Text': 'a <b> & "c\' €€\t  d' },
        },
        { name: 'com.example.Empty' },
      ],
      children: ['child', 'far/away'],
      ignored: [],
    });
  });

  it('reads what the reference bus sends', () => {
    const { interfaces, children, ignored } = parseIntrospection(document('dbus-daemon'));
    expect([children, ignored]).toEqual([[], []]);
    const bus = interfaces.find((one) => one.name === 'org.freedesktop.DBus');
    expect(bus?.methods?.['RequestName']).toEqual({ in: 'su', out: 'u' });
    expect(bus?.methods?.['GetConnectionCredentials']).toMatchObject({ in: 's', out: 'a{sv}' });
    expect(bus?.signals?.['NameOwnerChanged']).toEqual({ signature: 'sss' });
    expect(bus?.properties?.['Features']).toMatchObject({
      type: 'as',
      access: 'read',
      emitsChanged: 'const',
    });
  });

  it('reads what GNOME Keyring sends', () => {
    const service = parseIntrospection(document('gnome-keyring-service'));
    expect(service.ignored).toEqual([]);
    const secrets = service.interfaces.find((one) => one.name === 'org.freedesktop.Secret.Service');
    expect(secrets?.methods?.['OpenSession']).toEqual({
      in: 'sv',
      inNames: ['algorithm', 'input'],
      out: 'vo',
      outNames: ['output', 'result'],
    });
    expect(secrets?.methods?.['GetSecrets']?.out).toBe('a{o(oayays)}');
    expect(secrets?.properties?.['Collections']).toEqual({ type: 'ao', access: 'read' });
    expect(parseIntrospection(document('gnome-keyring-collections')).children).toContain('login');
  });

  it('takes a property for const, invalidates or false if it or else its interface says so', () => {
    const { interfaces, ignored } = inInterface(
      property('A') + property('B', emits('true')) + property('C', emits('maybe')) + emits('false'),
    );
    expect(interfaces[0]?.properties).toEqual({
      A: { type: 's', access: 'read', emitsChanged: 'false' },
      B: { type: 's', access: 'read', emitsChanged: 'true' },
      C: { type: 's', access: 'read', emitsChanged: 'false' },
    });
    expect(interfaces[0]?.annotations).toBeUndefined();
    expect(ignored).toMatchObject([{ part: 'property "C"', interface: 'a.b' }]);
    expect(inInterface(property('A')).interfaces[0]?.properties).toEqual({
      A: { type: 's', access: 'read' },
    });
  });

  it.each([
    ['<method/>', 'method without a name'],
    ['<method name="a.b"/>', 'method "a.b"'],
    ['<method name="A"><arg/></method>', 'method "A"'],
    ['<method name="A"><arg type="z"/></method>', 'method "A"'],
    ['<method name="A"><arg type="ss"/></method>', 'method "A"'],
    // Neither is a complete type, and both together would be one.
    ['<method name="A"><arg type="a"/><arg type="s"/></method>', 'method "A"'],
    ['<method name="A"><arg type="s" direction="both"/></method>', 'method "A"'],
    [`<method name="A">${'<arg type="s"/>'.repeat(256)}</method>`, 'method "A"'],
    ['<signal name="A"><arg type=""/></signal>', 'signal "A"'],
    ['<signal name="1A"/>', 'signal "1A"'],
    ['<property name="A" type="s"/>', 'property "A"'],
    ['<property name="A" type="s" access="r"/>', 'property "A"'],
    ['<property name="A" access="read"/>', 'property "A"'],
    ['<property name="A" type="as}" access="read"/>', 'property "A"'],
    ['<annotation name="A"/>', 'annotation "A"'],
    ['<annotation name="" value="a"/>', 'annotation ""'],
    ['<annotation value="a"/>', 'annotation ""'],
    ['<arg type="s"/>', 'arg without a name'],
    ['<node name="a"/>', 'node "a"'],
    ['<interface name="a.c"><method name="A"/></interface>', 'interface "a.c"'],
  ])('leaves out what is not valid: %s', (content, part) => {
    const { interfaces, ignored } = inInterface(`${content}<method name="Good"/>`);
    expect(interfaces).toEqual([{ name: 'a.b', methods: { Good: {} } }]);
    expect(ignored).toMatchObject([{ interface: 'a.b', part, offset: 28 }]);
    expect(ignored[0]?.reason).not.toBe('');
  });

  it('leaves out interfaces and children that are not valid, and whatever comes a second time', () => {
    const { interfaces, children, ignored } = parseIntrospection(
      `<node><interface name="a"><method name="M"/></interface><interface><method name="M"/></interface>
      <interface name="a.b"><method name="M"/><method name="M"><arg type="s"/></method>
        <signal name="M"/><annotation name="x" value="1"/><annotation name="x" value="2"/></interface>
      <interface name="a.b"/>
      <node/><node name=""/><node name="/c"/><node name="c/"/><node name="c-d"/><node name="c"/><node name="c"/></node>`,
    );
    expect(interfaces).toEqual([
      { name: 'a.b', methods: { M: {} }, signals: { M: {} }, annotations: { x: '1' } },
    ]);
    expect(children).toEqual(['c']);
    expect(ignored.map(({ part, interface: owner }) => [part, owner])).toEqual([
      ['interface "a"', 'a'],
      ['interface without a name', ''],
      ['method "M"', 'a.b'],
      ['annotation "x"', 'a.b'],
      ['interface "a.b"', 'a.b'],
      ['node without a name', undefined],
      ['node ""', undefined],
      ['node "/c"', undefined],
      ['node "c/"', undefined],
      ['node "c-d"', undefined],
      ['node "c"', undefined],
    ]);
  });

  it('leaves out members that are not in an interface, and what is in other members', () => {
    const { interfaces, ignored } = parseIntrospection(
      `<node><method name="A"/><annotation name="a" value="b"/><arg type="s"/><interface name="a.b">
        <property name="P" type="s" access="read"><arg type="s"/><method name="B"/></property>
        <signal name="S"><signal name="C"/></signal></interface></node>`,
    );
    expect(interfaces).toEqual([
      { name: 'a.b', signals: { S: {} }, properties: { P: { type: 's', access: 'read' } } },
    ]);
    expect(ignored.map(({ part }) => part)).toEqual([
      'method "A"',
      'annotation "a"',
      'arg without a name',
      'arg without a name',
      'method "B"',
      'signal "C"',
    ]);
  });

  it('reads a line end in a value as one space, whatever it is written as', () => {
    expect(valueOf('\r\n-\n-\r-\r\r-\n\r-\t')).toBe(' - - -  -  - ');
    expect(valueOf('&#13;&#10;')).toBe('\r\n');
  });

  it('takes members of any name that JavaScript knows otherwise', () => {
    const { interfaces } = inInterface(
      '<method name="__proto__"/><method name="then"/><signal name="constructor"/><annotation name="__proto__" value=""/>',
    );
    expect(Object.keys(interfaces[0]?.methods ?? {})).toEqual(['__proto__', 'then']);
    expect(interfaces[0]?.methods?.['toString']).toBeUndefined();
    expect(Object.keys(interfaces[0]?.signals ?? {})).toEqual(['constructor']);
    expect(Object.keys(interfaces[0]?.annotations ?? {})).toEqual(['__proto__']);
  });

  it.each([
    ['\ufeff<node/>'],
    ['<?xml version="1.0"?><node/>'],
    [' \n<!-- a -- b --><node\t></node\n> <?pi?>'],
    ['<!DOCTYPE node><node/>'],
    ['<!DOCTYPE node SYSTEM "a>b\'">\r\n<node/>'],
    ['<node a=\'"\' b="\'" c = "&gt;>"/>'],
    ['<node>]] > &#x10FFFF; <![CDATA[]]]]><é-1.b:c/></node>'],
    ['<node><a><method/></a><interface name="a.b"><b><arg/></b></interface><c:method name="A"/></node>'],
    ['<node><node name="a"><interface/><method/></node></node>'],
  ])('reads %j', (xml) => {
    expect(parseIntrospection(xml).ignored).toEqual([]);
  });

  it.each<[string, number, string?]>([
    ['', 0, 'no element'],
    ['  ', 2, 'no element'],
    ['node', 0, 'text outside'],
    ['<', 1, 'expected a name'],
    ['<interface name="a.b"/>', 0, 'outermost element is not a node'],
    ['<Node/>', 0, 'outermost element is not a node'],
    ['<a:node/>', 0, 'outermost element is not a node'],
    ['<node', 5, 'expected >'],
    ['<node/', 5],
    ['<node>', 6, 'it ends inside an element'],
    ['< node/>', 1, 'expected a name'],
    ['<node/><node/>', 7, 'a second outermost element'],
    ['<node/>a', 7, 'text outside'],
    ['<node/>&amp;', 7, 'text outside'],
    ['<node/></node>', 7, 'an end tag'],
    ['<node></nod>', 6, 'an end tag'],
    ['<node><a></node></a>', 9, 'an end tag'],
    ['<node></node a="">', 13, 'expected >'],
    ['<node></ node>', 8, 'expected a name'],
    ['<node a/>', 7, 'expected ='],
    ['<node a=b/>', 8, 'expected a quote'],
    ['<node a="b/>', 8, 'the value does not end'],
    ['<node a="<"/>', 8, 'the value does not end'],
    ['<node a="b" a="c"/>', 12, 'the same attribute twice'],
    ['<node a="b"b="c"/>', 11, 'expected >'],
    ['<node 1="b"/>', 6, 'expected >'],
    ['<node a="&b;"/>', 9, 'a reference'],
    ['<node a="&"/>', 9, 'a reference'],
    ['<node a="& "/>', 9, 'a reference'],
    ['<node a="&#0;"/>', 9, 'a reference'],
    ['<node a="&#xd800;"/>', 9, 'a reference'],
    ['<node a="&#x110000;"/>', 9, 'a reference'],
    ['<node a="&#99999999999999;"/>', 9, 'a reference'],
    ['<node a="&#xffff;"/>', 9, 'a reference'],
    ['<node a="&#-1;"/>', 9, 'a reference'],
    ['<node a="&#;"/>', 9, 'a reference'],
    ['<node a="&#x;"/>', 9, 'a reference'],
    ['<node a="&#X41;"/>', 9, 'a reference'],
    ['<node a="&__proto__;"/>', 9, 'a reference'],
    ['<node>&b;</node>', 6, 'a reference'],
    ['<node>& </node>', 6, 'a reference'],
    ['<node>]]></node>', 6, ']]>'],
    ['<node><![CDATA[</node>', 6, 'nothing closes'],
    ['<![CDATA[]]><node/>', 1, 'expected a name'],
    ['<node><!-- </node>', 10, 'nothing closes'],
    ['<!- --><node/>', 1, 'expected a name'],
    ['<?pi <node/>', 4, 'nothing closes'],
    ['<? pi?><node/>', 2, 'expected a name'],
    [' <?xml version="1.0"?><node/>', 1, 'an XML declaration'],
    ['<node/><?XML ?>', 7, 'an XML declaration'],
    ['<?xml ?><node/>', 0, 'without version 1'],
    ['<?xml version="2.0"?><node/>', 0, 'without version 1'],
    ['<?xml version="1.0"><node/>', 19, 'expected ?>'],
    ['<!DOCTYPE node', 0, 'the declaration does not end'],
    ['<!DOCTYPE node "a><node/>', 16, 'nothing closes'],
    ['<!DOCTYPE node [<node/>', 16, 'a declaration that is not allowed'],
    ['<!DOCTYPE node [', 16, 'a declaration that is not allowed'],
    ['<!DOCTYPE node []', 0, 'the declaration does not end'],
    ['<!DOCTYPE node [<!ELEMENT a <b> ]><node/>', 16, 'the declaration does not end'],
    ['<!DOCTYPE node><!DOCTYPE node><node/>', 16, 'expected a name'],
    ['<node/><!DOCTYPE node>', 8, 'expected a name'],
    ['<node><!DOCTYPE node></node>', 7, 'expected a name'],
    ['<!DOCTYPE node [<!ENTITY a "b">]><node/>', 16, 'such as of an entity'],
    ['<!DOCTYPE node [ <!ENTITY % a "b"> ]><node/>', 17, 'such as of an entity'],
    ['<!DOCTYPE node [<!-- --> %a; ]><node/>', 25, 'such as of an entity'],
    ['\0', 0, 'a character that XML cannot hold'],
    ['<node>\0</node>', 6, 'a character that XML cannot hold'],
    ['<node>\ud83d</node>', 6, 'a character that XML cannot hold'],
    ['<node>\uffff</node>', 6, 'a character that XML cannot hold'],
  ])('refuses %j', (xml, at, message = '') => {
    let thrown: unknown;
    try {
      parseIntrospection(xml);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(InvalidTextError);
    expect(thrown).toMatchObject({
      code: 'invalid-introspection',
      message: expect.stringContaining(message),
      // Where the text is not as it should be, or where what is not as it should be began.
      offset: at,
    });
  });

  it('refuses what is not text', () => {
    for (const value of [undefined, null, 5, {}, new Uint8Array(4)] as unknown[]) {
      expect(() => parseIntrospection(value as string)).toThrow(
        expect.objectContaining({ code: 'invalid-introspection' }),
      );
    }
  });
});

describe('bounds of introspection data', () => {
  it('length', () => {
    const room = MAX_INTROSPECTION_LENGTH - wrap('').length;
    expect(parseIntrospection(wrap(' '.repeat(room))).children).toEqual([]);
    expect(() => parseIntrospection(wrap(' '.repeat(room + 1)))).toThrow(refusal('longer than'));
  });

  it('depth', () => {
    expect(parseIntrospection(nested(MAX_XML_DEPTH)).interfaces).toEqual([]);
    expect(() => parseIntrospection(nested(MAX_XML_DEPTH + 1))).toThrow(refusal('nested elements'));
    expect(() => parseIntrospection('<node>'.repeat(600_000))).toThrow(refusal('nested elements'));
  });

  it('elements', () => {
    expect(parseIntrospection(wrap('<a/>'.repeat(MAX_XML_ELEMENTS - 1))).interfaces).toEqual([]);
    expect(() => parseIntrospection(wrap('<a/>'.repeat(MAX_XML_ELEMENTS)))).toThrow(refusal('elements'));
  });

  it('attributes', () => {
    expect(parseIntrospection(attributed(MAX_XML_ATTRIBUTES)).interfaces).toEqual([]);
    expect(() => parseIntrospection(attributed(MAX_XML_ATTRIBUTES + 1))).toThrow(refusal('attributes'));
  });

  it('arguments of one method, annotations and ignored parts', () => {
    const method = `<method name="A">${'<arg type="ss"/>'.repeat(100_000)}</method>`;
    expect(inInterface(method).ignored).toHaveLength(1);
    expect(inInterface('<method/>'.repeat(100_000)).ignored).toHaveLength(100_000);
    expect(parseIntrospection(wrap('<node name="a"/>'.repeat(100_000))).ignored).toHaveLength(99_999);
  });

  /** As long as may be, of what a careless reader takes quadratic time or much stack for: that would not end here. */
  it.each([
    ['<'],
    ['&'],
    ['&amp;'],
    ['<!--'],
    ['<!-- -->'],
    ['<![CDATA['],
    ['<![CDATA[]]>'],
    ['<?a'],
    ['<?a?>'],
    ['<a b="'],
    ['<a b="c"'],
    ['<a b="&lt;"/>'],
    ['<a/>\n'],
    ['</a>'],
    [']]'],
    ['a='],
    ['é'],
    ['\r\n'],
  ])('time and stack for many %j', (text) => {
    for (const start of [
      '',
      '<node>',
      '<node a="',
      '<!DOCTYPE node [',
      '<!DOCTYPE node "',
      '<!--',
      '<node ',
      '<',
    ]) {
      const xml = (start + text.repeat(MAX_INTROSPECTION_LENGTH / text.length)).slice(
        0,
        MAX_INTROSPECTION_LENGTH,
      );
      try {
        parseIntrospection(xml);
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid-introspection' });
        expect((error as Error).message.length).toBeLessThan(300);
      }
    }
  });

  it('what errors quote', () => {
    const { ignored } = inInterface(`<method name="&#10;${'x'.repeat(1_000_000)}"/>`);
    expect(ignored[0]?.part.length).toBeLessThan(100);
    expect(ignored[0]?.reason.length).toBeLessThan(300);
    expect(`${ignored[0]?.part}${ignored[0]?.reason}`).not.toContain('\n');
    const children = parseIntrospection(wrap(`<node name="${'a'.repeat(1_000_000)}"/>`)).children;
    expect(children[0]).toHaveLength(1_000_000);
  });
});

describe('formatIntrospection', () => {
  it('writes the document that the specification shows', () => {
    const xml = formatIntrospection({
      interfaces: [
        {
          name: 'com.example.Sample',
          methods: {
            Frobnicate: {
              in: 'si',
              inNames: ['text', ''],
              out: 'a{us}',
              annotations: { 'org.freedesktop.DBus.Deprecated': 'true' },
            },
            Bare: {},
          },
          signals: { Changed: { signature: 'b', names: ['new_value'] } },
          properties: { Bar: { type: 'y', access: 'readwrite', emitsChanged: 'invalidates' } },
        },
      ],
      children: ['child', 'another/child'],
    });
    expect(xml).toBe(`<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
<node>
  <interface name="com.example.Sample">
    <method name="Frobnicate">
      <annotation name="org.freedesktop.DBus.Deprecated" value="true"/>
      <arg name="text" type="s" direction="in"/>
      <arg type="i" direction="in"/>
      <arg type="a{us}" direction="out"/>
    </method>
    <method name="Bare"/>
    <signal name="Changed">
      <arg name="new_value" type="b"/>
    </signal>
    <property name="Bar" type="y" access="readwrite">
      <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="invalidates"/>
    </property>
  </interface>
  <node name="child"/>
  <node name="another/child"/>
</node>
`);
  });

  it('of nothing', () => {
    const xml = formatIntrospection({ interfaces: [], children: [] });
    expect(xml.split('\n').at(-2)).toBe('<node/>');
  });

  it('refuses what it could not write', () => {
    const one = { interfaces: [], children: [] };
    for (const child of ['', '/a', 'a/', 'a b', '"/><node name="b', 5]) {
      expect(() => formatIntrospection({ ...one, children: [child as string] })).toThrow(
        expect.objectContaining({ code: 'invalid-introspection' }),
      );
    }
    expect(() => formatIntrospection({ ...one, interfaces: [{ name: 'a"b.c' }] })).toThrow(
      expect.objectContaining({ code: 'invalid-interface' }),
    );
  });
});
