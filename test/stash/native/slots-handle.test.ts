/** What opens a stash, changed through a handle: adding, removing, changing, upgrading, by several at a time. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  type CredentialOptions,
  generateKey,
  generateRecoveryKey,
  type Stash,
} from '../../../src/stash/index.js';
import { codeOf, failure, utf8 } from '../support.js';
import { cheap, hookedEnvironment, Place, sleep } from './support.js';

const one = utf8('1');
const stronger = { name: 'scrypt', N: 2048 } as const;
const full = { name: 'scrypt', N: 1024, r: 8, p: 1 } as const;

async function opens(place: Place, credential: CredentialOptions): Promise<unknown> {
  const stash = await codeOf(() => place.open({ ...credential, readOnly: true, create: false }));
  if (typeof stash === 'string') return stash;
  await (stash as Stash).close();
  return true;
}

describe('slots', () => {
  test('are listed with kind, derivation, label, and which is one’s own', async () => {
    await using place = new Place();
    const stash = await place.open({ password: 'p' });
    const recoveryKey = generateRecoveryKey();
    const ids = [
      await stash.addSlot({ key: place.key }, { label: 'key of the machine' }),
      await stash.addSlot({ recoveryKey }, { label: 'é'.repeat(12) }),
      await stash.addSlot({ password: 'q' }, { derivation: { name: 'pbkdf2', iterations: 10 } }),
      await stash.addSlot(
        { password: 'r' },
        { derivation: { name: 'argon2id', memoryKiB: 64, passes: 1, lanes: 1 } },
      ),
    ];
    const slots = await stash.slots();
    expect(slots).toEqual([
      { id: slots[0]?.id, kind: 'password', derivation: full, label: '', current: true },
      { id: ids[0], kind: 'key', derivation: { name: 'none' }, label: 'key of the machine', current: false },
      { id: ids[1], kind: 'recovery', derivation: { name: 'none' }, label: 'é'.repeat(12), current: false },
      {
        id: ids[2],
        kind: 'password',
        derivation: { name: 'pbkdf2', iterations: 10 },
        label: '',
        current: false,
      },
      {
        id: ids[3],
        kind: 'password',
        derivation: { name: 'argon2id', memoryKiB: 64, passes: 1, lanes: 1 },
        label: '',
        current: false,
      },
    ]);
    for (const { id } of slots) expect(id).toMatch(/^[0-9a-f]{32}$/);
    for (const credential of [{ password: 'p' }, {}, { recoveryKey }, { password: 'q' }, { password: 'r' }]) {
      expect(await opens(place, credential)).toBe(true);
    }
    const byKey = await place.open();
    expect((await byKey.slots()).map(({ current }) => current)).toEqual([false, true, false, false, false]);
    expect(await opens(place, { recoveryKey: generateRecoveryKey() })).toBe('wrong-key');
    expect(await opens(place, { key: generateKey() })).toBe('wrong-key');
    expect(await opens(place, { password: 's' })).toBe('wrong-password');
    expect(await opens(place, { password: '' })).toBe('wrong-password');
  });

  test('twenty, and no more', async () => {
    await using place = new Place();
    const stash = await place.open();
    const keys = Array.from({ length: 19 }, () => generateKey());
    await Promise.all(keys.map((key, index) => stash.addSlot({ key }, { label: `${index}` })));
    expect((await stash.slots()).map(({ label }) => label)).toEqual([
      '',
      ...keys.map((_key, index) => `${index}`),
    ]);
    const before = readFileSync(place.path);
    expect(await codeOf(() => stash.addSlot({ key: generateKey() }))).toBe('slots-full');
    expect(await codeOf(() => stash.changePassword('p'))).toBe('slots-full');
    expect(readFileSync(place.path).equals(before)).toBe(true);
    for (const key of keys) expect(await opens(place, { key })).toBe(true);
    const [, second] = await stash.slots();
    await stash.removeSlot(second?.id ?? '');
    await stash.changePassword('p');
    expect(await opens(place, { password: 'p' })).toBe(true);
    expect(await opens(place, { key: keys[0] })).toBe('wrong-key');
  });

  test('the last one stays; one’s own may go', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.write(['a'], one);
    const [own] = await stash.slots();
    const id = own?.id ?? '';
    expect(await codeOf(() => stash.removeSlot(id))).toBe('last-slot');
    for (const bad of ['', 'zz', id.slice(2), `${id}00`, 5, undefined, '00'.repeat(16), 'é']) {
      expect(await codeOf(() => stash.removeSlot(bad as string))).toBe('no-such-slot');
    }
    await stash.addSlot({ password: 'p' });
    await stash.removeSlot(id.toUpperCase());
    expect(await codeOf(() => stash.removeSlot(id))).toBe('no-such-slot');
    expect(await opens(place, {})).toBe('wrong-key');
    expect(await opens(place, { password: 'p' })).toBe(true);
    await stash.write(['b'], one);
    expect(await stash.children([])).toEqual(['a', 'b']);
    expect((await stash.slots()).map(({ current }) => current)).toEqual([false]);
    const [last] = await stash.slots();
    expect(await codeOf(() => stash.removeSlot(last?.id ?? ''))).toBe('last-slot');
  });

  test('labels, derivations and secrets that cannot be: nothing changes', async () => {
    await using place = new Place();
    const stash = await place.open();
    const before = readFileSync(place.path);
    for (const label of ['x'.repeat(25), 'é'.repeat(13), 'a\0', '\ud800', 5, null]) {
      expect(await codeOf(() => stash.addSlot({ password: 'p' }, { label: label as string }))).toBe(
        'bad-option',
      );
    }
    const bad: [unknown, string][] = [
      [undefined, 'bad-option'],
      [{}, 'bad-option'],
      [{ password: 'a', key: place.key }, 'bad-option'],
      [{ password: 5 }, 'bad-password'],
      [{ password: '\ud800' }, 'bad-password'],
      [{ key: 'text' }, 'bad-password'],
      [{ key: new Uint8Array(31) }, 'bad-password'],
      [{ recoveryKey: 'AAAA' }, 'bad-password'],
      [{ password: () => Promise.reject(new Error('no')) }, 'password-failed'],
      [{ password: () => 5 }, 'bad-password'],
    ];
    for (const [credential, code] of bad) {
      expect(await codeOf(() => stash.addSlot(credential as CredentialOptions))).toBe(code);
    }
    for (const derivation of [
      { name: 'none' },
      { name: 'scrypt', N: 3 },
      { name: 'scrypt', N: 2 ** 30 },
      5,
    ]) {
      const options = { derivation: derivation as typeof cheap };
      expect(await codeOf(() => stash.addSlot({ password: 'p' }, options))).toBe('bad-option');
      expect(await codeOf(() => stash.changePassword('p', options))).toBe('bad-option');
    }
    expect(readFileSync(place.path).equals(before)).toBe(true);
  });

  test('secrets are copied at the call', async () => {
    await using place = new Place();
    const stash = await place.open();
    const [key, password] = [generateKey(), utf8('password')];
    const keys = [key.slice(), password.slice()] as const;
    const busy = stash.write(['a'], new Uint8Array(1_000_000));
    const done = [
      busy,
      stash.addSlot({ key }),
      stash.changePassword(password),
      stash.rekey({ keep: [{ key }, { password }] }),
    ];
    key.fill(0);
    password.fill(0);
    await Promise.all(done);
    expect(await opens(place, { key: keys[0] })).toBe(true);
    expect(await opens(place, { password: keys[1] })).toBe(true);
    expect(await opens(place, { key: new Uint8Array(32) })).toBe('wrong-key');
    expect(await opens(place, { password: new Uint8Array(8) })).toBe('wrong-password');
  });

  test('a change of slots costs one write of the header, whatever the size of the stash', async () => {
    await using place = new Place();
    const calls: string[] = [];
    const stash = await place.openOn(hookedEnvironment((call) => void calls.push(call)));
    await stash.write(['big'], new Uint8Array(3_000_000));
    const { size } = statSync(place.path);
    calls.length = 0;
    await stash.addSlot({ password: 'p' });
    const costs = calls.filter((call) => call === 'write' || call === 'dataSync');
    expect(costs).toEqual(['dataSync', 'write', 'dataSync', 'write', 'dataSync']);
    expect(calls).not.toContain('append');
    expect(statSync(place.path).size).toBe(size);
  });

  test('a removed slot is in neither header page', async () => {
    await using place = new Place();
    const stash = await place.open();
    const id = await stash.addSlot({ password: 'p' });
    expect(readFileSync(place.path).includes(Buffer.from(id, 'hex'))).toBe(true);
    await stash.removeSlot(id);
    expect(readFileSync(place.path).includes(Buffer.from(id, 'hex'))).toBe(false);
  });
});

describe('changing the password', () => {
  test('of the handle: the old one opens no longer, other handles go on', async () => {
    await using place = new Place();
    const stash = await place.open({ password: 'old' });
    await stash.write(['a'], one);
    const other = await place.open({ password: 'old' });
    const [before] = await stash.slots();
    await stash.changePassword('new');
    expect(await opens(place, { password: 'old' })).toBe('wrong-password');
    expect(await opens(place, { password: 'new' })).toBe(true);
    expect(await other.read(['a'])).toEqual(one);
    await other.write(['b'], one);
    expect(await stash.children([])).toEqual(['a', 'b']);
    const [after] = await stash.slots();
    expect(after).toMatchObject({ current: true, label: '', derivation: full });
    expect(after?.id).not.toBe(before?.id);
    // The handle has the new password for a file that another rekeys.
    await (await place.open({ password: 'new' })).rekey();
    expect(await stash.children([])).toEqual(['a', 'b']);
    expect(await codeOf(() => other.children([]))).toBe('wrong-password');
    await stash.rekey();
    await stash.changePassword('newer', { label: 'mine' });
    await stash.changePassword('newest');
    expect((await stash.slots()).map(({ label }) => label)).toEqual(['mine']);
    expect(await opens(place, { password: 'newest' })).toBe(true);
  });

  test('a handle opened by a key changes the only password, or adds one, and keeps its key', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.changePassword('first');
    expect((await stash.slots()).map(({ kind }) => kind)).toEqual(['key', 'password']);
    await stash.changePassword('second', { label: 'words' });
    expect((await stash.slots()).map(({ kind, label, current }) => [kind, label, current])).toEqual([
      ['key', '', true],
      ['password', 'words', false],
    ]);
    expect(await opens(place, { password: 'first' })).toBe('wrong-password');
    expect(await opens(place, { password: 'second' })).toBe(true);
    await stash.rekey({ keep: [{ password: 'second' }] });
    expect(await opens(place, {})).toBe(true);
  });

  test('of several: one’s own, or that which is named', async () => {
    await using place = new Place();
    const stash = await place.open();
    const ids = [
      await stash.addSlot({ password: 'a' }),
      await stash.addSlot({ password: 'b' }, { label: 'b' }),
    ];
    const asked: string[] = [];
    const password = (): string => {
      asked.push('x');
      return 'x';
    };
    expect(await failure(() => stash.changePassword(password))).toMatchObject({ code: 'bad-option' });
    expect(await codeOf(() => stash.changePassword(password, { slot: '00'.repeat(16) }))).toBe(
      'no-such-slot',
    );
    expect(await codeOf(() => stash.changePassword(password, { slot: 5 as unknown as string }))).toBe(
      'no-such-slot',
    );
    expect(asked).toEqual([]);
    await stash.changePassword('c', { slot: ids[1] });
    expect(asked).toEqual([]);
    for (const [word, result] of [
      ['a', true],
      ['b', 'wrong-password'],
      ['c', true],
    ] as const) {
      expect([word, await opens(place, { password: word })]).toEqual([word, result]);
    }
    expect((await stash.slots()).map(({ label }) => label)).toEqual(['', '', 'b']);
    const own = await place.open({ password: 'a' });
    await own.changePassword('d');
    expect(await opens(place, { password: 'a' })).toBe('wrong-password');
    expect(await opens(place, { password: 'c' })).toBe(true);
    expect(await codeOf(() => own.changePassword('e', { slot: ids[0] }))).toBe('no-such-slot');
    const second = await place.open({ password: 'c' });
    await second.changePassword('e');
    for (const [word, result] of [
      ['c', 'wrong-password'],
      ['d', true],
      ['e', true],
    ] as const) {
      expect([word, await opens(place, { password: word })]).toEqual([word, result]);
    }
  });

  test('is refused to who only reads, before anything is asked', async () => {
    await using place = new Place();
    await place.open();
    const reader = await place.open({ readOnly: true });
    let asked = 0;
    const password = (): string => `${asked++}`;
    for (const call of [
      () => reader.addSlot({ password }),
      () => reader.changePassword(password),
      () => reader.rekey({ keep: [{ password }] }),
      () => reader.removeSlot('00'),
    ]) {
      expect(await codeOf(call)).toBe('read-only');
    }
    expect(asked).toBe(0);
    expect(await reader.slots()).toHaveLength(1);
  });
});

describe('several at a time', () => {
  test('two handles and two processes add and remove slots: none is lost', async () => {
    await using place = new Place();
    const handles = [await place.open(), await place.open()];
    const peers = [await place.peer(), await place.peer()];
    const work = [
      ...handles.map(async (handle, index) => {
        for (let round = 0; round < 4; round++) {
          await handle.addSlot({ key: generateKey() }, { label: `handle ${index} ${round}` });
          const gone = await handle.addSlot({ key: generateKey() }, { label: 'gone' });
          await handle.removeSlot(gone);
        }
      }),
      ...peers.map(async (peer, index) => {
        for (let round = 0; round < 4; round++) {
          await peer.call('addSlot', { password: `${index} ${round}` }, { label: `peer ${index} ${round}` });
          await peer.call('write', [`${index}`], one);
        }
      }),
    ];
    await Promise.all(work);
    const labels = (await (handles[0] as Stash).slots()).map(({ label }) => label);
    expect(labels).toHaveLength(17);
    for (const prefix of ['handle 0', 'handle 1', 'peer 0', 'peer 1']) {
      expect(labels.filter((label) => label.startsWith(prefix))).toHaveLength(4);
    }
    for (const index of [0, 1]) expect(await opens(place, { password: `${index} 3` })).toBe(true);
    const report = await (handles[1] as Stash).verify();
    expect(report.recovered).toBeUndefined();
    expect(await (handles[1] as Stash).children([])).toEqual(expect.arrayContaining(['0', '1']));
  });
});

describe('a rekeying by another', () => {
  test('while the secret of a new slot is asked for: the slot has the new data key', async () => {
    await using place = new Place();
    const stash = await place.open();
    const other = await place.open();
    const password = async (): Promise<string> => {
      await other.rekey();
      return 'p';
    };
    await stash.addSlot({ password });
    expect(await opens(place, { password: 'p' })).toBe(true);
    expect(await opens(place, {})).toBe(true);
  });

  test('while the new password is asked for: the slot to replace is gone, and nothing is harmed', async () => {
    await using place = new Place();
    const stash = await place.open({ password: 'p' });
    const other = await place.open({ password: 'p' });
    const password = async (): Promise<string> => {
      await other.rekey();
      return 'q';
    };
    expect(await codeOf(() => stash.changePassword(password))).toBe('no-such-slot');
    expect(await opens(place, { password: 'q' })).toBe('wrong-password');
    expect(await opens(place, { password: 'p' })).toBe(true);
    await stash.changePassword('q');
    expect(await opens(place, { password: 'q' })).toBe(true);
  });
});

const slotsOf = async (place: Place): Promise<unknown> => {
  const stash = await place.open({ readOnly: true });
  const slots = await stash.slots();
  await stash.close();
  return slots.filter(({ kind }) => kind === 'password').map(({ derivation, label }) => [derivation, label]);
};

async function made(place: Place, derivation: Parameters<Place['open']>[0] = {}): Promise<void> {
  const stash = await place.open();
  await stash.write(['a'], one);
  await stash.addSlot({ password: 'p' }, { label: 'mine', ...derivation });
  await stash.close();
}

describe('upgrading', () => {
  test('from weaker scrypt, and from PBKDF2, when it is opened; the password is asked for once', async () => {
    for (const derivation of [cheap, { name: 'pbkdf2', iterations: 2 ** 20 } as const]) {
      await using place = new Place();
      await made(place, {
        derivation: derivation.name === 'pbkdf2' ? { name: 'pbkdf2', iterations: 20 } : derivation,
      });
      let asked = 0;
      const password = (): string => {
        asked++;
        return 'p';
      };
      const other = await place.open();
      const stash = await place.open({ password, derivation: stronger });
      expect(asked).toBe(1);
      expect(await slotsOf(place)).toEqual([[{ ...full, N: 2048 }, 'mine']]);
      expect((await stash.slots()).map(({ current }) => current)).toEqual([false, true]);
      expect(await stash.read(['a'])).toEqual(one);
      expect(await other.read(['a'])).toEqual(one);
      // And not again.
      const before = readFileSync(place.path);
      const again = await place.open({ password, derivation: stronger });
      await again.close();
      expect(readFileSync(place.path).equals(before)).toBe(true);
      expect(asked).toBe(2);
      await stash.changePassword('q');
      expect(await opens(place, { password: 'q' })).toBe(true);
    }
  });

  test('not for who only reads, who does not want it, who is weaker, or while another holds the lock', async () => {
    await using place = new Place();
    await made(place, { derivation: cheap });
    const before = readFileSync(place.path);
    let derived = 0;
    const onProgress = ({ phase, done }: { phase: string; done: number }): void => {
      if (phase === 'derive' && done === 1) derived++;
    };
    const others = [
      { readOnly: true, derivation: stronger },
      { upgrade: false, derivation: stronger },
      { derivation: { name: 'scrypt', N: 512 } as const },
      { derivation: { name: 'pbkdf2', iterations: 2 ** 24 } as const },
    ];
    for (const options of others) await (await place.open({ password: 'p', onProgress, ...options })).close();
    expect(derived).toBe(others.length);
    const release = await place.holdLock();
    await (await place.open({ password: 'p', derivation: stronger })).close();
    expect(readFileSync(place.path).equals(before)).toBe(true);
    release();
    await (await place.open({ derivation: stronger })).close();
    expect(readFileSync(place.path).equals(before)).toBe(true);
  });

  test('a failure of it, or a slot that another changes meanwhile, is no failure of opening', async () => {
    await using place = new Place();
    await made(place, { derivation: cheap });
    const other = await place.open({ password: 'p', upgrade: false });
    let changed: Promise<void> | undefined;
    const onProgress = ({ phase }: { phase: string }): void => {
      if (phase === 'derive') changed ??= other.changePassword('q');
    };
    const stash = await place.open({ password: 'p', derivation: stronger, onProgress });
    await changed;
    expect(await stash.read(['a'])).toEqual(one);
    expect(await opens(place, { password: 'q' })).toBe(true);
    let fails = true;
    const environment = hookedEnvironment((call) => {
      if (fails && call === 'open write') throw Object.assign(new Error('EACCES'), { code: 'EACCES' });
    });
    const failed = await place.openOn(environment, {
      password: 'q',
      derivation: { name: 'scrypt', N: 4096 },
    });
    fails = false;
    await failed.write(['b'], one);
    expect(await stash.children([])).toEqual(['a', 'b']);
  });

  test('a file that another rekeys with a weaker slot is followed without more ado', async () => {
    await using place = new Place();
    await made(place, { derivation: stronger });
    let derived = 0;
    const onProgress = ({ phase, done }: { phase: string; done: number }): void => {
      if (phase === 'derive' && done === 1) derived++;
    };
    const stash = await place.open({ password: 'p', derivation: stronger, onProgress });
    expect(derived).toBe(1);
    const other = await place.open({ password: 'p', upgrade: false });
    await other.changePassword('p', { derivation: cheap });
    await other.rekey({ dropOthers: true });
    expect(await stash.read(['a'])).toEqual(one);
    expect(derived).toBe(2);
  });
});

describe('limits', () => {
  test('a slot that asks for too much is passed over, and is an error if no other opens', async () => {
    await using place = new Place();
    const stash = await place.open();
    await stash.addSlot({ password: 'p' }, { derivation: { name: 'scrypt', N: 2 ** 12 } });
    const derivationLimits = { maxMemoryBytes: 2 ** 21 };
    const refused = await failure(() => place.open({ password: 'p', derivationLimits }));
    expect(refused).toMatchObject({ code: 'derivation-too-costly', maximum: 2 ** 21 });
    await stash.addSlot({ password: 'p' }, { derivation: cheap });
    expect(await (await place.open({ password: 'p', derivationLimits })).children([])).toEqual([]);
    expect(await codeOf(() => place.open({ password: 'q', derivationLimits }))).toBe('derivation-too-costly');
    expect(await codeOf(() => place.open({ password: 'q' }))).toBe('wrong-password');
  });
});

describe('sources of secrets', () => {
  test('functions, sync and async, are asked once on making and once on opening, and their bytes left alone', async () => {
    await using place = new Place();
    let asked = 0;
    const bytes = place.key.slice();
    const key = async (): Promise<Uint8Array> => {
      asked++;
      await sleep(5);
      return bytes;
    };
    const stash = await place.open({ key });
    expect(asked).toBe(1);
    await stash.write(['a'], one);
    await stash.compact();
    await stash.read(['a']);
    await stash.addSlot({ password: 'p' });
    expect(asked).toBe(1);
    const other = await place.open({
      key: () => {
        asked++;
        return bytes;
      },
    });
    expect(asked).toBe(2);
    expect(await other.read(['a'])).toEqual(one);
    expect(bytes).toEqual(place.key);
    // Rekeying wraps the new key with what the function gives.
    await stash.rekey({ dropOthers: true });
    expect(asked).toBe(3);
    expect(await other.read(['a'])).toEqual(one);
    expect(asked).toBe(4);
  });

  test('functions that throw, or give what is no key', async () => {
    await using place = new Place();
    const cause = new Error('the keyring is locked');
    const failing: [CredentialOptions, object][] = [
      [{ key: () => Promise.reject(cause) }, { code: 'password-failed', cause }],
      [
        {
          key: () => {
            throw cause;
          },
        },
        { code: 'password-failed', cause },
      ],
      [{ key: () => new Uint8Array(3) }, { code: 'bad-password' }],
      [{ key: (() => 'text') as unknown as () => Uint8Array }, { code: 'bad-password' }],
      [{ password: async () => '\udc00' }, { code: 'bad-password' }],
      [{ recoveryKey: () => 'no recovery key' }, { code: 'bad-password' }],
    ];
    for (let round = 0; round < 2; round++) {
      for (const [credential, fields] of failing) {
        expect(await failure(() => place.open(credential))).toMatchObject(fields);
      }
      expect(place.names()).toEqual(round === 0 ? [] : ['a.stash']);
      await place.open();
    }
  });

  test('a recovery key is typed as people type', async () => {
    await using place = new Place();
    const recoveryKey = generateRecoveryKey();
    const stash = await place.open();
    await stash.addSlot({ recoveryKey });
    const typed = recoveryKey.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l');
    expect(await opens(place, { recoveryKey: typed })).toBe(true);
    expect(await opens(place, { recoveryKey: utf8(recoveryKey) })).toBe(true);
    const mistyped = recoveryKey.replace(/^./, (digit) => (digit === '0' ? '2' : '0'));
    expect(await opens(place, { recoveryKey: mistyped })).toBe('bad-password');
    const byRecovery = await place.open({ recoveryKey });
    await byRecovery.changePassword('new');
    expect(await opens(place, { password: 'new' })).toBe(true);
  });
});

test('a file copied before a slot was removed opens with it still, and not in the place of the file', async () => {
  await using place = new Place();
  const stash = await place.open();
  await stash.write(['a'], one);
  const id = await stash.addSlot({ password: 'p' });
  const old = readFileSync(place.path);
  await stash.removeSlot(id);
  await stash.write(['b'], one);
  writeFileSync(`${place.path} old`, old);
  const copy = await place.open({ password: 'p' }, `${place.path} old`);
  expect(await copy.children([])).toEqual(['a']);
});
