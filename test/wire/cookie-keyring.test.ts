import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CookieChallenge } from '../../src/wire/handshake/sasl-client.js';
import type { CookieAttempt } from '../../src/wire/handshake/sasl-server.js';
import { cookieMechanism } from '../../src/wire/transport/cookie-keyring.js';
import { CookieKeyring, PreparedCookie } from '../../src/wire/transport/cookie-server.js';

const CONTEXT = 'org_freedesktop_general';
const USER = process.getuid?.().toString() ?? userInfo().username;
const seconds = (): number => Math.floor(Date.now() / 1000);

let parent: string;
let directory: string;
let file: string;
let lock: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'sb-cookies-'));
  directory = join(parent, 'keyrings');
  file = join(directory, CONTEXT);
  lock = `${file}.lock`;
});

afterEach(() => rmSync(parent, { recursive: true, force: true }));

function makeKeyring(contents?: string): void {
  mkdirSync(directory, { mode: 0o700 });
  if (contents !== undefined) writeFileSync(file, contents, { mode: 0o600 });
}

function lines(): string[] {
  return readFileSync(file, 'latin1').trimEnd().split('\n');
}

function attemptOf(prepared: PreparedCookie, user = USER): CookieAttempt | undefined {
  const { mechanism } = prepared;
  return mechanism.name === 'DBUS_COOKIE_SHA1' ? mechanism.challenge(user) : undefined;
}

function respond(challenge: Partial<CookieChallenge>): string | undefined {
  return cookieMechanism({ directory }).respond({ context: CONTEXT, id: 1, challenge: 'ab', ...challenge });
}

/** Whether a client that reads the same folder gives the response that this try wants. */
function succeeds(attempt: CookieAttempt | undefined): boolean {
  if (attempt === undefined) return false;
  const [ours = '', hash] = (respond(attempt) ?? '').split(' ');
  return hash === attempt.hash(ours);
}

describe('the keyring of a server', () => {
  it('makes a folder and a file that only we can read, and a client finds its cookie there', async () => {
    const prepared = await new CookieKeyring({ directory }).prepare();
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).toEqual([CONTEXT]);
    expect(lines()).toHaveLength(1);
    expect(lines()[0]).toMatch(/^[1-9]\d* \d{10} [0-9a-f]{48}$/);
    // All its bits are random: not one digit for two.
    expect(lines()[0]).not.toMatch(/ (?:([0-9a-f])\1)+$/);
    const attempt = attemptOf(prepared);
    expect(attempt).toMatchObject({ identity: USER, context: CONTEXT });
    expect(attempt?.challenge).toMatch(/^[0-9a-f]{32}$/);
    expect(attemptOf(prepared)?.challenge).not.toBe(attempt?.challenge);
    expect(succeeds(attempt)).toBe(true);
    prepared.close();
  });

  it('lets in us by uid or name, and nobody else', async () => {
    using prepared = await new CookieKeyring({ directory }).prepare();
    expect(attemptOf(prepared, userInfo().username)?.identity).toBe(USER);
    for (const user of ['', '4000000000', 'nobody-there', `0${USER}`])
      expect(attemptOf(prepared, user)).toBeUndefined();
  });

  it('rejects everybody once it is closed, and shows no secret before', async () => {
    const prepared = await new CookieKeyring({ directory }).prepare();
    const secret = lines()[0]?.split(' ')[2] as string;
    const attempt = attemptOf(prepared);
    const shown = inspect([prepared, prepared.mechanism, attempt], { depth: 9, showHidden: true });
    expect(shown).not.toContain(secret);
    expect(JSON.stringify([prepared, attempt])).not.toContain(secret);
    prepared.close();
    expect(attempt?.hash('x')).toBeUndefined();
    expect(attemptOf(prepared)).toBeUndefined();
  });

  it('uses the newest cookie while it is young, and leaves the file as it is', async () => {
    const now = seconds();
    const contents = `1 ${now - 290} aa\n2 ${now - 10} bb\n3 ${now - 20} cc\nnonsense\n`;
    makeKeyring(contents);
    using prepared = await new CookieKeyring({ directory }).prepare();
    expect(attemptOf(prepared)?.id).toBe(2);
    expect(readFileSync(file, 'latin1')).toBe(contents);
    expect(succeeds(attemptOf(prepared))).toBe(true);
  });

  it('makes a new one when the newest is 5 minutes old, keeps what a handshake may still use, and drops the rest', async () => {
    const now = seconds();
    makeKeyring(`1 ${now - 330} aa\n2 ${now - 430} bb\n3 ${now + 400} cc\n4 ${now - 310} dd\nnonsense\n`);
    using prepared = await new CookieKeyring({ directory }).prepare();
    expect(lines().slice(0, 2)).toEqual([`1 ${now - 330} aa`, `4 ${now - 310} dd`]);
    expect(lines()).toHaveLength(3);
    expect(lines()[2]?.startsWith(`${attemptOf(prepared)?.id} `)).toBe(true);
    expect(succeeds(attemptOf(prepared))).toBe(true);
    expect(readdirSync(directory)).toEqual([CONTEXT]);
  });

  it('keeps no more than 256', async () => {
    const now = seconds();
    makeKeyring(Array.from({ length: 300 }, (_, id) => `${id} ${now - 310} aa\n`).join(''));
    using prepared = await new CookieKeyring({ directory }).prepare();
    expect(lines()).toHaveLength(256);
    expect(lines()[254]).toBe(`299 ${now - 310} aa`);
    expect(succeeds(attemptOf(prepared))).toBe(true);
  });

  it('gives one and the same cookie to all handshakes that begin at once', async () => {
    const one = new CookieKeyring({ directory });
    const other = new CookieKeyring({ directory });
    const prepared = await Promise.all(
      Array.from({ length: 20 }, () => [one.prepare(), other.prepare()]).flat(),
    );
    expect(lines()).toHaveLength(1);
    expect(new Set(prepared.map((each) => attemptOf(each)?.id)).size).toBe(1);
    prepared.shift()?.close();
    for (const each of prepared) expect(succeeds(attemptOf(each))).toBe(true);
    for (const each of prepared) each.close();
    expect(readdirSync(directory)).toEqual([CONTEXT]);
  });

  it('waits for the lock of another server, and takes the cookie that it made', async () => {
    makeKeyring('');
    writeFileSync(lock, '');
    const waiting = new CookieKeyring({ directory }).prepare();
    await sleep(80);
    writeFileSync(file, `9 ${seconds()} aa\n`);
    using prepared = await waiting;
    expect(attemptOf(prepared)?.id).toBe(9);
    expect(existsSync(lock)).toBe(true);
  });

  it('waits for the lock of another server, and takes it when that lets go', async () => {
    makeKeyring('');
    writeFileSync(lock, '');
    const waiting = new CookieKeyring({ directory }).prepare();
    await sleep(80);
    expect(lines()).toEqual(['']);
    rmSync(lock);
    using prepared = await waiting;
    expect(succeeds(attemptOf(prepared))).toBe(true);
    expect(existsSync(lock)).toBe(false);
  });

  it('breaks a lock that nobody lets go of, and not before its time', async () => {
    makeKeyring('');
    writeFileSync(lock, '');
    const started = performance.now();
    using prepared = await new CookieKeyring({ directory, lockTimeoutMs: 200 }).prepare();
    expect(performance.now() - started).toBeGreaterThan(199);
    expect(succeeds(attemptOf(prepared))).toBe(true);
    expect(readdirSync(directory)).toEqual([CONTEXT]);
  });

  it('does not break a lock that changes hands, and gives up in the end', async () => {
    makeKeyring('');
    writeFileSync(lock, '');
    const busy = setInterval(() => {
      writeFileSync(join(parent, 'other'), '');
      renameSync(join(parent, 'other'), lock);
    }, 100);
    try {
      const keyring = new CookieKeyring({ directory, lockTimeoutMs: 400 });
      const started = performance.now();
      await expect(keyring.prepare()).rejects.toMatchObject({ name: 'AuthError', code: 'keyring-locked' });
      expect(performance.now() - started).toBeGreaterThan(1500);
      expect(existsSync(lock)).toBe(true);
    } finally {
      clearInterval(busy);
    }
  });

  it('looks again once it has the lock: another server may have been faster', async () => {
    makeKeyring('');
    const contents = `9 ${seconds()} aa\n`;
    const write = (): void => {
      if (existsSync(lock)) writeFileSync(file, contents);
      else setImmediate(write);
    };
    setImmediate(write);
    using prepared = await new CookieKeyring({ directory }).prepare();
    expect(attemptOf(prepared)?.id).toBe(9);
    expect(readFileSync(file, 'latin1')).toBe(contents);
    expect(readdirSync(directory)).toEqual([CONTEXT]);
  });

  it('leaves no file behind when it cannot put the new one in its place', async () => {
    makeKeyring('');
    const block = (): void => {
      if (readdirSync(directory).some((name) => name.endsWith('.tmp'))) {
        rmSync(file);
        mkdirSync(file);
      } else setImmediate(block);
    };
    setImmediate(block);
    await expect(new CookieKeyring({ directory }).prepare()).rejects.toMatchObject({
      name: 'AuthError',
      code: 'keyring-failed',
      cause: { syscall: 'rename' },
    });
    expect(readdirSync(directory)).toEqual([CONTEXT]);
  });

  it('wipes its secret when it is closed', () => {
    const secret = Buffer.from('c0ffee');
    new PreparedCookie(CONTEXT, { id: 1, createdAt: 0, secret }).close();
    expect(secret).toEqual(Buffer.alloc(6));
  });

  it('leaves alone a lock that somebody broke and took while it was ours', async () => {
    makeKeyring('');
    writeFileSync(join(parent, 'other'), 'theirs');
    let taken = false;
    // The temporary file is there only while the lock is held.
    const take = (): void => {
      taken = readdirSync(directory).some((name) => name.endsWith('.tmp'));
      if (taken) renameSync(join(parent, 'other'), lock);
      else setImmediate(take);
    };
    setImmediate(take);
    using prepared = await new CookieKeyring({ directory }).prepare();
    expect(taken).toBe(true);
    expect(readFileSync(lock, 'latin1')).toBe('theirs');
    expect(succeeds(attemptOf(prepared))).toBe(true);
  });

  it('stops waiting when it is told to', async () => {
    makeKeyring('');
    writeFileSync(lock, '');
    const controller = new AbortController();
    const waiting = new CookieKeyring({ directory }).prepare(controller.signal);
    await sleep(40);
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toMatchObject({ name: 'CancelledError', cause: { message: 'enough' } });
    await expect(new CookieKeyring({ directory }).prepare(controller.signal)).rejects.toMatchObject({
      name: 'CancelledError',
    });
    expect(existsSync(lock)).toBe(true);
  });

  it.each(['', 'a/b', 'a\\b', 'a.b', 'a b', '..', 'é', 'a\n', 'x'.repeat(201)])(
    'has no context %j',
    (context) => {
      expect(() => new CookieKeyring({ directory, context })).toThrow(
        expect.objectContaining({ name: 'InvalidTextError', code: 'invalid-cookie-context' }),
      );
      expect(respond({ context })).toBeUndefined();
    },
  );

  it('says why it cannot be had, and leaves nothing behind', async () => {
    const keyring = new CookieKeyring({ directory });
    const failed = { name: 'AuthError', code: 'keyring-failed', cause: { code: 'ENOENT' } };
    await expect(new CookieKeyring({ directory: join(directory, 'deep') }).prepare()).rejects.toMatchObject(
      failed,
    );
    makeKeyring();
    mkdirSync(file);
    await expect(keyring.prepare()).rejects.toMatchObject({ name: 'AuthError', code: 'unsafe-keyring' });
    rmSync(file, { recursive: true });
    mkdirSync(lock);
    const broken = new CookieKeyring({ directory, lockTimeoutMs: 30 });
    await expect(broken.prepare()).rejects.toMatchObject({ name: 'AuthError', code: 'keyring-failed' });
    expect(readdirSync(directory)).toEqual([`${CONTEXT}.lock`]);
  });
});

describe('a folder that is not safe', () => {
  it.each([0o777, 0o750, 0o701, 0o710, 0o704, 0o770])('is refused with mode %o', async (mode) => {
    makeKeyring(`1 ${seconds()} aa\n`);
    expect(respond({})).toBeDefined();
    chmodSync(directory, mode);
    await expect(new CookieKeyring({ directory }).prepare()).rejects.toMatchObject({
      name: 'AuthError',
      code: 'unsafe-keyring',
    });
    expect(respond({})).toBeUndefined();
  });

  it('is refused when it is a file', async () => {
    writeFileSync(directory, '', { mode: 0o600 });
    await expect(new CookieKeyring({ directory }).prepare()).rejects.toMatchObject({
      code: 'unsafe-keyring',
    });
    expect(respond({})).toBeUndefined();
  });

  it('is refused when it is not ours', async () => {
    // Without the right to give a folder away, one that is root's will do.
    const foreign = process.geteuid?.() === 0 ? directory : '/root';
    if (foreign === directory) {
      makeKeyring(`1 ${seconds()} aa\n`);
      expect(spawnSync('chown', ['65534', directory]).status).toBe(0);
      expect(respond({})).toBeUndefined();
    }
    await expect(new CookieKeyring({ directory: foreign }).prepare()).rejects.toMatchObject({
      code: 'unsafe-keyring',
    });
  });
});

describe('the cookie of a client', () => {
  it('answers with a challenge of its own and the hash of all three, and differently each time', () => {
    makeKeyring(`1 ${seconds()} 00ff\n`);
    const [one, other] = [respond({}), respond({})];
    expect(one).toMatch(/^[0-9a-f]{32} [0-9a-f]{40}$/);
    expect(one).not.toBe(other);
  });

  it('hashes as the specification says', () => {
    // sha1('server:client:cookie'), computed by coreutils.
    makeKeyring(`1 ${seconds()} c00c1e\n`);
    const [ours = '', hash] = (respond({ challenge: 'server' }) ?? '').split(' ');
    const sum = spawnSync('sha1sum', { input: `server:${ours}:c00c1e`, encoding: 'latin1' });
    expect(sum.status).toBe(0);
    expect(hash).toBe(sum.stdout.slice(0, 40));
  });

  it('is not there when it is of another number, too old, or from the future', () => {
    const now = seconds();
    makeKeyring(`1 ${now} aa\n2 ${now - 425} bb\n3 ${now + 310} cc\n4 ${now - 410} dd\n`);
    expect([0, 1, 2, 3, 4].map((id) => respond({ id }) !== undefined)).toEqual([
      false,
      true,
      false,
      false,
      true,
    ]);
  });

  it('is not there when there is no file, no folder, or a file too large', () => {
    expect(respond({})).toBeUndefined();
    makeKeyring();
    expect(respond({})).toBeUndefined();
    const cookie = `1 ${seconds()} aa\n`;
    writeFileSync(file, cookie.padEnd(65_536, '\n'));
    expect(respond({})).toBeDefined();
    writeFileSync(file, cookie.padEnd(65_537, '\n'));
    expect(respond({})).toBeUndefined();
  });

  it('is not read from a pipe, on which it would wait for ever', () => {
    makeKeyring();
    expect(spawnSync('mkfifo', [file]).status).toBe(0);
    expect(respond({})).toBeUndefined();
  });

  it('is us by default, or whom we say', () => {
    expect(cookieMechanism().user).toBe(USER);
    expect(cookieMechanism({ user: 'else' }).user).toBe('else');
  });
});
