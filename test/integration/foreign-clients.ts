/** Clients of a Secret Service that others wrote, and ours, behind one interface, so that each can read what each wrote. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { PYTHON_LIBRARIES, PYTHONS, type PythonLibrary } from '../../scripts/lib/programs.mjs';
import type { SecretService } from '../../src/secret/index.js';
import { runs } from '../support/external.js';

type Environment = NodeJS.ProcessEnv;
export type Attributes = Readonly<Record<string, string>>;

export interface StoredItem {
  readonly label: string;
  readonly attributes: Attributes;
  readonly secret: Uint8Array;
  readonly contentType: string;
}

/** One client. Items are stored in the default collection, or the one that lasts as long as the service. */
export interface SecretClient extends AsyncDisposable {
  readonly name: string;
  store(items: readonly StoredItem[], collection?: 'session'): Promise<unknown>;
  /** Every item with these attributes, among others or not; `contentType` is empty where the client does not show it. */
  find(attributes: Attributes): Promise<StoredItem[]>;
  /** @returns how many were deleted. */
  clear(attributes: Attributes): Promise<number>;
}

/** Ours. */
export class OurClient implements SecretClient {
  readonly name = 'secretbus';
  readonly #service: SecretService;

  constructor(service: SecretService) {
    this.#service = service;
  }

  async store(items: readonly StoredItem[], alias?: 'session'): Promise<void> {
    const collection = alias === undefined ? undefined : await this.#service.collection(alias);
    await Promise.all(
      items.map(({ label, attributes, secret, contentType }) =>
        this.#service.set(attributes, secret, { label, contentType, collection, timeoutMs: 60_000 }),
      ),
    );
  }

  async find(attributes: Attributes): Promise<StoredItem[]> {
    const found = await this.#service.findAll(attributes);
    const properties = await this.#service.getProperties(found.map(({ item }) => item));
    return found.map(({ item, attributes: all, secret }) => ({
      label: properties.get(item)?.label ?? '',
      attributes: Object.fromEntries(all),
      secret: secret.value,
      contentType: secret.contentType,
    }));
  }

  clear(attributes: Attributes): Promise<number> {
    return this.#service.clear(attributes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service.close();
  }
}

interface Ended {
  readonly status: number | null;
  readonly output: Buffer;
  readonly errors: string;
}

/** The program of libsecret, one process a command. It tells of no content types. */
export class SecretTool implements SecretClient {
  readonly name = 'secret-tool';
  readonly #env: Environment;

  constructor(env: Environment) {
    this.#env = env;
  }

  async store(items: readonly StoredItem[], collection?: 'session'): Promise<void> {
    const where = collection === undefined ? [] : [`--collection=${collection}`];
    for (const { label, attributes, secret } of items) {
      const parameters = ['store', ...where, `--label=${label}`, ...flat(attributes)];
      const { status, errors } = await this.run(parameters, secret);
      if (status !== 0) throw new Error(`secret-tool store: ${errors}`);
    }
  }

  /** The secret of one item alone: of more, `secret-tool` gives some one. */
  async find(attributes: Attributes): Promise<StoredItem[]> {
    const { output, errors } = await this.run(['search', '--all', ...flat(attributes)]);
    const labels = [...output.toString().matchAll(/^label = (.*)$/gm)].map(([, label = '']) => label);
    if (labels.length === 0) return [];
    const pairs = [...errors.matchAll(/^\s*attribute\.(.*?) = (.*)$/gm)];
    const found = await this.run(['lookup', ...flat(attributes)]);
    return labels.map((label) => ({
      label,
      attributes: Object.fromEntries(pairs.map(([, name = '', value = '']) => [name, value])),
      secret: found.output,
      contentType: '',
    }));
  }

  async clear(attributes: Attributes): Promise<number> {
    const count = (await this.find(attributes)).length;
    const { status } = await this.run(['clear', ...flat(attributes)]);
    return status === 0 ? count : 0;
  }

  async run(parameters: readonly string[], input: Uint8Array = new Uint8Array(0)): Promise<Ended> {
    const child = spawn('secret-tool', parameters, { env: this.#env });
    const output: Buffer[] = [];
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    child.stdin.on('error', () => {}).end(input);
    const [status] = (await once(child, 'close')) as [number | null];
    return { status, output: Buffer.concat(output), errors };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

const flat = (attributes: Attributes): string[] => Object.entries(attributes).flat();

/** The Python that has a library, or undefined. */
export function pythonWith(library: PythonLibrary): string | undefined {
  return PYTHONS.find((program) => runs(program, ['-c', PYTHON_LIBRARIES[library].code]));
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** A library of Python's, in a process that answers line by line. */
export class PythonClient implements SecretClient {
  readonly name: string;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #waiting: Waiting[] = [];
  #errors = '';

  /** @param script - The file beside this one. */
  constructor(library: 'SecretStorage' | 'libsecret', script: string, env: Environment) {
    this.name = library;
    const python = pythonWith(library);
    if (python === undefined) throw new Error(`no Python has ${library}`);
    const child = spawn(python, [fileURLToPath(new URL(script, import.meta.url))], { env });
    this.#process = child;
    child.stdin.on('error', () => {});
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-4096);
    });
    createInterface(child.stdout).on('line', (line) => {
      const answer = JSON.parse(line) as { result?: unknown; error?: string };
      const waiting = this.#waiting.shift();
      if (answer.error === undefined) waiting?.resolve(answer.result);
      else waiting?.reject(new Error(answer.error));
    });
    child.once('close', () => {
      for (const waiting of this.#waiting.splice(0))
        waiting.reject(new Error(`${library} ended: ${this.#errors}`));
    });
  }

  /** @throws the error that the library raised. */
  ask(op: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#process.stdin.write(`${JSON.stringify({ op, ...parameters })}\n`);
    });
  }

  async store(items: readonly StoredItem[], collection?: 'session', more: object = {}): Promise<void> {
    const encoded = items.map((item) => ({ ...item, secret: Buffer.from(item.secret).toString('base64') }));
    await this.ask('store', { items: encoded, collection: collection ?? null, ...more });
  }

  async find(attributes: Attributes, more: object = {}): Promise<StoredItem[]> {
    const found = (await this.ask('find', { attributes, ...more })) as (StoredItem & { secret: string })[];
    return found.map((item) => Object.assign(item, { secret: Buffer.from(item.secret, 'base64') }));
  }

  async clear(attributes: Attributes): Promise<number> {
    return (await this.ask('clear', { attributes })) as number;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#process, 'close');
    this.#process.stdin.end();
    await closed;
  }
}

export const secretStorage = (env: Environment): PythonClient =>
  new PythonClient('SecretStorage', './secretstorage-client.py', env);

export const libsecret = (env: Environment): PythonClient =>
  new PythonClient('libsecret', './libsecret-client.py', env);
