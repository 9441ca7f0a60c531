/** Nothing secret shows: in files, in errors, in what inspecting shows. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { generateRecoveryKey, type StashError } from '../../../src/stash/index.js';
import { failure, utf8 } from '../support.js';
import { hookedEnvironment, Place } from './support.js';

const value = 'swordfish and more of it';
const password = 'correct horse battery';
const otherPassword = 'another password';
const name = 'the name of a key';

/** All the ways in which something may be written. */
function spellings(secret: Uint8Array | string): Buffer[] {
  const bytes = Buffer.from(secret as string);
  return [
    bytes,
    Buffer.from(bytes.toString('hex')),
    Buffer.from(bytes.toString('hex').toUpperCase()),
    Buffer.from(bytes.toString('base64')),
    Buffer.from(bytes.toString('utf8'), 'utf16le'),
    Buffer.from([...bytes].join(', ')),
    Buffer.from([...bytes].join(',')),
    Buffer.from([...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')),
  ];
}

describe('files', () => {
  test('no file, temporary or not, ever holds a value, a name, a password or a key', async () => {
    await using place = new Place();
    const recoveryKey = generateRecoveryKey();
    const secrets = [value, password, otherPassword, name, place.key, recoveryKey, 'large value'].flatMap(
      spellings,
    );
    const seen = new Set<string>();
    let looks = 0;
    const look = (call: string): void => {
      for (const file of readdirSync(place.folder)) {
        const bytes = readFileSync(join(place.folder, file));
        looks++;
        for (const secret of secrets)
          if (bytes.includes(secret)) seen.add(`${call} ${file} ${secret.toString('latin1')}`);
      }
    };
    const environment = hookedEnvironment((call) => /write|append|rename|sync/i.test(call) && look(call));
    for (const padding of [true, false]) {
      const stash = await place.openOn(environment, { padding });
      await stash.write([name, 'below'], utf8(value));
      await stash.batch([
        { type: 'write', key: [name, name], value: utf8(value.repeat(10)) },
        { type: 'write', key: ['large'], value: utf8('large value '.repeat(10_000)) },
        { type: 'remove', key: [name, 'below'] },
      ]);
      await stash.addSlot({ password });
      await stash.addSlot({ recoveryKey }, { label: 'this is for all to read' });
      await stash.compact();
      await stash.rekey({ keep: [{ password }, { recoveryKey }] });
      await stash.changePassword(otherPassword);
      await stash.salvage(join(place.folder, `saved ${padding}`));
      await stash.rekey({ dropOthers: true });
      await stash.close();
      look('at the end');
    }
    expect([...seen]).toEqual([]);
    expect(looks).toBeGreaterThan(100);
    // The search finds what is there.
    expect(readFileSync(place.path).includes('this is for all')).toBe(false);
    expect(readFileSync(join(place.folder, 'saved true')).includes('this is for all')).toBe(true);
  });

  test('the same value twice is different bytes; nonces and salts never repeat', async () => {
    await using place = new Place();
    const stash = await place.open({ padding: false });
    for (let round = 0; round < 50; round++) await stash.write(['k'], utf8(value));
    const bytes = readFileSync(place.path).subarray(8192);
    const frame = bytes.length / 50;
    const nonces = new Set<string>();
    const bodies = new Set<string>();
    for (let index = 0; index < 50; index++) {
      const at = index * frame;
      nonces.add(bytes.toString('hex', at + 32, at + 56));
      bodies.add(bytes.toString('hex', at + 72, at + frame));
    }
    expect([nonces.size, bodies.size]).toEqual([50, 50]);
    const other = await place.open({}, `${place.path} other`);
    const ids = [await stash.anchor(), await other.anchor()].map(({ storeId }) => storeId);
    expect(ids[0]).not.toBe(ids[1]);
  });
});

describe('what is shown', () => {
  test('no inspection of a handle or an error shows a value, a password or a key', async () => {
    await using place = new Place();
    let fails = '';
    const environment = hookedEnvironment((call) => {
      if (call === fails) throw Object.assign(new Error('EIO'), { code: 'EIO' });
    });
    const stash = await place.openOn(environment, { password });
    await stash.write([name], utf8(value));
    await stash.write(['large'], utf8('large value '.repeat(10_000)));
    const reader = await place.open({ password: () => password, readOnly: true });
    const shown: unknown[] = [
      stash,
      stash.entries(),
      stash.nodes([]),
      stash.watch(),
      reader,
      reader.entries(),
    ];
    const errors: StashError[] = [];
    const failing: (() => Promise<unknown>)[] = [
      () => stash.read(['missing']),
      () => stash.read([]),
      () => stash.write(['a'], value as unknown as Uint8Array),
      () =>
        stash.batch([
          { type: 'write', key: ['a'], value: utf8(value) },
          { type: 'remove', key: ['missing'] },
        ]),
      () => stash.batch([value] as never),
      () => place.open({ password: `${password}!` }),
      () => place.open({ password: `${password}\ud800` }),
      () => place.open({ key: utf8(password) }),
      () => place.open({ key: password as unknown as Uint8Array }),
      () => place.open({ recoveryKey: password }),
      () =>
        place.open({
          password,
          derivation: { name: 'pbkdf2', iterations: 1 },
          derivationLimits: { maxMemoryBytes: 1 },
        }),
      () => place.open({ password, signal: AbortSignal.abort() }),
      () => stash.addSlot({ password: utf8(password), key: place.key }),
      () => stash.addSlot({ password: otherPassword }, { label: 'x'.repeat(25) }),
      () => stash.rekey({ keep: [{ password: otherPassword }] }),
      () => stash.changePassword(5 as unknown as string),
      () => reader.write(['a'], utf8(value)),
    ];
    for (const call of failing) errors.push(await failure(call));
    fails = 'append';
    errors.push(await failure(() => stash.write(['a'], utf8(value))));
    fails = 'dataSync';
    errors.push(await failure(() => stash.write(['a'], utf8(value))));
    fails = '';
    errors.push(await failure(() => stash.write(['a'], utf8(value))));
    expect(errors.map(({ code }) => code)).toEqual([
      'key-not-found',
      'empty-key',
      'bad-value',
      'key-not-found',
      'bad-option',
      'wrong-password',
      'bad-password',
      'bad-password',
      'bad-password',
      'bad-password',
      'derivation-too-costly',
      'cancelled',
      'bad-option',
      'bad-option',
      'wrong-password',
      'bad-password',
      'read-only',
      'io-failed',
      'not-durable',
      'poisoned',
    ]);
    const secrets = [value, password, otherPassword, place.key, 'large value'].flatMap(spellings);
    for (const each of [...shown, ...errors]) {
      const options = {
        depth: 20,
        showHidden: true,
        getters: true,
        maxArrayLength: 10_000,
        maxStringLength: 100_000,
      };
      let text = inspect(each, options) + String(each);
      if (each instanceof Error) text += (each.stack ?? '') + JSON.stringify(each);
      for (const secret of secrets) expect(text.includes(secret.toString('latin1'))).toBe(false);
    }
    // Nor does a name that was not asked for show.
    for (const each of errors) expect(inspect(each)).not.toContain(name);
    expect(JSON.stringify(stash)).toBe('{}');
  });
});
