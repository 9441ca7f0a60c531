/**
 * SecretStorage, where a Python on this machine has it.
 */
import { spawnSync } from 'node:child_process';
import { findProgram, PYTHONS } from '../../../scripts/lib/programs.mjs';

const VERSION = `
import platform
import secretstorage
print(".".join(map(str, secretstorage.__version_tuple__)), "on Python", platform.python_version())
`;

/** The Python that has SecretStorage, and its version; undefined, said on the error output, where none has it. */
export function findSecretStorage() {
  for (const name of PYTHONS) {
    const program = name.startsWith('/') ? name : findProgram(name);
    if (program === undefined) continue;
    const { status, stdout } = spawnSync(program, ['-c', VERSION], { encoding: 'utf8' });
    if (status === 0) return { program, version: stdout.trim() };
  }
  console.warn(
    '!! SecretStorage is left out: it is missing. On Debian: apt-get install python3-secretstorage',
  );
  return undefined;
}
