/**
 * The programs whose cold start is measured: each gets one secret and writes it as soon as it has it.
 */
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { findProgram } from '../../../scripts/lib/programs.mjs';
import { ensureKeytar } from '../addons.mjs';
import { secretOf } from './fixtures.mjs';
import { findSecretStorage } from './secretstorage.mjs';

const FOLDER = fileURLToPath(new URL('..', import.meta.url));
export const SERVICE = 'com.example.cold-start';
export const ACCOUNT = 'account-0';
export const ONE_WRITE = 'Node that writes one byte';
const ONE_WRITE_CJS = `${ONE_WRITE}, CommonJS`;
export const EMPTY = 'Node with an empty file';
export const NAPI = '@napi-rs/keyring';
export const OURS_ESM = 'secretbus, ESM';
export const OURS_CJS = 'secretbus, CommonJS';

const CONNECT = `
  const service = await SecretService.connect();
  const secret = await service.lookup({ service: process.argv[2], account: process.argv[3] });
  writeSync(1, secret.text());
  await service.close();
`;

/** Programs that get the secret of the service and the account they are given, and write it as soon as they have it. */
const SOURCES = {
  esm: `
    import { writeSync } from 'node:fs';
    import { SecretService } from '../../dist/secret/index.js';
    ${CONNECT}`,
  cjs: `
    import { writeSync } from 'node:fs';
    import { SecretService } from '../../dist/secret/index.js';
    void (async () => {${CONNECT}})();`,
  napi: `
    const { writeSync } = require('node:fs');
    const { Entry } = require('${NAPI}');
    writeSync(1, new Entry(process.argv[2], process.argv[3]).getPassword());`,
  keytar: `
    const { writeSync } = require('node:fs');
    require('keytar').getPassword(process.argv[2], process.argv[3]).then((secret) => writeSync(1, secret));`,
  python: `
import os, sys
import secretstorage
connection = secretstorage.dbus_init()
for item in secretstorage.search_items(connection, {"service": sys.argv[1], "account": sys.argv[2]}):
    os.write(1, item.get_secret())
    break
`,
};

/** `output`: what it writes; `byteLength` of all its files, where it is a bundle. @typedef {{ name: string, argv: string[], output: string, byteLength?: number }} Program */
/**
 * Bundles a program into one file, with the addon beside it that it may need.
 * @param {string} name @param {string} folder @param {string} source @param {'esm' | 'cjs'} [format] @returns {Promise<Program>}
 */
async function bundle(name, folder, source, format = 'cjs') {
  const outfile = join(folder, format === 'esm' ? 'program.mjs' : 'program.cjs');
  const { metafile } = await build({
    stdin: { contents: source, resolveDir: FOLDER },
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node20',
    format,
    outfile,
    loader: { '.node': 'copy' },
    metafile: true,
    logLevel: 'silent',
  });
  const files = Object.keys(metafile.outputs);
  return {
    name,
    argv: [process.execPath, outfile, SERVICE, ACCOUNT],
    output: secretOf(ACCOUNT),
    byteLength: files.reduce((sum, file) => sum + statSync(file).size, 0),
  };
}

/** @param {string} folder to write them to @returns {Promise<Program[]>} */
export async function makePrograms(folder) {
  /** @param {string} name @param {string} source */
  const write = (name, source) => {
    writeFileSync(join(folder, name), source);
    return join(folder, name);
  };
  /** @param {string} name @param {string} output @param {string} file @param {string} source @returns {Program} */
  const bare = (name, output, file, source) => ({
    name,
    argv: [process.execPath, write(file, source)],
    output,
  });
  const output = secretOf(ACCOUNT);
  const programs = [
    bare(EMPTY, '', 'empty.mjs', ''),
    bare(ONE_WRITE, 'x', 'write.mjs', "import { writeSync } from 'node:fs'; writeSync(1, 'x');"),
    bare(ONE_WRITE_CJS, 'x', 'write.cjs', "require('node:fs').writeSync(1, 'x');"),
    await bundle(OURS_ESM, join(folder, 'esm'), SOURCES.esm, 'esm'),
    await bundle(OURS_CJS, join(folder, 'cjs'), SOURCES.cjs),
    await bundle(NAPI, join(folder, 'napi'), SOURCES.napi),
  ];
  if (await ensureKeytar()) programs.push(await bundle('keytar', join(folder, 'keytar'), SOURCES.keytar));
  const python = findSecretStorage();
  if (python !== undefined) {
    const argv = [python.program, write('program.py', SOURCES.python), SERVICE, ACCOUNT];
    programs.push({ name: 'SecretStorage', argv, output });
  }
  const secretTool = findProgram('secret-tool');
  if (secretTool !== undefined) {
    const argv = [secretTool, 'lookup', 'service', SERVICE, 'account', ACCOUNT];
    programs.push({ name: 'secret-tool, in C', argv, output });
  }
  return programs;
}
