/** An error at each call of programs: it is typed, what was acknowledged stays, and what was refused has left nothing. */
import { describe, expect, test } from 'vitest';
import { StashError } from '../../../../src/stash/errors.js';
import type { CredentialOptions } from '../../../../src/stash/native/credentials.js';
import type { Stash } from '../../../../src/stash/native/stash.js';
import type { StashOptions } from '../../../../src/stash/native/stash-options.js';
import type { StashOperation } from '../../../../src/stash/sstash/batch.js';
import type { Fault, Process } from './disk.js';
import { bytes, checkMoments, newKey, openOn, Watch } from './harness.js';
import { listing } from './track.js';

const cheap = { derivation: { name: 'scrypt', N: 2, r: 1 } } as const;

/** Runs the steps of a program, and keeps to the account what came of each. */
class Steps {
  readonly watch: Watch;
  readonly process: Process;
  /** Codes of the errors. */
  readonly codes: string[] = [];
  stash: Stash | undefined;

  constructor(watch: Watch, process: Process) {
    this.watch = watch;
    this.process = process;
  }

  /** The code of the error of an action, or undefined. */
  async codeOf(action: () => Promise<unknown>): Promise<string | undefined> {
    try {
      await action();
      return undefined;
    } catch (error) {
      if (!(error instanceof StashError)) throw error;
      this.codes.push(error.code);
      return error.code;
    }
  }

  async open(options: Partial<StashOptions> = {}): Promise<void> {
    await this.codeOf(async () => {
      this.stash = await this.watch.open(options, this.process);
    });
  }

  /** Whether the handle says of itself that it does not know what is on the disk. */
  async isPoisoned(): Promise<boolean> {
    const { stash } = this;
    if (stash === undefined) return false;
    return (await this.codeOf(() => stash.has(['any']))) === 'poisoned';
  }

  async change(...operations: readonly StashOperation[]): Promise<void> {
    const { stash } = this;
    if (stash === undefined) return;
    const { track } = this.watch;
    const before = await this.isPoisoned();
    const code = await this.codeOf(() => track.batch(stash, operations));
    if (code === undefined) return;
    if (before) expect(code).toBe('poisoned');
    const after = await this.isPoisoned();
    if (code === 'not-durable') expect(after).toBe(true);
    // Otherwise nobody knows.
    if (before || !after) track.withdraw();
  }

  async write(name: string, byteLength = 40): Promise<void> {
    await this.change({ type: 'write', key: [name], value: bytes(byteLength) });
  }

  /** Does something that changes who can open the store: from what may and must open it now to what shall. */
  async slots(
    action: (stash: Stash) => Promise<unknown>,
    now: CredentialOptions[],
    then: CredentialOptions[],
  ): Promise<void> {
    const { stash } = this;
    const { track } = this.watch;
    if (stash === undefined || track.openers.one.length > 0) return;
    const { every, none } = track.openers;
    track.setOpeners({
      every: every.filter((each) => !now.includes(each)),
      one: [...now, ...then],
      none: none.filter((each) => !then.includes(each)),
    });
    const before = await this.isPoisoned();
    const code = await this.codeOf(() => action(stash));
    if (code === undefined)
      track.setOpeners({
        every: [...every.filter((each) => !now.includes(each)), ...then],
        one: [],
        none: [...none, ...now],
      });
    else if (before || !(await this.isPoisoned())) track.setOpeners({ every, one: [], none });
    // Nobody knows; but those that nobody spoke of still open it.
    else if (now.length === 0) track.setOpeners({ one: [] });
  }

  async run(action: (stash: Stash) => Promise<unknown>): Promise<void> {
    const { stash } = this;
    if (stash !== undefined) await this.codeOf(() => action(stash));
  }
}

type Program = (steps: Steps) => Promise<void>;

const programs: Record<string, Program> = {
  'creating and writing': async (steps) => {
    await steps.open();
    await steps.write('a');
    await steps.write('b');
    await steps.change(
      { type: 'write', key: ['c'], value: bytes(40) },
      { type: 'remove', key: ['c'] },
      { type: 'write', key: ['d'], value: bytes(4) },
    );
    await steps.write('large', 140_000);
    await steps.write('large', 40);
    await steps.run((stash) => stash.verify());
    await steps.run((stash) => stash.close());
  },
  'removing, and large values in a batch': async (steps) => {
    await steps.open();
    await steps.write('a');
    await steps.change({ type: 'remove', key: [] });
    const large = [40_000, 70_000].map(
      (count) => ({ type: 'write', key: [`${count}`], value: bytes(count) }) as const,
    );
    await steps.change(...large);
    await steps.write('a');
    await steps.run((stash) => stash.read(['40000']));
  },
  compaction: async (steps) => {
    await steps.open();
    await steps.write('a');
    await steps.write('large', 70_000);
    await steps.run((stash) => stash.compact());
    await steps.write('a');
    await steps.write('b');
    await steps.run((stash) => stash.close());
  },
  'key slots': async (steps) => {
    const key = newKey();
    await steps.open(cheap);
    await steps.write('a');
    await steps.slots((stash) => stash.addSlot(key), [], [key]);
    await steps.write('a');
    await steps.slots((stash) => stash.addSlot({ password: 'first' }, cheap), [], [{ password: 'first' }]);
    await steps.write('b');
    await steps.run((stash) => stash.close());
  },
  'passwords and rekeying': async (steps) => {
    const [first, second] = [{ password: 'first' }, { password: 'second' }];
    await steps.open(cheap);
    await steps.slots((stash) => stash.addSlot(first, cheap), [], [first]);
    await steps.write('a');
    if (!steps.watch.track.openers.every.includes(first)) return;
    await steps.slots((stash) => stash.changePassword('second', cheap), [first], [second]);
    await steps.write('a');
    const { every } = steps.watch.track.openers;
    await steps.slots(
      (stash) => stash.rekey({ dropOthers: true }),
      every.filter((each) => each === first || each === second),
      [],
    );
    await steps.write('b');
    await steps.run((stash) => stash.close());
  },
};

/** What is done instead of the call, and of those behind it. */
interface Kind {
  readonly faults: readonly Fault[];
  /** Whether all later calls fail as the last of these. */
  readonly forGood?: boolean;
  readonly only?: RegExp;
}

const writing = /^(?:append|write)$/;
const kinds: Record<string, Kind> = {
  EIO: { faults: [{ code: 'EIO' }] },
  'EIO from then on': { faults: [{ code: 'EIO' }], forGood: true },
  ENOSPC: { faults: [{ code: 'ENOSPC' }], only: /^(?:append|write|create|dataSync|sync|link|truncate)$/ },
  'ENOSPC from then on': {
    faults: [{ code: 'ENOSPC' }],
    forGood: true,
    only: /^(?:append|write|create|dataSync|sync)$/,
  },
  EDQUOT: { faults: [{ code: 'EDQUOT' }], only: /^(?:append|write|create|dataSync|sync)$/ },
  'half of the bytes': { faults: [{ part: 0.5 }], only: writing },
  'half of the bytes, then ENOSPC': { faults: [{ part: 0.5 }, { code: 'ENOSPC' }], only: writing },
  'half of the bytes, then ENOSPC for good': {
    faults: [{ part: 0.5 }, { code: 'ENOSPC' }],
    only: writing,
    forGood: true,
  },
  'half of the bytes, then none': { faults: [{ part: 0.5 }, { part: 0 }], only: writing },
  'no bytes': { faults: [{ part: 0 }], only: writing },
  'half of the bytes and EIO at once': { faults: [{ part: 0.5, code: 'EIO' }], only: writing },
  'all of the bytes and EIO at once': { faults: [{ part: 1, code: 'EIO' }], only: writing },
};

describe.each(Object.entries(programs))('%s', (_name, program) => {
  test.each(Object.entries(kinds))('%s', async (_kind, { faults, forGood = false, only = /./ }) => {
    let count = 0;
    let poisoned = 0;
    const failed = new Set<string>();
    for (let at = 0, reached = true; reached; at++) {
      let calls = 0;
      let next = 0;
      let failedAt = '';
      let syncs = 0;
      const watch = new Watch();
      const process = watch.disk.process((call) => {
        if (next === 0 ? !only.test(call) || calls++ < at : !forGood && next >= faults.length) {
          if (next > 0 && call === 'dataSync') syncs++;
          return undefined;
        }
        if (next === 0) failedAt = call;
        return faults[Math.min(next++, faults.length - 1)];
      });
      const steps = new Steps(watch, process);
      const { track } = watch;
      try {
        await program(steps);
        reached = failedAt !== '';
        if (!reached) {
          expect(steps.codes).toEqual([]);
          break;
        }
        count++;
        failed.add(failedAt);
        const isPoisoned = await steps.isPoisoned();
        poisoned += Number(isPoisoned);
        // A sync that failed says nothing when it is done again.
        if (failedAt === 'dataSync' && !forGood)
          expect([isPoisoned || steps.codes.includes('closed'), syncs]).toEqual([true, 0]);
        // Any state that a power failure now would leave, and what there is without one.
        watch.look('the end');
        const { stash } = steps;
        if (stash !== undefined && !isPoisoned && !steps.codes.includes('closed') && !forGood) {
          expect(await listing(stash)).toBe(track.latest);
          await track.write(stash, ['it works'], bytes(10));
        }
        // Where the disk does nothing more, it is the power failure that ends it.
        if (forGood && /[sS]ync$/.test(failedAt)) {
          await checkMoments(watch, 'coarse');
          continue;
        }
        const again = await openOn(watch.disk.process(), { ...openerOf(watch), create: true });
        const found = await listing(again);
        expect(track.expectation.listings).toContain(found);
        if (!track.created) track.markCreated();
        track.recover(found);
        await track.write(again, ['another'], bytes(10));
        expect(watch.disk.names.size).toBe(1);
        await again.close();
        watch.look('the end');
        await checkMoments(watch, 'coarse');
      } catch (error) {
        throw new Error(`${failedAt}, call ${at}: ${String(error)}`, { cause: error });
      }
    }
    console.log(`${count} failures, ${poisoned} poisoned: ${[...failed].join(' ')}`);
    expect(count).toBeGreaterThan(3);
  });
});

function openerOf({ credential, track }: Watch): CredentialOptions {
  return track.openers.every.includes(credential) ? credential : (track.openers.every[0] ?? credential);
}
