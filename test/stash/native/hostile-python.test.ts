/** Odd files made by Python, read by Python and by us: the same is refused for the same reason, and the rest is the same. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StashError } from '../../../src/stash/index.js';
import { Credential } from '../../../src/stash/native/credentials.js';
import { parseDerivationLimits } from '../../../src/stash/native/derivation.js';
import { LoadedLog } from '../../../src/stash/native/loaded-log.js';
import { openWithSecret } from '../../../src/stash/native/unlock.js';
import { propertyRuns } from '../../support/property-runs.js';
import { BytesLogFile, readEverything } from '../../support/stash-file.js';
import { hex, temporaryFolder, unhex } from '../support.js';
import { keySecret, scriptArbitrary } from './odd-files.js';
import { type PythonStore, usePython } from './python.js';

const pythonFor = usePython();

const limits = parseDerivationLimits(undefined);

/** Reads a file, with every value, and says what the reader in Python says. */
async function verdictOf(bytes: Uint8Array, secret: Record<string, string>): Promise<Partial<PythonStore>> {
  const [[kind, text]] = Object.entries(secret) as [[string, string]];
  const credential = new Credential(kind === 'key' ? { key: unhex(text) } : { password: unhex(text) });
  try {
    const log = await LoadedLog.load(new BytesLogFile(bytes), {
      path: '/memory',
      unlock: async (header) => (await openWithSecret(header, credential, limits, {})).dataKey,
    });
    try {
      const { header, position } = log;
      const entries = (await readEverything(log)).map(([names, value]): [string[], string | null] => [
        names,
        value === undefined ? null : hex(value),
      ]);
      return {
        entries,
        storeId: hex(header.storeId),
        epoch: header.epoch,
        generation: header.generation,
        base: header.base,
        sequence: position.sequence,
        tip: hex(position.tag),
        floor: header.floor.sequence,
        recovered: log.tornTail ?? null,
        slots: header.slots.map((slot) => ({
          kind: slot.kind,
          derivation: slot.derivation.name,
          label: slot.label,
          id: hex(slot.id),
        })),
      };
    } finally {
      log.release();
    }
  } catch (error) {
    if (error instanceof StashError) return { error: error.code };
    throw error;
  } finally {
    credential.wipe();
  }
}

/** The same with digests for long values, which nobody wants to see in full. */
function shortened({ entries = [], ...store }: Partial<PythonStore>): object {
  return { ...store, entries: entries.map(([names, value]) => [names, shortValue(value)]) };
}

function shortValue(value: string | null): string | null {
  return value === null || value.length < 100 ? value : createHash('sha256').update(value).digest('hex');
}

describe('odd files', () => {
  test('mean the same to us as to Python', async (context) => {
    const python = pythonFor(context);
    await using folder = await temporaryFolder();
    const seen: Record<string, number> = {};
    const count = (name: string): void => void (seen[name] = (seen[name] ?? 0) + 1);
    const runs = Math.max(1000, propertyRuns() / 2);
    await fc.assert(
      fc.asyncProperty(scriptArbitrary, fc.integer({ min: 0, max: 9 }), async (script, which) => {
        const { file } = folder;
        const made = await python.ask<{ error?: string; why?: string }>({ ...script, path: file });
        // Numbers that do not fit where the script wants them.
        if (made.error !== undefined) {
          expect(made.why).toMatch(/argument out of range|format requires|can.t encode/);
          return;
        }
        const secret = which === 0 ? { password: '70' } : { key: keySecret };
        const expected = await python.read(file, secret);
        const got = await verdictOf(new Uint8Array(readFileSync(file)), secret);
        if (expected.error !== undefined) expect(got).toEqual({ error: expected.error });
        else {
          const { superseded, ...rest } = expected;
          expect(shortened(got)).toEqual(shortened(rest));
          if (superseded.length > 0) count('superseded');
          if (expected.recovered !== null) count('torn');
          if (expected.entries.some(([, value]) => (value?.length ?? 0) > 65_536)) count('chunks');
        }
        count(expected.error ?? 'read');
      }),
      { numRuns: runs },
    );
    if (process.env['SHOW_COUNTS'] !== undefined) console.log(seen);
    // Otherwise nothing much was tried; of a few runs nothing can be said.
    if (runs < 1000) return;
    for (const name of [
      'read',
      'damaged-frame',
      'lost-frames',
      'damaged-header',
      'damaged-slot',
      'torn',
      'superseded',
    ]) {
      expect([name, (seen[name] ?? 0) > runs / 100]).toEqual([name, true]);
    }
    for (const name of ['chunks', 'not-a-stash', 'unsupported-version', 'wrong-password']) {
      expect([name, (seen[name] ?? 0) > 0]).toEqual([name, true]);
    }
  });
});
