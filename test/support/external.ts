/** Real peers that tests need from the machine: missing ones are said loudly, and are a failure in CI. */
import { spawnSync } from 'node:child_process';
import { describe } from 'vitest';

/** Whether `program` runs with `args` and ends 0. */
export function runs(program: string, args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore', timeout: 20_000 }).status === 0;
}

/**
 * `describe` where the peer is present; else a warning, or with CI=true an error.
 * @param command - What installs it, as root on Debian.
 */
export function describeWith(
  peer: string,
  present: boolean,
  command = 'npm test',
): typeof describe | typeof describe.skip {
  if (present) return describe;
  if (process.env['CI'] === 'true') throw new Error(`${peer} is missing, and CI must have it`);
  console.warn(
    `\n!! ${peer} is missing: tests against it are skipped. \`${command}\` as root on Debian installs it.\n`,
  );
  return describe.skip;
}
