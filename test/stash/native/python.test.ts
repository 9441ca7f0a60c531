/** Our files read by the reader in Python that was made from docs/stash-format.md alone. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { argon2id } from '@noble/hashes/argon2.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Stash, StashError, type StashOperation } from '../../../src/stash/index.js';
import { parseHeader } from '../../../src/stash/native/header-page.js';
import { propertyRuns } from '../../support/property-runs.js';
import { hex, nameArbitrary, temporaryFolder, unhex, utf8 } from '../support.js';
import { readVector } from './header-support.js';
import { type PythonStore, usePython } from './python.js';

const pythonFor = usePython();

const key = new Uint8Array(32).fill(7);
/** Both forms of a recovery key, the text made by Python. */
const { recoveryKey, recoveryBytes } = readVector();

/** Every function, at next to no cost. */
const derivations = [
  { name: 'scrypt', N: 2, r: 1, p: 1 },
  { name: 'scrypt', N: 16, r: 2, p: 3 },
  { name: 'argon2id', memoryKiB: 8, passes: 1, lanes: 1 },
  { name: 'argon2id', memoryKiB: 35, passes: 2, lanes: 4 },
  { name: 'pbkdf2', iterations: 3 },
] as const;

type Step =
  | { type: 'batch'; operations: StashOperation[] }
  | { type: 'password'; password: string; derivation: (typeof derivations)[number]; label: string }
  | { type: 'slot'; derivation: (typeof derivations)[number]; label: string }
  | { type: 'compact' | 'rekey' | 'recovery' | 'sync' }
  | { type: 'reopen'; padding: boolean; durability: 'full' | 'none' };

const keyArbitrary = fc.array(
  fc.oneof({ weight: 3, arbitrary: fc.constantFrom('a', 'b', 'c') }, nameArbitrary),
  { minLength: 1, maxLength: 4 },
);

/** Values of all the lengths around which something changes, of bytes that differ. */
const valueArbitrary = fc
  .tuple(
    fc.oneof(
      { weight: 20, arbitrary: fc.nat(300) },
      { weight: 2, arbitrary: fc.nat(9000) },
      fc.constantFrom(32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 131_072, 131_073, 200_000),
    ),
    fc.nat(255),
  )
  .map(([byteLength, first]) => Uint8Array.from({ length: byteLength }, (_, index) => first + index * 7));

const operationArbitrary: fc.Arbitrary<StashOperation> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ type: fc.constant('write' as const), key: keyArbitrary, value: valueArbitrary }),
  },
  fc.record({ type: fc.constant('make' as const), key: keyArbitrary }),
  fc.record({
    type: fc.constant('remove' as const),
    key: fc.oneof({ weight: 9, arbitrary: keyArbitrary }, fc.constant([])),
  }),
);

const labelArbitrary = fc.constantFrom('', 'desk', 'ü', '24 bytes of a label 🔑');

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      type: fc.constant('batch' as const),
      operations: fc.array(operationArbitrary, { maxLength: 4 }),
    }),
  },
  fc.record({
    type: fc.constant('password' as const),
    password: fc.constantFrom('', 'p', 'pässword', '🔑'),
    derivation: fc.constantFrom(...derivations),
    label: labelArbitrary,
  }),
  fc.record({
    type: fc.constant('slot' as const),
    derivation: fc.constantFrom(...derivations),
    label: labelArbitrary,
  }),
  fc.record({
    type: fc.constantFrom('compact' as const, 'rekey' as const, 'recovery' as const, 'sync' as const),
  }),
  fc.record({
    type: fc.constant('reopen' as const),
    padding: fc.boolean(),
    durability: fc.constantFrom('full' as const, 'none' as const),
  }),
);

/** What a store was made by, and what opens it. */
class Writer {
  readonly path: string;
  readonly secrets: Record<string, string>[] = [{ key: hex(key) }];
  stash: Stash;

  private constructor(path: string, stash: Stash) {
    this.path = path;
    this.stash = stash;
  }

  static async start(path: string): Promise<Writer> {
    return new Writer(path, await Stash.open(path, { key, create: true }));
  }

  async step(step: Step): Promise<void> {
    const { stash } = this;
    switch (step.type) {
      case 'batch':
        try {
          await stash.batch(step.operations);
        } catch (error) {
          if (!(error instanceof StashError) || error.code !== 'key-not-found') throw error;
        }
        return;
      case 'password':
      case 'slot': {
        const { derivation, label } = step;
        const password = step.type === 'slot' ? 'another' : step.password;
        if ((await stash.slots()).filter(({ kind }) => kind === 'password').length > 0) return;
        if (step.type === 'slot') await stash.addSlot({ password }, { derivation, label });
        else await stash.changePassword(password, { derivation, label });
        this.secrets.push({ password: hex(utf8(password)) });
        return;
      }
      case 'recovery':
        if ((await stash.slots()).some(({ kind }) => kind === 'recovery')) return;
        await stash.addSlot({ recoveryKey }, { label: 'drawer' });
        this.secrets.push({ recovery: hex(recoveryBytes) });
        return;
      case 'rekey':
        await stash.rekey({ dropOthers: true });
        this.secrets.length = 1;
        return;
      case 'compact':
        await stash.compact();
        return;
      case 'sync':
        await stash.sync();
        return;
      default: {
        const { padding, durability } = step;
        await stash.close();
        this.stash = await Stash.open(this.path, { key, padding, durability, upgrade: false });
      }
    }
  }
}

/** What we say of the same file. */
async function ours(stash: Stash): Promise<Omit<PythonStore, 'superseded'>> {
  const entries: [string[], string | null][] = [];
  for await (const { key: names, value } of stash.nodes([])) {
    entries.push([names, value === undefined ? null : hex(value)]);
  }
  const slots = await stash.slots();
  const { storeId, epoch, sequence, tip } = await stash.anchor();
  const { base, floor, generation } = parseHeader(readFileSync(stash.path).subarray(0, 8192));
  return {
    entries,
    storeId,
    epoch,
    sequence,
    tip,
    base,
    generation,
    floor: floor.sequence,
    recovered: null,
    slots: slots.map(({ kind, derivation, label, id }) => ({ kind, derivation: derivation.name, label, id })),
  };
}

describe('what Stash writes, the reader in Python reads', () => {
  test('after any sequence of changes, with any of the secrets', async (context) => {
    const python = pythonFor(context);
    const seen = { files: 0, entries: 0, large: 0, pages: 0, passwords: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(stepArbitrary, { maxLength: 12 }), fc.nat(), async (steps, choice) => {
        await using folder = await temporaryFolder();
        const writer = await Writer.start(folder.file);
        try {
          for (const step of steps) await writer.step(step);
          for (const end of [false, true]) {
            if (end) await writer.step({ type: 'reopen', padding: true, durability: 'full' });
            const expected = await ours(writer.stash);
            const secret = writer.secrets[choice % writer.secrets.length] as Record<string, string>;
            expect(await python.read(folder.file, secret)).toEqual({ ...expected, superseded: [] });
            seen.files++;
            seen.entries += expected.entries.length;
            seen.large += expected.entries.filter(([, value]) => (value?.length ?? 0) > 65_536).length;
            seen.pages += expected.epoch > 1 ? 1 : 0;
            seen.passwords += 'password' in secret ? 1 : 0;
          }
        } finally {
          await writer.stash.close();
        }
      }),
      { numRuns: Math.ceil(propertyRuns() / 4) },
    );
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(propertyRuns() / 50);
  });
});

describe('a file that was made by Python', () => {
  type Bytes = string | { repeat: string; count: number };
  interface Vector {
    readonly script: { readonly slots: { kind: string; secret: Bytes }[] };
    readonly entries: [string[], Bytes | null][];
    readonly recovered: object;
    readonly anchor: object;
  }
  const folder = new URL('../../vectors/stash/', import.meta.url);
  const vector = JSON.parse(readFileSync(new URL('native.json', folder), 'utf8')) as Vector;
  const hexOf = (bytes: Bytes): string =>
    typeof bytes === 'string' ? bytes : bytes.repeat.repeat(bytes.count);
  const expected = vector.entries.map(([names, value]) => [names, value === null ? null : hexOf(value)]);

  test.each(vector.script.slots.map((slot): [string, string] => [slot.kind, hexOf(slot.secret)]))(
    'opens by its %s, and has in it what Python put there',
    async (kind, secret) => {
      const bytes = unhex(secret);
      const credential =
        kind === 'password'
          ? { password: bytes }
          : kind === 'key'
            ? { key: bytes }
            : { recoveryKey: writtenDown(bytes) };
      const options = { ...credential, readOnly: true };
      await using stash = await Stash.open(fileURLToPath(new URL('native.stash', folder)), options);
      expect((await ours(stash)).entries).toEqual(expected);
      expect(stash.recovered).toMatchObject(vector.recovered);
      expect(await stash.anchor()).toMatchObject(vector.anchor);
      expect((await stash.slots()).map(({ label }) => label)).toEqual([
        'scrypt',
        'Argon2id, ü',
        '',
        'drawer',
        '',
      ]);
      expect(await stash.verify()).toMatchObject({ values: 5, frames: 5 });
    },
  );

  test('is made again, byte by byte', async (context) => {
    await using place = await temporaryFolder();
    await pythonFor(context).ask({ ...vector.script, path: place.file });
    expect(readFileSync(place.file).equals(readFileSync(new URL('native.stash', folder)))).toBe(true);
    expect(await pythonFor(context).read(place.file, { key: '4b'.repeat(40) })).toMatchObject({
      entries: expected,
    });
  });
});

/** A recovery key as its owner would have it on paper. */
function writtenDown(key32: Uint8Array): string {
  const checked = Buffer.concat([key32, createHash('sha256').update(key32).digest().subarray(0, 3)]);
  const bits = Array.from(checked, (byte) => byte.toString(2).padStart(8, '0')).join('');
  const digits = bits
    .match(/.{5}/g)
    ?.map((five) => '0123456789ABCDEFGHJKMNPQRSTVWXYZ'[Number.parseInt(five, 2)]);
  return digits?.join('') ?? '';
}

describe('Argon2id', () => {
  test('is the same in Python as here, for several lanes too', async (context) => {
    const python = pythonFor(context);
    for (const [memory, passes, lanes] of [
      [8, 1, 1],
      [33, 2, 3],
      [64, 3, 4],
      [200, 2, 2],
    ] as const) {
      const [secret, salt] = [utf8(`secret ${memory}`), utf8('a salt of 16 by.')];
      const expected = argon2id(secret, salt, { m: memory, t: passes, p: lanes, dkLen: 32 });
      const request = { op: 'argon2id', password: hex(secret), salt: hex(salt), memory, passes, lanes };
      expect(await python.ask(request)).toEqual({ key: hex(expected) });
    }
  });
});
