/**
 * Sizes: what a program that imports secretbus/wire, secretbus/secret or secretbus/stash adds to its bundle, minified and
 * gzipped, as `.size-limit.js` measures it; and the addons that programs carry beside their bundle.
 */

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { formatBytes } from './statistics.mjs';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const WIRE = '../../dist/wire/index.js';
const SECRET = '../../dist/secret/index.js';
const STASH = '../../dist/stash/index.js';
const GZIP = { level: 9 };

const OURS = [
  {
    name: 'secretbus/wire, client only',
    source: `export { openBus, sessionBus, systemBus } from '${WIRE}'`,
    most: 16_000,
  },
  {
    name: 'secretbus/wire, codec only',
    source: `export { marshal, unmarshal, Variant } from '${WIRE}'`,
    most: 7_000,
  },
  {
    name: 'secretbus/wire, codec and messages',
    source: `export { decodeMessage, encodeMessage, marshal, MessageParser, unmarshal, Variant } from '${WIRE}'`,
  },
  { name: 'secretbus/wire, all', source: `export * from '${WIRE}'` },
  {
    name: 'secretbus/secret, with wire and noble',
    source: `export * from '${SECRET}'`,
    most: 24_000,
  },
  { name: 'secretbus/stash, with noble', source: `export * from '${STASH}'`, most: 26_000 },
  { name: 'secretbus/stash, Stash alone', source: `export { Stash } from '${STASH}'` },
  { name: 'secretbus/stash, SecureStash alone', source: `export { SecureStash } from '${STASH}'` },
];
const THEIRS = ['dbus-native', 'dbus-next', '@homebridge/dbus-native'].map((name) => ({
  name,
  source: `export * from '${name}'`,
}));

/** @param {string} source @param {import('esbuild').BuildOptions} options */
async function bundle(source, options) {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: FOLDER },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    logLevel: 'silent',
    ...options,
  });
  const bytes = outputFiles?.[0]?.contents;
  if (bytes === undefined) throw new Error('esbuild gave no file');
  return { minified: bytes.length, gzipped: gzipSync(bytes, GZIP).length };
}

/** The addons of keytar, where it is built, and of @napi-rs/keyring for this machine. */
function measureAddons() {
  const keytar = `${FOLDER}node_modules/keytar/build/Release/keytar.node`;
  const files = existsSync(keytar) ? [{ name: 'keytar, its addon, beside libsecret', file: keytar }] : [];
  createRequire(import.meta.url)('@napi-rs/keyring');
  const loaded = Object.keys(createRequire(import.meta.url).cache).find((path) =>
    /keyring[^/]*\.node$/.test(path),
  );
  if (loaded !== undefined)
    files.push({ name: '@napi-rs/keyring, its addon for one platform', file: loaded });
  return files.map(({ name, file }) => {
    const bytes = readFileSync(file);
    return { name, size: { minified: bytes.length, gzipped: gzipSync(bytes, GZIP).length } };
  });
}

/** @returns {Promise<import('./report.mjs').Group[]>} */
export async function measureSizes() {
  const rows = [];
  const asked = [];
  /** @type {Record<string, { minified: number, gzipped: number }>} */
  const data = {};
  for (const { name, source, most } of OURS) {
    const size = await bundle(source, { platform: 'neutral', external: ['node:*'] });
    data[name] = size;
    rows.push([name, formatBytes(size.minified), formatBytes(size.gzipped)]);
    if (most !== undefined) {
      const reached = size.gzipped <= most;
      asked.push({
        what: name,
        asked: `≤ ${formatBytes(most)}`,
        measured: formatBytes(size.gzipped),
        reached,
      });
    }
  }
  for (const { name, source } of THEIRS) {
    // Native addons that are optional stay outside, as a bundle for Node leaves them.
    const size = await bundle(source, { platform: 'node', external: ['usocket', 'x11', '*.node'] });
    data[name] = size;
    rows.push([name, formatBytes(size.minified), formatBytes(size.gzipped)]);
  }
  for (const { name, size } of measureAddons()) {
    data[name] = size;
    rows.push([name, formatBytes(size.minified), formatBytes(size.gzipped)]);
  }
  return [
    {
      title: 'Sizes',
      how: "Bundled by esbuild with all it imports but Node's own modules, minified, and gzipped at level 9; 1 kB is 1,000 bytes. Of the other libraries all that they export, since CommonJS modules cannot be taken apart; of addons the file that is loaded, as it is.",
      tables: [{ title: 'In a bundle', columns: ['', 'minified', 'gzipped'], rows }],
      asked,
      data,
    },
  ];
}
