/** `npm start`, as a user runs it: in a session with a Secret Service, without one, and interrupted. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type PrivateKeyring, startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import { ROOT } from '../../scripts/lib/run.mjs';
import { describeWith, runs } from '../support/external.js';

const run = promisify(execFile);
const SCRIPT = join(ROOT, 'scripts/start.mjs');
const ALGORITHM = 'dh-ietf1024-sha256-aes128-cbc-pkcs7';

interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let temporary: string;
beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'sb-'));
});
afterEach(() => rmSync(temporary, { recursive: true, force: true }));

/** Runs the script; `onOutput` sees all standard output so far. */
async function start(
  parameters: readonly string[],
  env: NodeJS.ProcessEnv,
  onOutput: (stdout: string, stop: () => void) => void = () => {},
): Promise<Result> {
  const child = spawn(process.execPath, [SCRIPT, ...parameters], {
    env: { ...env, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    onOutput(stdout, () => child.kill('SIGINT'));
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, stdout, stderr };
}

/** What the script has left in the keyring of a session. */
async function leftInKeyring(keyring: PrivateKeyring): Promise<string> {
  const parameters = ['search', '--all', 'application', 'secretbus'];
  const { stdout, stderr } = await run('secret-tool', parameters, { env: keyring.env });
  return stdout + stderr;
}

const present = ['dbus-daemon', 'gnome-keyring-daemon', 'secret-tool'].every((program) =>
  runs('sh', ['-c', `command -v ${program}`]),
);

describeWith('gnome-keyring-daemon with secret-tool', present)('npm start', () => {
  test('without a Secret Service starts a private one, and leaves nothing behind', async () => {
    const { DBUS_SESSION_BUS_ADDRESS: _, XDG_RUNTIME_DIR: __, ...env } = process.env;
    const { status, stdout, stderr } = await start([], env);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout).toContain(ALGORITHM);
    expect(stdout).toContain('private: this session has no Secret Service');
    expect(stdout).toMatch(/provider +gnome-keyring-daemon, process \d+, on the bus as :1\.\d+\n/);
    expect(stdout).toMatch(/\nAll was as it should be\.\n$/);
    expect(stdout.split('\n').length).toBeLessThan(25);
    expect(readdirSync(temporary)).toEqual([]);
  });

  test("uses the session's own service, and leaves nothing in it", async () => {
    await using keyring = await startPrivateKeyring();
    const { status, stdout } = await start([], keyring.env);
    expect(status).toBe(0);
    expect(stdout).toContain(`, process ${keyring.processId}, on the bus as `);
    expect(stdout).not.toContain('private');
    expect(await leftInKeyring(keyring)).toBe('');
  });

  test('asks nobody to unlock a locked collection', async () => {
    await using keyring = await startPrivateKeyring();
    await run('dbus-send', [
      `--bus=${keyring.address}`,
      '--print-reply',
      '--dest=org.freedesktop.secrets',
      '/org/freedesktop/secrets',
      'org.freedesktop.Secret.Service.Lock',
      'array:objpath:/org/freedesktop/secrets/collection/login',
    ]);
    const { status, stdout } = await start([], keyring.env);
    expect(status).toBe(0);
    expect(stdout).toContain('private: the default collection of this session is locked');
  });

  test.each(['session', 'store', 'create'])('interrupted after "%s" leaves nothing behind', async (label) => {
    await using keyring = await startPrivateKeyring();
    const { status, stdout, stderr } = await start([], keyring.env, (seen, stop) => {
      if (seen.includes(`  ${label} `)) stop();
    });
    expect(stderr).toContain('Interrupted');
    expect(status).toBe(130);
    expect(stdout).not.toContain('All was as it should be.');
    expect(await leftInKeyring(keyring)).toBe('');
    expect(readdirSync(temporary)).toEqual([]);
  });

  test('refuses unknown parameters', async () => {
    const { status, stderr } = await start(['--privat'], process.env);
    expect(status).toBe(2);
    expect(stderr).toContain('--privat');
  });
});
