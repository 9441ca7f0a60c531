/** What private daemons leave behind, looked for in a temporary folder of the test's own. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, vi } from 'vitest';

/** A folder of each test of a file in the place of the system's for temporary files. */
export class TemporaryFolder {
  /** Where it is, in the test that runs. */
  path = '';

  constructor() {
    beforeEach(() => {
      this.path = mkdtempSync(join(tmpdir(), 'sb-'));
      vi.stubEnv('TMPDIR', this.path);
    });
    afterEach(() => {
      vi.unstubAllEnvs();
      rmSync(this.path, { recursive: true, force: true });
    });
  }

  /** Whether a process runs whose command line names the folder; one that waits for its parent does not. */
  isInUse(): boolean {
    return readdirSync('/proc').some((name) => {
      try {
        return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(this.path);
      } catch {
        return false;
      }
    });
  }

  /** Waits until no process uses the folder and nothing is in it; looks so many times, 20 ms apart. */
  async untilGone(attempts: number): Promise<void> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      if (!this.isInUse() && readdirSync(this.path).length === 0) return;
      await sleep(20);
    }
    throw new Error(`left behind: ${readdirSync(this.path).join(', ')}`);
  }
}
