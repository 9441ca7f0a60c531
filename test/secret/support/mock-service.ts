/**
 * A Secret Service played by the test, with node:crypto for its half of the cryptography. It does what
 * the specification says, unless a test overrides the answer to one method.
 */
import { createCipheriv, createDecipheriv, getDiffieHellman, hkdfSync, randomBytes } from 'node:crypto';
import { type ConnectOptions, SecretService } from '../../../src/secret/index.js';
import { type Message, type Transport, Variant } from '../../../src/wire/index.js';
import { failed, openScriptedBus, type Reply, returned, type ScriptedBus, serveBus } from './scripted-bus.js';

export const ENCRYPTED = 'dh-ietf1024-sha256-aes128-cbc-pkcs7';
export const LOGIN = '/org/freedesktop/secrets/collection/login';
export const OTHER = '/org/freedesktop/secrets/collection/other';
export const PROMPT = '/org/freedesktop/secrets/prompt/p1';
export const OWNER = ':1.7';

const SECRETS = 'org.freedesktop.secrets';
const NO_OBJECT = failed('org.freedesktop.DBus.Error.UnknownObject');

/** An item as the mock keeps it. */
export interface MockItem {
  label: string;
  attributes: Map<string, string>;
  value: Buffer;
  contentType: string;
  isLocked: boolean;
}

/** Answers in the place of the mock; `proper` makes the proper answer. */
export type Override = (call: Message, proper: () => Reply) => Reply;

type SecretStruct = [string, Uint8Array, Uint8Array, string];

export function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.alloc(128 - bytes.byteLength), bytes]);
}

/** A service with two collections, `login` (the default) and `other`, and no items. */
export class MockService {
  readonly items = new Map<string, MockItem>();
  /** Every call but Hello, in order. */
  readonly calls: Message[] = [];
  /** By member, or by `Get:Property` and `Set:Property`. */
  readonly overrides = new Map<string, Override>();
  /** The sessions that are open, with their keys. */
  readonly sessions = new Map<string, Buffer | undefined>();
  readonly algorithms = new Set([ENCRYPTED, 'plain']);
  readonly aliases = new Map([['default', LOGIN]]);
  isRunning = true;
  #count = 0;
  #sessionCount = 0;

  /** The members called, in order, `Get:Property` for properties. */
  get members(): string[] {
    return this.calls.map(keyOf);
  }

  override(key: string, reply: Reply | Override): void {
    this.overrides.set(key, typeof reply === 'function' ? reply : () => reply);
  }

  add(
    attributes: Record<string, string>,
    value: string | Uint8Array,
    { collection = LOGIN, isLocked = false, contentType = 'text/plain' } = {},
  ): string {
    const path = `${collection}/${++this.#count}`;
    const label = `label ${this.#count}`;
    const bytes = Buffer.from(value as Uint8Array);
    this.items.set(path, {
      label,
      attributes: new Map(Object.entries(attributes)),
      value: bytes,
      contentType,
      isLocked,
    });
    return path;
  }

  /** The item that a test knows to be there. */
  item(path: string): MockItem {
    const item = this.items.get(path);
    if (item === undefined) throw new Error(`the mock has no item ${path}`);
    return item;
  }

  async openBus(): Promise<ScriptedBus> {
    return await openScriptedBus((call) => this.#respond(call));
  }

  /** Plays the bus and this service on the far end of any transport. */
  serve(transport: Transport): void {
    serveBus(transport, (call) => this.#respond(call));
  }

  /** Connects a client to this service; it shows no prompts unless it is told to. */
  async connect(options: ConnectOptions = {}): Promise<SecretService> {
    const { bus } = await this.openBus();
    return await SecretService.connect({ bus, timeoutMs: 5_000, prompt: 'never', ...options });
  }

  /** Encodes a secret for a session, as this service does. */
  encode(sessionPath: string, value: Uint8Array, contentType: string): SecretStruct {
    const key = this.sessions.get(sessionPath);
    if (key === undefined) return [sessionPath, new Uint8Array(0), value, contentType];
    const parameters = randomBytes(16);
    const cipher = createCipheriv('aes-128-cbc', key, parameters);
    return [sessionPath, parameters, Buffer.concat([cipher.update(value), cipher.final()]), contentType];
  }

  decode([sessionPath, parameters, value]: SecretStruct): Buffer {
    const key = this.sessions.get(sessionPath);
    if (key === undefined) return Buffer.from(value);
    const decipher = createDecipheriv('aes-128-cbc', key, parameters);
    return Buffer.concat([decipher.update(value), decipher.final()]);
  }

  /** Opens a session of an encrypted algorithm with the key that a shared secret gives. */
  addSession(sharedSecret: Uint8Array | undefined): string {
    const path = `/org/freedesktop/secrets/session/s${++this.#sessionCount}`;
    const key =
      sharedSecret && Buffer.from(hkdfSync('sha256', padded(sharedSecret), Buffer.alloc(0), '', 16));
    this.sessions.set(path, key);
    return path;
  }

  #respond(call: Message): Reply {
    this.calls.push(call);
    const proper = (): Reply => this.#properReply(call);
    const override = this.overrides.get(keyOf(call));
    return override === undefined ? proper() : override(call, proper);
  }

  #properReply(call: Message): Reply {
    const { destination, path = '', member, body } = call;
    if (destination === 'org.freedesktop.DBus') return this.#busReply(call);
    if (destination !== OWNER) return failed('org.freedesktop.DBus.Error.ServiceUnknown');
    if (call.interface === 'org.freedesktop.DBus.Properties') {
      const [, name, value] = body as [string, string, Variant | undefined];
      if (member === 'GetAll') return this.#getAllProperties(path);
      return member === 'Get' ? this.#getProperty(path, name) : this.#setProperty(path, name, value?.value);
    }
    if (path === '/org/freedesktop/secrets') return this.#serviceReply(call);
    if (path === LOGIN || path === OTHER) return this.#collectionReply(call, path);
    if (this.sessions.has(path)) {
      this.sessions.delete(path);
      return returned('');
    }
    const item = this.items.get(path);
    return item === undefined ? NO_OBJECT : this.#itemReply(call, path, item);
  }

  #busReply({ member, body }: Message): Reply {
    const noOwner = failed('org.freedesktop.DBus.Error.NameHasNoOwner');
    if (body[0] !== undefined && body[0] !== SECRETS) return noOwner;
    switch (member) {
      case 'GetNameOwner':
        return this.isRunning ? returned('s', OWNER) : noOwner;
      case 'NameHasOwner':
        return returned('b', this.isRunning);
      case 'StartServiceByName':
        this.isRunning = true;
        return returned('u', 1);
      case 'ListActivatableNames':
        return returned('as', ['org.freedesktop.DBus', SECRETS]);
      default:
        return failed('org.freedesktop.DBus.Error.UnknownMethod');
    }
  }

  #serviceReply({ member, body }: Message): Reply {
    switch (member) {
      case 'OpenSession':
        return this.#openSession(body[0] as string, body[1] as Variant);
      case 'ReadAlias':
        return returned('o', this.aliases.get(body[0] as string) ?? '/');
      case 'SearchItems': {
        const found = [...this.items.keys()].filter((path) => this.#matches(path, body[0]));
        const isLocked = (path: string): boolean => this.item(path).isLocked;
        return returned(
          'aoao',
          found.filter((path) => !isLocked(path)),
          found.filter(isLocked),
        );
      }
      case 'GetSecrets': {
        const [paths, session] = body as [string[], string];
        if (!this.sessions.has(session)) return failed('org.freedesktop.Secret.Error.NoSession');
        const readable = paths.filter((path) => this.items.get(path)?.isLocked === false);
        return returned(
          'a{o(oayays)}',
          new Map(readable.map((path) => [path, this.#encodeItem(session, path)])),
        );
      }
      default:
        return failed('org.freedesktop.DBus.Error.UnknownMethod');
    }
  }

  #openSession(algorithm: string, input: Variant): Reply {
    if (!this.algorithms.has(algorithm)) return failed('org.freedesktop.DBus.Error.NotSupported');
    if (algorithm === 'plain') return returned('vo', new Variant('s', ''), this.addSession(undefined));
    const exchange = getDiffieHellman('modp2');
    const publicKey = exchange.generateKeys();
    const session = this.addSession(exchange.computeSecret(input.value as Uint8Array));
    return returned('vo', new Variant('ay', publicKey), session);
  }

  #collectionReply({ member, body }: Message, path: string): Reply {
    if (member === 'SearchItems') {
      const inside = [...this.items.keys()].filter((item) => item.startsWith(`${path}/`));
      return returned(
        'ao',
        inside.filter((item) => this.#matches(item, body[0])),
      );
    }
    if (member !== 'CreateItem') return failed('org.freedesktop.DBus.Error.UnknownMethod');
    const [properties, secret] = body as [Map<string, Variant>, SecretStruct, boolean];
    if (!this.sessions.has(secret[0])) return failed('org.freedesktop.Secret.Error.NoSession');
    const attributes = properties.get('org.freedesktop.Secret.Item.Attributes')?.value;
    const created = this.add(Object.fromEntries(attributes as Map<string, string>), this.decode(secret), {
      collection: path,
      contentType: secret[3],
    });
    this.item(created).label = String(properties.get('org.freedesktop.Secret.Item.Label')?.value);
    return returned('oo', created, '/');
  }

  #itemReply({ member, body }: Message, path: string, item: MockItem): Reply {
    if (item.isLocked) return failed('org.freedesktop.Secret.Error.IsLocked');
    switch (member) {
      case 'GetSecret':
        return returned('(oayays)', this.#encodeItem(body[0] as string, path));
      case 'SetSecret': {
        const secret = body[0] as SecretStruct;
        item.value = this.decode(secret);
        item.contentType = secret[3];
        return returned('');
      }
      case 'Delete':
        this.items.delete(path);
        return returned('o', '/');
      default:
        return failed('org.freedesktop.DBus.Error.UnknownMethod');
    }
  }

  #getProperty(path: string, name: string): Reply {
    const value = this.#properties(path)[name];
    return value === undefined ? NO_OBJECT : returned('v', new Variant(...value));
  }

  #getAllProperties(path: string): Reply {
    const values = Object.entries(this.#properties(path));
    if (values.length === 0) return NO_OBJECT;
    return returned('a{sv}', new Map(values.map(([name, value]) => [name, new Variant(...value)])));
  }

  #properties(path: string): Record<string, [string, unknown]> {
    const item = this.items.get(path);
    const values: Record<string, [string, unknown]> =
      item !== undefined
        ? {
            Label: ['s', item.label],
            Attributes: ['a{ss}', item.attributes],
            Locked: ['b', item.isLocked],
          }
        : path === LOGIN || path === OTHER
          ? {
              Label: ['s', path],
              Locked: ['b', false],
              Items: ['ao', [...this.items.keys()].filter((inside) => inside.startsWith(`${path}/`))],
            }
          : path === '/org/freedesktop/secrets'
            ? { Collections: ['ao', [LOGIN, OTHER]] }
            : {};
    return values;
  }

  #setProperty(path: string, name: string, value: unknown): Reply {
    const item = this.items.get(path);
    if (item === undefined) return path === LOGIN || path === OTHER ? returned('') : NO_OBJECT;
    if (name === 'Label') item.label = value as string;
    if (name === 'Attributes') item.attributes = value as Map<string, string>;
    return returned('');
  }

  #encodeItem(session: string, path: string): SecretStruct {
    const { value, contentType } = this.item(path);
    return this.encode(session, value, contentType);
  }

  #matches(path: string, wanted: unknown): boolean {
    const { attributes } = this.item(path);
    return [...(wanted as Map<string, string>)].every(([name, value]) => attributes.get(name) === value);
  }
}

function keyOf(call: Message): string {
  const { member = '', body } = call;
  const isProperty = call.interface === 'org.freedesktop.DBus.Properties';
  return isProperty && member !== 'GetAll' ? `${member}:${String(body[1])}` : member;
}
