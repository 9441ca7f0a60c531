/** Programs that use one client of a keyring at once, each with an item of its own, and know what they may find in it. */
import { type Collection, type SecretService, SecretServiceError } from '../../src/secret/index.js';
import { DeadlineError } from '../../src/wire/index.js';

/** What may be said of a service that is killed and started under an operation; `locked` while it reads its files. */
const EXPECTED_CODES: ReadonlySet<string> = new Set([
  'not-available',
  'no-default-collection',
  'locked',
  'not-found',
]);

/** What all workers share. */
export interface Load {
  readonly service: SecretService;
  readonly collection: Collection;
  /** What each operation may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Changes when the service ends, and again when it is ready. */
  generation: number;
  /** Whether the service is not ready. It may answer all the same, and find nothing, before it has read its files. */
  isDown: boolean;
  isOver: boolean;
  /** What was wrong. */
  readonly failures: string[];
  /** How often what ended how. */
  readonly endings: Map<string, number>;
}

type Operation = readonly [name: string, run: (wasDown: () => boolean) => Promise<void>];

/** One program. */
export class Worker {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly #load: Load;
  /** The values that the item may have; undefined for no item. */
  #possible: Set<string | undefined> = new Set([undefined]);
  #count = 0;

  constructor(load: Load, name: string) {
    this.#load = load;
    this.name = name;
    this.attributes = { worker: name };
  }

  /** Makes one operation after the other, each drawn at random, until all is over. */
  async run(): Promise<void> {
    while (!this.#load.isOver) {
      await this.#step(this.#operations[Math.floor(Math.random() * this.#operations.length)] as Operation);
    }
  }

  /** Says so if the item can not hold `text`. */
  check(text: string | undefined, wasDown = false): void {
    if (this.#possible.has(text) || (wasDown && text === undefined)) return;
    this.#fail(`found '${text}', which is none of '${[...this.#possible].join("', '")}'`);
  }

  #fail(what: string): void {
    this.#load.failures.push(`${this.name}: ${what}`);
  }

  async #step([name, run]: Operation): Promise<void> {
    const load = this.#load;
    const { generation } = load;
    const started = performance.now();
    let ending = 'done';
    try {
      await run(() => load.isDown || load.generation !== generation);
    } catch (error) {
      if (error instanceof DeadlineError) ending = 'deadline';
      else if (error instanceof SecretServiceError && EXPECTED_CODES.has(error.code)) ending = error.code;
      else this.#fail(`${name}: ${String(error)}`);
      if (!load.isDown && load.generation === generation)
        this.#fail(`${name} without need: ${String(error)}`);
    }
    load.endings.set(`${name}: ${ending}`, (load.endings.get(`${name}: ${ending}`) ?? 0) + 1);
    const duration = Math.round(performance.now() - started);
    if (duration > load.timeoutMs + 1000) this.#fail(`${name} took ${duration} ms`);
  }

  readonly #operations: readonly Operation[] = [
    [
      'set',
      async () => {
        const text = `${this.name} ${this.#count++}`;
        this.#possible.add(text);
        // GNOME Keyring stores a new item first, and its secret after that: killed in between, it leaves an empty one.
        this.#possible.add('');
        await this.#load.service.set(this.attributes, text);
        this.#possible = new Set([text]);
      },
    ],
    [
      'lookup',
      async (wasDown) => {
        const secret = await this.#load.service.lookup(this.attributes);
        this.check(secret?.text(), wasDown());
      },
    ],
    [
      'findAll',
      async (wasDown) => {
        const found = await this.#load.service.findAll(this.attributes);
        if (found.length > 1) this.#fail(`there are ${found.length} items`);
        this.check(found[0]?.secret.text(), wasDown());
      },
    ],
    [
      'search, getSecrets and getProperties',
      async (wasDown) => {
        const { service } = this.#load;
        const { unlocked } = await service.search(this.attributes);
        const [secret] = (await service.getSecrets(unlocked)).values();
        this.check(secret?.text(), wasDown());
        const [properties] = (await service.getProperties(unlocked)).values();
        if (properties !== undefined && properties.attributes.get('worker') !== this.name) {
          this.#fail('the properties are of another item');
        }
      },
    ],
    [
      'createItem, getSecret and delete',
      async () => {
        const attributes = { temporary: this.name };
        const made = { label: 'temporary', attributes, secret: this.name };
        const item = await this.#load.collection.createItem(made);
        const text = (await item.getSecret()).text();
        if (text !== this.name) this.#fail(`a new item has the secret ${text}`);
        await item.delete();
      },
    ],
    [
      'clear',
      async (wasDown) => {
        this.#possible.add(undefined);
        await this.#load.service.clear(this.attributes);
        // It may have been cleared before there was anything to be seen.
        if (!wasDown()) this.#possible = new Set([undefined]);
      },
    ],
    [
      'properties of the collection',
      async (wasDown) => {
        const { label } = await this.#load.collection.properties();
        if (label !== 'Login' && !wasDown()) this.#fail(`the label is ${label}`);
      },
    ],
    ['collections', async () => void (await this.#load.service.collections())],
    ['probe', async () => void (await this.#load.service.probe())],
    [
      'watch',
      async () => {
        await using watch = this.#load.service.watch();
        await watch.ready;
      },
    ],
    [
      'createCollection',
      async () => {
        const failure: unknown = await this.#load.service
          .createCollection('x')
          .catch((error: unknown) => error);
        const isRight = failure instanceof SecretServiceError && failure.code === 'prompt-required';
        if (!isRight) throw failure;
      },
    ],
  ];
}
