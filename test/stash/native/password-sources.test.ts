/** Passwords and keys from the environment, files, descriptors and systemd's folder: real ones, each time. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, closeSync, constants, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { isatty } from 'node:tty';
import { inspect } from 'node:util';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Credential, type CredentialOptions } from '../../../src/stash/native/credentials.js';
import {
  keyFromFile,
  passwordFromCredential,
  passwordFromDescriptor,
  passwordFromEnvironment,
  passwordFromFile,
} from '../../../src/stash/native/password-sources.js';
import { codeOf, failure, hex, temporaryFolder, utf8 } from '../support.js';

/** Every file that was opened. */
const opened: FileHandle[] = [];

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  return {
    ...real,
    open: async (...args: Parameters<typeof real.open>) => {
      const file = await real.open(...args);
      opened.push(file);
      return file;
    },
  };
});

/** Asks a source as a stash does. */
async function ask(options: CredentialOptions): Promise<string> {
  return hex((await new Credential(options).read(undefined)).bytes);
}

const asked = (password: CredentialOptions['password']): Promise<string> => ask({ password });

const onWindows = process.platform === 'win32';

afterEach(() => {
  vi.unstubAllEnvs();
});

/** What is in a file, and which password that is; nothing where there is none. */
const contents: readonly (readonly [string, Uint8Array, string | undefined])[] = [
  ['text', utf8('pässword'), hex(utf8('pässword'))],
  ['a newline at its end', utf8('p\n'), '70'],
  ['a newline of Windows', utf8('p\r\n'), '70'],
  ['two newlines', utf8('p\n\n'), '700a'],
  ['a carriage return', utf8('p\r'), '700d'],
  ['two lines', utf8('p\nq\n'), '700a71'],
  ['white space', utf8(' p \t\n'), '20702009'],
  ['NUL and bytes that are no UTF-8', Uint8Array.of(0, 0xff, 0, 0x0a), '00ff00'],
  ['a byte order mark', utf8('\ufeffp'), 'efbbbf70'],
  ['nothing', utf8(''), undefined],
  ['a newline alone', utf8('\n'), undefined],
  ['a newline of Windows alone', utf8('\r\n'), undefined],
  ['1 MiB', new Uint8Array(2 ** 20).fill(0x61), '61'.repeat(2 ** 20)],
  ['more than that', new Uint8Array(2 ** 20 + 1).fill(0x61), undefined],
];

describe('a file', () => {
  test.each(contents)('with %s', async (_name, bytes, password) => {
    await using folder = await temporaryFolder();
    writeFileSync(folder.file, bytes);
    const result = await codeOf(() => asked(passwordFromFile(folder.file)));
    expect(result).toBe(password ?? 'password-failed');
  });

  test('is read when it is asked for, each time', async () => {
    await using folder = await temporaryFolder();
    const credential = new Credential({ password: passwordFromFile(folder.file) });
    expect(await codeOf(() => credential.read(undefined))).toBe('password-failed');
    for (const text of ['first', 'second']) {
      writeFileSync(folder.file, text);
      expect((await credential.read(undefined)).bytes).toEqual(utf8(text));
    }
  });

  test('is the one that the path meant when it was given', async () => {
    await using folder = await temporaryFolder();
    writeFileSync(folder.file, 'here');
    const cwd = vi.spyOn(process, 'cwd').mockReturnValue(folder.path);
    const source = passwordFromFile('store.sstash');
    cwd.mockRestore();
    expect(await asked(source)).toBe(hex(utf8('here')));
  });

  test('that others may read is read: so are secrets of containers', async () => {
    await using folder = await temporaryFolder();
    writeFileSync(folder.file, 'p\n');
    chmodSync(folder.file, 0o444);
    expect(await asked(passwordFromFile(folder.file))).toBe('70');
  });

  test.each<[string, string]>([
    ['that is missing', 'missing'],
    ['that is a folder', '.'],
    ['below a file', 'store.sstash/x'],
  ])('%s: password-failed, with the cause', async (_name, name) => {
    await using folder = await temporaryFolder();
    writeFileSync(folder.file, 'p');
    const error = await failure(() => asked(passwordFromFile(join(folder.path, name))));
    expect(error).toMatchObject({ code: 'password-failed', name: 'StashValueError' });
    expect(error.cause).toHaveProperty('code');
  });

  test.skipIf(onWindows)('that is a FIFO, as shells make for <(...)', async () => {
    await using folder = await temporaryFolder();
    execFileSync('mkfifo', [folder.file]);
    const writer = spawn('sh', [
      '-c',
      `{ printf "in two "; sleep 0.1; echo parts; } > "$1"`,
      'sh',
      folder.file,
    ]);
    const ended = once(writer, 'close');
    expect(await asked(passwordFromFile(folder.file))).toBe(hex(utf8('in two parts')));
    await ended;
  });

  test('is closed again, whatever comes of it', async () => {
    await using folder = await temporaryFolder();
    writeFileSync(folder.file, 'p');
    opened.length = 0;
    await asked(passwordFromFile(folder.file));
    writeFileSync(folder.file, new Uint8Array(2 ** 20 + 1));
    await codeOf(() => asked(passwordFromFile(folder.file)));
    await codeOf(() => asked(passwordFromFile(folder.path)));
    expect(opened.length).toBeGreaterThanOrEqual(onWindows ? 2 : 3);
    expect(opened.map(({ fd }) => fd)).toEqual(opened.map(() => -1));
  });
});

describe('a descriptor', () => {
  test.each(contents)('with %s', async (_name, bytes, password) => {
    await using folder = await temporaryFolder();
    writeFileSync(folder.file, bytes);
    const descriptor = openSync(folder.file, 'r');
    try {
      const result = await codeOf(() => asked(passwordFromDescriptor(descriptor)));
      expect(result).toBe(password ?? 'password-failed');
      // It is the caller's, and at its end.
      expect(await codeOf(() => asked(passwordFromDescriptor(descriptor)))).toBe('password-failed');
    } finally {
      closeSync(descriptor);
    }
  });

  test.skipIf(onWindows)('of a pipe that is not always ready is read to its end, once', async () => {
    await using folder = await temporaryFolder();
    execFileSync('mkfifo', [folder.file]);
    const reading = openSync(folder.file, constants.O_RDONLY | constants.O_NONBLOCK);
    const writing = openSync(folder.file, 'w');
    const command = 'sleep 0.1; printf "in two "; sleep 0.1; echo parts';
    const writer = spawn('sh', ['-c', command], { stdio: ['ignore', writing, 'inherit'] });
    const ended = once(writer, 'close');
    closeSync(writing);
    try {
      const source = passwordFromDescriptor(reading);
      expect(await asked(source)).toBe(hex(utf8('in two parts')));
      expect(await codeOf(() => asked(source))).toBe('password-failed');
    } finally {
      closeSync(reading);
      await ended;
    }
  });

  test('that is closed, or not for reading: password-failed', async () => {
    await using folder = await temporaryFolder();
    const descriptor = openSync(folder.file, 'w');
    writeSync(descriptor, 'p');
    const source = passwordFromDescriptor(descriptor);
    const error = await failure(() => asked(source));
    expect(error).toMatchObject({ code: 'password-failed', cause: { code: 'EBADF' } });
    closeSync(descriptor);
    expect(await codeOf(() => asked(passwordFromDescriptor(99_999)))).toBe('password-failed');
  });

  test.skipIf(process.platform !== 'linux')('of a terminal is refused', async () => {
    const terminal = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
    try {
      expect(isatty(terminal)).toBe(true);
      const error = await failure(() => asked(passwordFromDescriptor(terminal)));
      expect(error.code).toBe('password-failed');
      expect(error.message).toContain('terminal');
    } finally {
      closeSync(terminal);
    }
  });

  test('is a number', async () => {
    for (const descriptor of [-1, 1.5, Number.NaN, Infinity, 2 ** 31, '0', undefined, null, 0n]) {
      const make = (): unknown => passwordFromDescriptor(descriptor as number);
      expect([descriptor, await codeOf(make)]).toEqual([descriptor, 'bad-option']);
    }
  });
});

describe('an environment variable', () => {
  test('is the password as it is', async () => {
    for (const text of ['pässword', 'p\n', ' p ', '🔑']) {
      vi.stubEnv('STASH_TEST_PASSWORD', text);
      expect(await asked(passwordFromEnvironment('STASH_TEST_PASSWORD'))).toBe(hex(utf8(text)));
    }
  });

  test('is looked at when it is asked for', async () => {
    const source = passwordFromEnvironment('STASH_TEST_PASSWORD');
    expect(await codeOf(() => asked(source))).toBe('password-failed');
    vi.stubEnv('STASH_TEST_PASSWORD', 'p');
    expect(await asked(source)).toBe('70');
    vi.stubEnv('STASH_TEST_PASSWORD', '');
    const error = await failure(() => asked(source));
    expect(error.code).toBe('password-failed');
    expect(error.message).toContain('STASH_TEST_PASSWORD');
  });

  test('has a name that can be one', async () => {
    for (const name of ['', 'a=b', 'a\0', 5, undefined, null]) {
      const make = (): unknown => passwordFromEnvironment(name as string);
      expect([name, await codeOf(make)]).toEqual([name, 'bad-option']);
    }
  });

  test.skipIf(onWindows)('is text, which bytes that are no UTF-8 are not', async () => {
    const show = 'process.stdout.write(process.env.X)';
    const command = `X=$(printf 'a\\377b') "$0" -e '${show}'`;
    const seen = execFileSync('sh', ['-c', command, process.execPath], { encoding: 'utf8' });
    vi.stubEnv('STASH_TEST_PASSWORD', seen);
    expect(await codeOf(() => asked(passwordFromEnvironment('STASH_TEST_PASSWORD')))).toBe('password-failed');
  });

  test('is not what objects inherit', async () => {
    for (const name of ['__proto__', 'toString', 'constructor']) {
      const error = await failure(() => asked(passwordFromEnvironment(name)));
      expect(error).toMatchObject({
        code: 'password-failed',
        message: expect.stringContaining('not set') as string,
      });
    }
  });
});

describe("systemd's folder", () => {
  test('has the credential', async () => {
    await using folder = await temporaryFolder();
    const source = passwordFromCredential('store.sstash');
    vi.stubEnv('CREDENTIALS_DIRECTORY', undefined);
    expect((await failure(() => asked(source))).message).toContain('CREDENTIALS_DIRECTORY');
    vi.stubEnv('CREDENTIALS_DIRECTORY', folder.path);
    const error = await failure(() => asked(source));
    expect(error).toMatchObject({ code: 'password-failed', cause: { code: 'ENOENT' } });
    for (const [, bytes, password] of contents) {
      writeFileSync(folder.file, bytes);
      expect(await codeOf(() => asked(source))).toBe(password ?? 'password-failed');
    }
  });

  test('and nothing outside it', async () => {
    for (const name of ['', '.', '..', '../x', '/etc/passwd', 'a/b', 'a\\b', 'a\0', 5, undefined]) {
      const make = (): unknown => passwordFromCredential(name as string);
      expect([name, await codeOf(make)]).toEqual([name, 'bad-option']);
    }
  });
});

describe('a key file', () => {
  test('is all of its bytes', async () => {
    await using folder = await temporaryFolder();
    const key = new Uint8Array(40).fill(7);
    key[39] = 0x0a;
    writeFileSync(folder.file, key);
    expect(await ask({ key: keyFromFile(folder.file) })).toBe(hex(key));
  });

  test('of another length, or none, is refused', async () => {
    await using folder = await temporaryFolder();
    const source = keyFromFile(folder.file);
    expect(await codeOf(() => ask({ key: source }))).toBe('password-failed');
    for (const [length, code] of [
      [0, 'bad-password'],
      [31, 'bad-password'],
      [2 ** 20 + 1, 'password-failed'],
    ] as const) {
      writeFileSync(folder.file, new Uint8Array(length));
      expect([length, await codeOf(() => ask({ key: source }))]).toEqual([length, code]);
    }
    rmSync(folder.file);
  });
});

test('paths are checked at once', async () => {
  for (const make of [passwordFromFile, keyFromFile]) {
    for (const path of ['', 'a\0b', 5, undefined, null]) {
      expect([path, await codeOf(() => make(path as string))]).toEqual([path, 'bad-option']);
    }
  }
});

test('no error shows what was read', async () => {
  await using folder = await temporaryFolder();
  const marker = 'tr0ub4dor';
  writeFileSync(folder.file, marker.repeat(120_000));
  for (const options of [
    { password: passwordFromFile(folder.file) },
    { key: keyFromFile(folder.file) },
    { recoveryKey: passwordFromFile(folder.file) },
  ]) {
    const error = await failure(() => ask(options));
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(marker);
  }
});

test('what was read on the way is wiped', async () => {
  await using folder = await temporaryFolder();
  const spy = vi.spyOn(Uint8Array.prototype, 'slice');
  writeFileSync(folder.file, 'p\n');
  expect(await asked(passwordFromFile(folder.file))).toBe('70');
  const seen = [...spy.mock.contexts] as Uint8Array[];
  spy.mockRestore();
  const lengths = seen.map((buffer) => buffer.length);
  expect(lengths).toEqual(expect.arrayContaining([2 ** 20 + 1, 2]));
  for (const buffer of seen) if (buffer.length !== 1) expect(buffer.every((byte) => byte === 0)).toBe(true);
});
