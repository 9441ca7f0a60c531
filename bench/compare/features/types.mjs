/**
 * What the declarations of a package tell a compiler: found out by compiling programs with TypeScript against them.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { absent, FOLDER, packageFolder } from './run.mjs';

const execute = promisify(execFile);
const ROOT = join(FOLDER, '../..');

/** @typedef {import('./run.mjs').Check} Check */

/** How many errors: one in the wrong program must be one that the right program has not. @param {string} text */
const count = (text) => text.match(/error TS/g)?.length ?? 0;

/** Compiles a program in strict mode. @param {string} library @param {string} source @returns {Promise<string>} what the compiler says; nothing if all is well */
async function compile(library, source) {
  const folder = mkdtempSync(join(tmpdir(), 'secretbus-features-'));
  try {
    const modules = join(folder, 'node_modules');
    mkdirSync(join(modules, '@homebridge'), { recursive: true });
    symlinkSync(packageFolder(library), join(modules, library));
    symlinkSync(join(ROOT, 'node_modules/@types'), join(modules, '@types'));
    // Faults in the declarations are the package's own, so they are not skipped.
    const compilerOptions = {
      strict: true,
      noEmit: true,
      module: 'nodenext',
      target: 'es2022',
      types: ['node'],
    };
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
    const extension = source.includes('= require(') ? 'cts' : 'ts';
    writeFileSync(join(folder, `program.${extension}`), source);
    await execute(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder], {
      timeout: 60_000,
    });
    return '';
  } catch (error) {
    return String(/** @type {any} */ (error).stdout || error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A program that calls a method with arguments of `signature`. @type {Record<string, (signature: string, body: string, use: string) => string>} */
const CALLS = {
  secretbus: (signature, body, use) => `
    import { openBus, Variant } from 'secretbus/wire';
    const bus = await openBus('unix:path=/bus');
    const [value] = await bus.call({ destination: 'a.b', path: '/', member: 'M', signature: '${signature}', body: ${body}, replySignature: 'a{sv}' });
    ${use} void Variant;`,
  'dbus-native': (signature, body, use) => `
    import dbus = require('dbus-native');
    async function program() {
      const bus = dbus.sessionBus();
      const value = await bus.invoke({ destination: 'a.b', path: '/', member: 'M', signature: '${signature}', body: ${body} });
      ${use}
    } void program;`,
  'dbus-next': (signature, body, use) => `
    import * as dbus from 'dbus-next';
    const bus = dbus.sessionBus();
    const reply = await bus.call(new dbus.Message({ destination: 'a.b', path: '/', member: 'M', signature: '${signature}', body: ${body} }));
    const value = reply!.body[0];
    ${use}`,
  '@homebridge/dbus-native': (signature, body, use) => `
    import * as dbus from '@homebridge/dbus-native';
    dbus.systemBus().invoke({ destination: 'a.b', path: '/', member: 'M', signature: '${signature}', body: ${body} }, (_, value) => { ${use} });`,
};

/** @param {string} library */
const program = (library) => /** @type {(typeof CALLS)[string]} */ (CALLS[library]);

/** @type {Check} */
const declarations = {
  feature: 'Types in the package, without a fault of their own',
  async run(library) {
    const said = await compile(library, program(library)('su', "['a', 1]", 'void value;'));
    return said === '' ? { cell: 'yes' } : { cell: 'with faults', why: said };
  },
};

/** @param {string} feature @param {string} signature @param {string} body @param {string} use @returns {Check} */
function typeError(feature, signature, body, use) {
  return {
    feature,
    async run(library) {
      const right = await compile(library, program(library)('su', "['a', 1]", 'void value;'));
      const wrong = await compile(library, program(library)(signature, body, use));
      return count(wrong) > count(right) ? { cell: 'yes', why: wrong } : { cell: 'no', why: wrong };
    },
  };
}

const XML = `<node><interface name="org.example.Thing"><method name="Add"><arg name="amount" type="u" direction="in"/><arg
 name="total" type="u" direction="out"/></method></interface></node>`;

/** A call by a proxy with `argument`. @type {Record<string, (argument: string, folder: string) => Promise<string>>} */
const PROXIES = {
  secretbus: async (argument) => `
    import { openBus, defineInterface } from 'secretbus/wire';
    const Thing = defineInterface({ name: 'org.example.Thing', methods: { Add: { in: 'u', out: 'u' } } });
    const proxy = (await openBus('unix:path=/bus')).proxy('a.b', '/', Thing);
    const total: number = await proxy.call.Add(${argument}); void total;`,
  async 'dbus-native'(argument, folder) {
    const file = join(folder, 'thing.xml');
    writeFileSync(file, XML);
    const tool = join(packageFolder('dbus-native'), 'bin/dbus-native.js');
    const { stdout } = await execute(process.execPath, [tool, 'types', '--xml', file]);
    return `${stdout}
    import dbus = require('dbus-native');
    async function program() {
      const thing = await dbus.sessionBus().getService('a.b').getInterface<OrgExampleThing>('/', 'org.example.Thing');
      const total: number = await thing.Add(${argument}); void total;
    } void program;`;
  },
};

/** @type {Check} */
const proxies = {
  feature: 'Methods of a proxy typed',
  async run(library) {
    const make = PROXIES[library];
    // What a program declares by hand is not the library's.
    if (make === undefined) return absent(library, /ValuesOf|--xml/);
    const folder = mkdtempSync(join(tmpdir(), 'secretbus-features-'));
    try {
      const right = await compile(library, await make('1', folder));
      const wrong = await compile(library, await make("'text'", folder));
      if (right !== '' || wrong === '') return { cell: 'no', why: right };
      return { cell: library === 'secretbus' ? 'from the definition' : 'by a generator', why: wrong };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

export const TYPES = [
  declarations,
  typeError('Arguments typed by a literal signature', 'su', "['a', 'b']", 'void value;'),
  typeError('Values of a reply typed by its signature', 'su', "['a', 1]", 'value.nothingLikeThat();'),
  proxies,
];
