/** Running a program to its end. Nothing but `node:` is imported. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Runs a program that may read a password, which is then not on its command line.
 * @param {string} program
 * @param {readonly string[]} parameters
 * @param {{ env: NodeJS.ProcessEnv, input: string, timeoutMs: number }} options
 * @returns {Promise<{ status: number | null, output: string, errors: string }>} what it wrote to standard output and standard
 * error; `status` is null where a signal has ended it.
 */
export async function runTool(program, parameters, { env, input, timeoutMs }) {
  const child = spawn(program, parameters, { env, stdio: 'pipe', timeout: timeoutMs });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text;
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  await once(child, 'close');
  return { status: child.exitCode, output, errors };
}
