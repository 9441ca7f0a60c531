/** Introspection data against real readers and writers of it: GLib, expat, busctl, gdbus, and services on a bus. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  type PrivateBus,
  type PrivateKeyring,
  startPrivateBus,
  startPrivateKeyring,
} from '../../scripts/lib/private-services.mjs';
import { PYTHONS } from '../../scripts/lib/programs.mjs';
import type { Annotations, InterfaceDefinition } from '../../src/wire/interface/definition.js';
import { formatIntrospection } from '../../src/wire/interface/format-introspection.js';
import { type ParsedIntrospection, parseIntrospection } from '../../src/wire/interface/introspection.js';
import { parseSignature } from '../../src/wire/types/signature.js';
import { introspection } from '../support/definitions.js';
import { describeWith, runs } from '../support/external.js';
import { propertyRuns } from '../support/property-runs.js';
import { serveIntrospection } from './introspection-server.js';

const run = promisify(execFile);
const ORACLE = new URL('./introspection-oracle.py', import.meta.url).pathname;
const EMITS_CHANGED = 'org.freedesktop.DBus.Property.EmitsChangedSignal';
const glibPython = PYTHONS.find((name) => runs(name, ['-c', 'from gi.repository import Gio']));
const python = PYTHONS.find((name) => runs(name, ['-c', 'import xml.parsers.expat']));

type Pairs = [string, string][];
interface GlibInterface {
  name: string;
  methods: { name: string; in: Pairs; out: Pairs; annotations: Pairs }[];
  signals: { name: string; args: Pairs; annotations: Pairs }[];
  properties: { name: string; type: string; access: number; annotations: Pairs }[];
  annotations: Pairs;
}
interface Answer {
  expat: boolean;
  glib: { interfaces: GlibInterface[]; children: (string | null)[] } | null;
}

function ask(program: string, documents: readonly string[], mode: 'glib' | 'expat'): Answer[] {
  const { stdout, stderr, status } = spawnSync(program, [ORACLE, mode], {
    input: JSON.stringify(documents),
    maxBuffer: 2 ** 30,
    encoding: 'utf8',
  });
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Answer[];
}

function pairsOf(annotations: Annotations | undefined): Pairs {
  return sorted(Object.entries(annotations ?? {}));
}

/** Each type with its name. */
function argumentsOf(signature: string | undefined, names: readonly string[] | undefined): Pairs {
  return parseSignature(signature ?? '').map((type, index) => [names?.[index] ?? '', type.signature]);
}

const BUS_OBJECT = ['--object-path', '/org/freedesktop/DBus'];

const ACCESS = { read: 1, write: 2, readwrite: 3 };

/** Our definition in the shape of GLib's. */
function asGlib(one: InterfaceDefinition): GlibInterface {
  return {
    name: one.name,
    methods: Object.entries(one.methods ?? {}).map(([name, method]) => ({
      name,
      in: argumentsOf(method.in, method.inNames),
      out: argumentsOf(method.out, method.outNames),
      annotations: pairsOf(method.annotations),
    })),
    signals: Object.entries(one.signals ?? {}).map(([name, signal]) => ({
      name,
      args: argumentsOf(signal.signature, signal.names),
      annotations: pairsOf(signal.annotations),
    })),
    properties: Object.entries(one.properties ?? {}).map(([name, property]) => ({
      name,
      type: property.type,
      access: ACCESS[property.access],
      annotations: pairsOf({
        ...property.annotations,
        ...(property.emitsChanged === undefined ? {} : { [EMITS_CHANGED]: property.emitsChanged }),
      }),
    })),
    annotations: pairsOf(one.annotations),
  };
}

/** Arguments without the names that GLib makes up for those that have none. */
function withoutMadeUp(pairs: Pairs): Pairs {
  return pairs.map(([name, type]) => [/^arg_\d+$/.test(name) ? '' : name, type]);
}

function sorted(pairs: Pairs): Pairs {
  return pairs.toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** GLib's answer without the names it makes up, and with the annotation of an interface on each of its properties. */
function normalized(one: GlibInterface): GlibInterface {
  const ofAll = one.annotations.find(([name]) => name === EMITS_CHANGED);
  const inherit = (own: Pairs): Pairs =>
    ofAll === undefined || own.some(([name]) => name === EMITS_CHANGED) ? own : [...own, ofAll];
  return {
    name: one.name,
    methods: one.methods.map((method) => ({
      ...method,
      in: withoutMadeUp(method.in),
      out: withoutMadeUp(method.out),
      annotations: sorted(method.annotations),
    })),
    signals: one.signals.map((signal) => ({
      ...signal,
      args: withoutMadeUp(signal.args),
      annotations: sorted(signal.annotations),
    })),
    properties: one.properties.map((property) => ({
      ...property,
      annotations: sorted(inherit(property.annotations)),
    })),
    annotations: sorted(one.annotations.filter((pair) => pair !== ofAll)),
  };
}

function expectSame(ours: ParsedIntrospection, theirs: NonNullable<Answer['glib']>, document: string): void {
  expect(ours.interfaces.map(asGlib), document).toEqual(theirs.interfaces.map(normalized));
  expect(ours.children, document).toEqual(theirs.children);
}

const VECTORS = new URL('../vectors/introspection/', import.meta.url);
const SYSTEM_FOLDER = '/usr/share/dbus-1/interfaces';
const recorded = readdirSync(VECTORS).map((name) => readFileSync(new URL(name, VECTORS), 'utf8'));

/** Documents of other people's interfaces that happen to be installed. */
function installed(): string[] {
  if (!existsSync(SYSTEM_FOLDER)) return [];
  return readdirSync(SYSTEM_FOLDER).map((name) => readFileSync(`${SYSTEM_FOLDER}/${name}`, 'utf8'));
}

const piece = fc.constantFrom(
  ...'<>/&;"\'=[]!?: \n\rax1'.split(''),
  '<node>',
  '</node>',
  '<node/>',
  '<a/>',
  '<![CDATA[',
  ']]>',
  '<?a?>',
  '&amp;',
  '&#x41;',
  '&#0;',
  '&a;',
  ' a=""',
  '<method name="A"/>',
  '</method>',
  '<arg type="s" direction="out"/>',
  '\u0001',
);

/** Documents without comments and declarations, in which we are more lenient than expat, changed in a few places. */
const mutated: fc.Arbitrary<string> = fc
  .tuple(
    fc.oneof(
      fc.constantFrom(
        ...recorded.map((text) => text.replace(/^[\s\S]*?(?=<node)/, '').replaceAll(/<!--.*?-->/g, '')),
      ),
      introspection.map((data) => formatIntrospection(data).replace(/^[\s\S]*?(?=<node)/, '')),
    ),
    fc.array(
      fc.record({ at: fc.nat(), remove: fc.nat({ max: 6 }), insert: fc.oneof(fc.constant(''), piece) }),
      {
        minLength: 1,
        maxLength: 2,
      },
    ),
  )
  .map(([text, edits]) =>
    edits.reduce((changed, { at, remove, insert }) => {
      const index = at % (changed.length + 1);
      return changed.slice(0, index) + insert + changed.slice(index + remove);
    }, text),
  );

/** What we make of a document: a result, or why not. */
function parse(text: string): ParsedIntrospection | string {
  try {
    return parseIntrospection(text);
  } catch (error) {
    return (error as Error).message;
  }
}

describeWith('python3 with GLib', glibPython !== undefined)('GLib', () => {
  const program = glibPython as string;

  it('reads what we write as we meant it', () => {
    const data = fc.sample(introspection, propertyRuns());
    const documents = data.map(formatIntrospection);
    const answers = ask(program, documents, 'glib');
    for (const [index, { glib, expat }] of answers.entries()) {
      const { interfaces, children } = data[index] as (typeof data)[number];
      const document = documents[index] as string;
      if (glib === null) throw new Error(`GLib refuses ${document}`);
      expect(expat, document).toBe(true);
      expectSame({ interfaces, children, ignored: [] }, glib, document);
    }
  });

  it('reads the documents of real services as we do', () => {
    const documents = [...recorded, ...installed()];
    for (const [index, { glib }] of ask(program, documents, 'glib').entries()) {
      const document = documents[index] as string;
      if (document.includes('<!ENTITY')) {
        expect(() => parseIntrospection(document)).toThrow('such as of an entity');
        continue;
      }
      // Attributes that the format does not have, which we pass over, GLib refuses.
      if (glib === null && document.includes(' other=')) continue;
      if (glib === null) throw new Error(`GLib refuses ${document}`);
      const ours = parseIntrospection(document);
      expect(ours.ignored).toEqual([]);
      expectSame(ours, glib, document);
    }
  });

  it('reads changed documents as we do, where both of us do', () => {
    const documents = fc.sample(mutated, propertyRuns());
    let both = 0;
    for (const [index, { glib }] of ask(program, documents, 'glib').entries()) {
      const document = documents[index] as string;
      const ours = parse(document);
      if (typeof ours === 'string' || glib === null || ours.ignored.length > 0) continue;
      both++;
      expectSame(ours, glib, document);
    }
    console.info(`GLib and we read ${both} of ${documents.length} changed documents, as the same`);
    expect(both).toBeGreaterThan(documents.length / 10);
    expect(both).toBeLessThan(documents.length * 0.9);
  });
});

describeWith('python3 with expat', python !== undefined)('expat', () => {
  it('finds documents well-formed as we do', () => {
    const documents = fc.sample(mutated, propertyRuns());
    const different: unknown[] = [];
    let accepted = 0;
    for (const [index, { expat }] of ask(python as string, documents, 'expat').entries()) {
      const document = documents[index] as string;
      const ours = parse(document);
      if (typeof ours !== 'string') accepted++;
      // What is well-formed need not be introspection data.
      else if (ours.includes('the outermost element is not a node')) continue;
      if ((typeof ours !== 'string') !== expat) different.push([ours, document]);
    }
    expect(different.slice(0, 3)).toEqual([]);
    console.info(`expat and we found ${accepted} of ${documents.length} changed documents well-formed`);
    expect(accepted).toBeGreaterThan(documents.length / 10);
    expect(accepted).toBeLessThan(documents.length * 0.9);
  });
});

const busPrograms =
  runs('dbus-daemon', ['--version']) &&
  runs('busctl', ['--version']) &&
  runs('gdbus', ['help', 'introspect']);

describeWith('dbus-daemon with busctl and gdbus', busPrograms)('on a bus', () => {
  let bus: PrivateBus;

  beforeAll(async () => {
    bus = await startPrivateBus();
  });

  afterAll(async () => {
    await bus?.close();
  });

  it('what the bus itself sends is read whole', async () => {
    const { stdout } = await run(
      'gdbus',
      ['introspect', '--session', '--xml', '--dest', 'org.freedesktop.DBus', ...BUS_OBJECT],
      { env: bus.env },
    );
    const { interfaces, ignored } = parseIntrospection(stdout);
    expect(ignored).toEqual([]);
    expect(interfaces.map((one) => one.name)).toContain('org.freedesktop.DBus');
  });

  it('what we serve gdbus gives back as the same, and busctl shows', async () => {
    for (const data of fc.sample(introspection, { numRuns: 10, seed: 6 })) {
      const server = await serveIntrospection(bus.address, formatIntrospection(data));
      try {
        const at = ['--dest', server.name, '--object-path', '/'];
        const { stdout } = await run('gdbus', ['introspect', '--session', '--xml', ...at], { env: bus.env });
        const again = parseIntrospection(stdout);
        // It writes the names that it made up for arguments without one.
        expect(again.ignored).toEqual([]);
        expect(again.interfaces.map((one) => normalized(asGlib(one)))).toEqual(data.interfaces.map(asGlib));
        expect(again.children).toEqual(data.children);
        const shown = await run(
          'busctl',
          [`--address=${bus.address}`, 'introspect', '--no-pager', '--no-legend', server.name, '/'],
          { env: bus.env },
        );
        for (const one of data.interfaces) {
          for (const [member, method] of Object.entries(one.methods ?? {})) {
            const line = ['\\.' + member, 'method', method.in ?? '-', method.out ?? '-'];
            expect(shown.stdout).toMatch(
              new RegExp(`^${line.map((word) => word.replaceAll(/[(){}]/g, '\\$&')).join('\\s+')}\\s`, 'm'),
            );
          }
        }
      } finally {
        await server.close();
      }
    }
  });
});

/** What an object of the keyring says of itself. */
async function introspect(keyring: PrivateKeyring, path: string): Promise<ParsedIntrospection> {
  const member = 'org.freedesktop.DBus.Introspectable.Introspect';
  const options = [`--bus=${keyring.address}`, '--print-reply=literal', '--dest=org.freedesktop.secrets'];
  const { stdout } = await run('dbus-send', [...options, path, member], { env: keyring.env });
  return parseIntrospection(stdout.trim());
}

describeWith('gnome-keyring-daemon', runs('gnome-keyring-daemon', ['--version']))('GNOME Keyring', () => {
  let keyring: PrivateKeyring;

  beforeAll(async () => {
    keyring = await startPrivateKeyring();
  });

  afterAll(async () => {
    await keyring?.close();
  });

  it('sends data that is read whole, down to its collections', async () => {
    const service = await introspect(keyring, '/org/freedesktop/secrets');
    expect(service.ignored).toEqual([]);
    expect(service.children).toContain('collection');
    const secrets = service.interfaces.find((one) => one.name === 'org.freedesktop.Secret.Service');
    expect(secrets?.methods?.['SearchItems']).toMatchObject({ in: 'a{ss}', out: 'aoao' });
    const collections = await introspect(keyring, '/org/freedesktop/secrets/collection');
    expect(collections.children).toContain('login');
    const login = await introspect(keyring, '/org/freedesktop/secrets/collection/login');
    expect(login.interfaces.map((one) => one.name)).toContain('org.freedesktop.Secret.Collection');
  });
});
