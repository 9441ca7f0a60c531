/** Talks to `writer.py`, which reads and writes native stores, and says loudly what is missing where that is not possible. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, type TestContext } from 'vitest';

/** What the reader finds in a file, or why it refuses it. */
export interface PythonStore {
  readonly error?: string;
  readonly why?: string;
  readonly entries: readonly [names: string[], value: string | null][];
  readonly storeId: string;
  readonly epoch: number;
  readonly generation: number;
  readonly base: number;
  readonly sequence: number;
  readonly tip: string;
  readonly floor: number;
  readonly recovered: { readonly offset: number; readonly byteLength: number } | null;
  readonly superseded: readonly number[];
  readonly slots: readonly {
    readonly kind: string;
    readonly derivation: string;
    readonly label: string;
    readonly id: string;
  }[];
}

type Waiting = { resolve: (answer: unknown) => void; reject: (error: Error) => void };

/** One Python process. Answers come in the order of the requests. */
export class Python {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting: Waiting[] = [];
  readonly #ended: Promise<void>;
  #running = true;

  constructor(command: string) {
    const script = fileURLToPath(new URL('writer.py', import.meta.url));
    this.#child = spawn(command, [script], { env: { ...process.env, PYTHONIOENCODING: 'utf-8' } });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.#waiting.shift()?.resolve(JSON.parse(line));
    });
    // What it complains of is an answer, too; but it must not fill the pipe.
    this.#child.stderr.resume();
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        this.#running = false;
        for (const { reject } of this.#waiting.splice(0)) reject(new Error('the Python process ended'));
        resolve();
      };
      this.#child.on('close', end).on('error', end).stdin.on('error', end);
    });
  }

  /** Starts a Python that has what the reader needs; `undefined` if there is none. */
  static async start(): Promise<Python | undefined> {
    for (const command of ['python3', '/usr/bin/python3', 'python']) {
      const python = new Python(command);
      try {
        await python.ask({ op: 'hello' });
        return python;
      } catch {
        await python.stop();
      }
    }
    return undefined;
  }

  /** Sends a request; see `reader.py` and `writer.py`. */
  ask<Answer>(request: Record<string, unknown>): Promise<Answer> {
    return new Promise<unknown>((resolve, reject) => {
      if (!this.#running) {
        reject(new Error('the Python process does not run'));
        return;
      }
      this.#waiting.push({ resolve, reject });
      this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    }) as Promise<Answer>;
  }

  /** Reads a file with the secret given in hexadecimal. */
  async read(path: string, secret: Record<string, string>): Promise<PythonStore> {
    return await this.ask({ op: 'read', path, ...secret });
  }

  /** Ends the process. */
  async stop(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }
}

/**
 * Runs a Python for the tests of a file. The function returned gives it to a test; where Python or PyNaCl is missing,
 * that test is skipped with a loud message, and fails when `CI` is `true`.
 */
export function usePython(): (context: TestContext) => Python {
  let python: Python | undefined;
  beforeAll(async () => {
    python = await Python.start();
  });
  afterAll(async () => {
    await python?.stop();
  });
  return (context) => {
    if (python !== undefined) return python;
    const message =
      'NOT TESTED against Python: python3 with PyNaCl (Debian: python3-nacl) is missing on this machine';
    console.error(`\n*** ${message} ***\n`);
    if (process.env['CI'] === 'true') throw new Error(message);
    return context.skip(message);
  };
}
