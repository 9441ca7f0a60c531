import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PrivateKeyring, startPrivateKeyring } from '../scripts/lib/private-services.mjs';
import { describeWith, runs } from './support/external.js';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const present = ['dbus-daemon', 'gnome-keyring-daemon'].every((program) => runs('which', [program]));

interface Example {
  name: string;
  code: string;
  /** What the comments behind `console.log(…);` say is printed, in order. */
  printed: string[];
}

/** The `js` blocks of a document. */
function examplesOf(document: string): Example[] {
  const text = readFileSync(join(ROOT, document), 'utf8');
  return Array.from(text.matchAll(/```js\n([\s\S]*?)```/g), ([, code = ''], index) => ({
    name: `${document}, example ${index + 1}`,
    code,
    printed: Array.from(code.matchAll(/console\.log\(.*\); \/\/ (.+)/g), ([, line = '']) => line),
  }));
}

const DOCUMENTS = ['README.md', ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)].filter(
  (name) => name.endsWith('.md'),
);

describe('the documents', () => {
  it('have an example of each main use', () => {
    const code = examplesOf('README.md')
      .map((example) => example.code)
      .join('\n');
    for (const entry of ['secretbus', 'secretbus/wire', 'secretbus/secret', 'secretbus/stash']) {
      expect(code).toContain(`from '${entry}';`);
    }
  });

  it.each(DOCUMENTS)('%s links to files that are there', (document) => {
    const text = readFileSync(join(ROOT, document), 'utf8');
    const targets = Array.from(text.matchAll(/\]\((?!https:)([^)#]+)/g), ([, target = '']) => target);
    for (const target of targets) expect(existsSync(join(ROOT, document, '..', target)), target).toBe(true);
  });
});

describeWith('gnome-keyring-daemon', present)('the examples', () => {
  let daemon: PrivateKeyring;
  let directory: string;

  beforeAll(async () => {
    if (!existsSync(join(ROOT, 'dist/wire/index.js'))) throw new Error('dist/ is not built: npm run build');
    daemon = await startPrivateKeyring();
    directory = mkdtempSync(join(tmpdir(), 'sb-'));
    mkdirSync(join(directory, 'node_modules'));
    symlinkSync(ROOT, join(directory, 'node_modules/secretbus'));
  });

  afterAll(async () => {
    rmSync(directory, { recursive: true, force: true });
    await daemon?.close();
  });

  it.each(DOCUMENTS.flatMap(examplesOf).map((example) => [example.name, example] as const))(
    '%s runs and prints what it says',
    async (_name, example) => {
      expect(example.printed.length).toBeGreaterThan(0);
      const file = join(directory, 'example.mjs');
      writeFileSync(file, example.code);
      const { stdout, stderr } = await run(process.execPath, [file], {
        cwd: directory,
        env: daemon.env,
        timeout: 60_000,
      });
      expect(stdout.trimEnd().split('\n')).toEqual(example.printed);
      expect(stderr).toBe('');
    },
  );
});
