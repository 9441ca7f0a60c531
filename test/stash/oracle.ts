/** Talks to `oracle.py`, and says loudly what is missing where there is no Python or no PyNaCl. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, type TestContext } from 'vitest';

type Answer = Record<string, string>;

/** One Python process. Answers come in the order of the requests. */
export class Oracle {
  hasNacl = false;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void }[] = [];
  readonly #ended: Promise<void>;
  #running = true;

  constructor(command: string) {
    const script = fileURLToPath(new URL('oracle.py', import.meta.url));
    this.#child = spawn(command, [script], { env: { ...process.env, PYTHONIOENCODING: 'utf-8' } });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.#waiting.shift()?.resolve(JSON.parse(line) as Answer);
    });
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        this.#running = false;
        for (const { reject } of this.#waiting.splice(0)) reject(new Error('the Python process ended'));
        resolve();
      };
      this.#child.on('close', end).on('error', end).stdin.on('error', end);
    });
  }

  /** Starts a Python with PyNaCl if there is one, or else any Python 3; `undefined` if there is none. */
  static async start(): Promise<Oracle | undefined> {
    let second: Oracle | undefined;
    for (const command of ['python3', '/usr/bin/python3', 'python']) {
      const oracle = new Oracle(command);
      const hello: { nacl?: unknown } | undefined = await oracle.ask({ op: 'hello' }).catch(() => undefined);
      oracle.hasNacl = hello?.nacl === true;
      if (oracle.hasNacl) {
        await second?.stop();
        return oracle;
      }
      if (hello !== undefined && second === undefined) second = oracle;
      else await oracle.stop();
    }
    return second;
  }

  /** Sends a request; the answer has `error` where Python refused. */
  ask(request: Record<string, unknown>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (!this.#running) {
        reject(new Error('the Python process does not run'));
        return;
      }
      this.#waiting.push({ resolve, reject });
      this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    });
  }

  /** Ends the process. */
  async stop(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }
}

/**
 * Runs an oracle for the tests of a file. The function returned gives it to a test; where Python or PyNaCl is
 * missing, that test is skipped with a loud message, and fails when `CI` is `true`.
 */
export function useOracle(need: 'json' | 'nacl'): (context: TestContext) => Oracle {
  let oracle: Oracle | undefined;
  beforeAll(async () => {
    oracle = await Oracle.start();
  });
  afterAll(async () => {
    await oracle?.stop();
  });
  return (context) => {
    if (oracle !== undefined && (need === 'json' || oracle.hasNacl)) return oracle;
    const missing = oracle === undefined ? 'python3' : 'PyNaCl (Debian: python3-nacl)';
    const message = `NOT TESTED against Python: ${missing} is missing on this machine`;
    console.error(`\n*** ${message} ***\n`);
    if (process.env['CI'] === 'true') throw new Error(message);
    return context.skip(message);
  };
}
