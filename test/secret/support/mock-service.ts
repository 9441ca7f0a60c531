/**
 * A Secret Service played by the test, with node:crypto for its half of the key agreement. It does what
 * the specification says, or what its quirks say, unless a test overrides the answer to one method.
 */
import { getDiffieHellman } from 'node:crypto';
import { type ConnectOptions, SecretService } from '../../../src/secret/index.js';
import { type Message, type Transport, Variant } from '../../../src/wire/index.js';
import { SECRETS } from './mock-bus.js';
import { LOGIN, type MockItem, MockObjects, SERVICE } from './mock-objects.js';
import { MockPrompts } from './mock-prompts.js';
import { decodeSecret, deriveKey, encodeSecret, type SecretStruct } from './mock-secrets.js';
import { IS_LOCKED, type PromptCase, type Quirks } from './quirks.js';
import {
  type BusPeer,
  failed,
  openScriptedBus,
  type PeerOptions,
  type Reply,
  returned,
  type ScriptedBus,
  serveBus,
} from './scripted-bus.js';

export { LOGIN, type MockItem, OTHER } from './mock-objects.js';
export { padded } from './mock-secrets.js';

export const ENCRYPTED = 'dh-ietf1024-sha256-aes128-cbc-pkcs7';
export const PROMPT = '/org/freedesktop/secrets/prompt/p1';
export const OWNER = ':1.7';

const UNKNOWN_METHOD = failed('org.freedesktop.DBus.Error.UnknownMethod');
const NO_SESSION = failed('org.freedesktop.Secret.Error.NoSession');
const LOCKED = failed(IS_LOCKED);

/** Answers in the place of the mock; `proper` makes the proper answer. */
export type Override = (call: Message, proper: () => Reply) => Reply | Promise<Reply>;

/** A service with two collections, `login` (the default) and `other`, and no items. */
export class MockService extends MockObjects {
  /** Every call but Hello, in order. */
  readonly calls: Message[] = [];
  /** By member, or by `Get:Property` and `Set:Property`. */
  readonly overrides = new Map<string, Override>();
  /** Answers to every member that has no override. */
  interceptor: Override | undefined;
  /** The sessions that are open, with their keys. */
  readonly sessions = new Map<string, Buffer | undefined>();
  readonly algorithms = new Set([ENCRYPTED, 'plain']);
  readonly aliases = new Map([['default', LOGIN]]);
  readonly prompts: MockPrompts;
  /** Unique names that had the service, and are on the bus without it. */
  readonly formerOwners = new Set<string>();
  /** Whether Unlock unlocks without a prompt. */
  unlocks = false;
  #sessionCount = 0;

  constructor(quirks: Partial<Quirks> = {}) {
    super(quirks);
    const { bus } = this;
    this.prompts = new MockPrompts({
      quirks: this.quirks,
      get owner() {
        return bus.owner;
      },
      emit: (signal) => bus.emit(signal),
    });
  }

  /** The members called, in order, `Get:Property` for properties. */
  get members(): string[] {
    return this.calls.map(keyOf);
  }

  get isRunning(): boolean {
    return this.bus.owner !== undefined;
  }

  set isRunning(isRunning: boolean) {
    if (isRunning) this.start();
    else this.stop();
  }

  /** Ends; what was not written to disk goes with it. */
  stop(error?: string): void {
    this.sessions.clear();
    this.prompts.open.clear();
    this.bus.setOwner(undefined, error);
  }

  /** @param error - What those are told who wait for an answer. */
  restart(error?: string): void {
    this.stop(error);
    this.start();
  }

  override(key: string, reply: Reply | Override): void {
    this.overrides.set(key, typeof reply === 'function' ? reply : () => reply);
  }

  async openBus(options: PeerOptions = {}): Promise<ScriptedBus> {
    const opened = await openScriptedBus((call, peer) => this.#respond(call, peer), {
      ended: (peer) => this.bus.remove(peer),
      ...options,
    });
    this.bus.add(opened.peer);
    return opened;
  }

  /** Plays the bus and this service on the far end of any transport. */
  serve(transport: Transport, options: PeerOptions = {}): BusPeer {
    const ended = (peer: BusPeer): void => this.bus.remove(peer);
    const peer = serveBus(transport, (call, from) => this.#respond(call, from), { ended, ...options });
    this.bus.add(peer);
    return peer;
  }

  /** Connects a client to this service; it shows no prompts unless it is told to. */
  async connect(options: ConnectOptions = {}): Promise<SecretService> {
    const { bus } = await this.openBus();
    return await SecretService.connect({ bus, timeoutMs: 5_000, prompt: 'never', ...options });
  }

  /** Encodes a secret for a session, as this service does. */
  encode(sessionPath: string, value: Uint8Array, contentType: string): SecretStruct {
    return encodeSecret(sessionPath, this.sessions.get(sessionPath), value, contentType);
  }

  decode(struct: SecretStruct): Buffer {
    return decodeSecret(this.sessions.get(struct[0]), struct);
  }

  /** Opens a session of an encrypted algorithm with the key that a shared secret gives. */
  addSession(sharedSecret: Uint8Array | undefined): string {
    const path = `/org/freedesktop/secrets/session/s${++this.#sessionCount}`;
    this.sessions.set(path, sharedSecret && deriveKey(sharedSecret));
    return path;
  }

  #respond(call: Message, peer: BusPeer): Reply | Promise<Reply> {
    this.calls.push(call);
    const proper = (): Reply => this.#properReply(call, peer);
    const override = this.overrides.get(keyOf(call)) ?? this.interceptor;
    return override === undefined ? proper() : override(call, proper);
  }

  #properReply(call: Message, peer: BusPeer): Reply {
    const { destination, path = '' } = call;
    if (destination === 'org.freedesktop.DBus') return this.bus.reply(call, peer);
    if (destination !== undefined && this.formerOwners.has(destination)) return failed(this.quirks.missing);
    if (destination === SECRETS && !this.isRunning) this.start();
    if (!this.isRunning || (destination !== this.bus.owner && destination !== SECRETS)) {
      return failed('org.freedesktop.DBus.Error.ServiceUnknown');
    }
    if (call.interface === 'org.freedesktop.DBus.Properties') return this.#propertiesReply(call, path);
    if (path === SERVICE) return this.#serviceReply(call, peer);
    if (this.collections.has(path)) return this.#collectionReply(call, path, peer);
    if (this.sessions.has(path)) {
      this.sessions.delete(path);
      return returned('');
    }
    const prompt = this.prompts.open.get(path);
    if (prompt !== undefined) return this.prompts.reply(call, prompt);
    const item = this.items.get(path);
    return item === undefined ? failed(this.quirks.missing) : this.#itemReply(call, path, item, peer);
  }

  /** Does what is asked for, after a prompt if the user has to be asked. `reply` is what is answered meanwhile. */
  #asking(
    asks: PromptCase,
    { uniqueName }: BusPeer,
    act: () => Variant,
    unasked: (result: Variant) => Reply,
  ): Reply {
    if (!this.quirks.prompts.has(asks)) return unasked(act());
    const path = this.prompts.add(asks, uniqueName, act);
    if (asks === 'Lock' || asks === 'Unlock') return returned('aoo', [], path);
    return asks.startsWith('Delete') ? returned('o', path) : returned('oo', '/', path);
  }

  #serviceReply({ interface: interfaceName, member, body }: Message, peer: BusPeer): Reply {
    if (interfaceName !== 'org.freedesktop.Secret.Service') return this.#passwordReply(member, body);
    switch (member) {
      case 'OpenSession':
        return this.#openSession(body[0] as string, body[1] as Variant);
      case 'ReadAlias':
        return returned('o', this.aliases.get(body[0] as string) ?? '/');
      case 'SetAlias':
        return this.#setAlias(body[0] as string, body[1] as string);
      case 'CreateCollection': {
        const label = (body[0] as Map<string, Variant>).get('org.freedesktop.Secret.Collection.Label');
        const present = this.aliases.get(body[1] as string);
        if (present !== undefined) return returned('oo', present, '/');
        const act = (): Variant => {
          const path = this.addCollection(String(label?.value));
          if (body[1] !== '') this.aliases.set(body[1] as string, path);
          return new Variant('o', path);
        };
        return this.#asking('CreateCollection', peer, act, ({ value }) => returned('oo', value, '/'));
      }
      case 'Lock':
      case 'Unlock':
        return this.#lock(member, body[0] as string[], peer);
      case 'SearchItems':
        return this.#searchAll(body[0]);
      case 'GetSecrets':
        return this.#getSecrets(body[0] as string[], body[1] as string);
      default:
        return UNKNOWN_METHOD;
    }
  }

  #setAlias(alias: string, path: string): Reply {
    const { aliases, missing } = this.quirks;
    if (aliases?.includes(alias) === false) return failed('org.freedesktop.DBus.Error.NotSupported');
    if (path !== '/' && !this.collections.has(path)) return failed(missing);
    if (path === '/') this.aliases.delete(alias);
    else this.aliases.set(alias, path);
    return returned('');
  }

  #lock(member: 'Lock' | 'Unlock', paths: readonly string[], peer: BusPeer): Reply {
    const isKnown = (path: string): boolean => this.items.has(path) || this.collections.has(path);
    if (!paths.every(isKnown)) return failed(this.quirks.missingToLock);
    if (member === 'Unlock' && !this.quirks.prompts.has(member) && !this.unlocks) {
      return returned('aoo', [], '/');
    }
    const act = (): Variant => {
      for (const path of paths) this.setLocked(path, member === 'Lock');
      return new Variant('ao', [...paths]);
    };
    return this.#asking(member, peer, act, ({ value }) => returned('aoo', value, '/'));
  }

  #searchAll(wanted: unknown): Reply {
    const found = [...this.items.keys()].filter((path) => this.matches(path, wanted));
    const { lockedFound } = this.quirks;
    const isLocked = (path: string): boolean => this.item(path).isLocked;
    const locked = lockedFound === 'left out' ? [] : found.filter(isLocked);
    return returned(
      'aoao',
      found.filter((path) => !isLocked(path)),
      locked,
    );
  }

  #getSecrets(paths: readonly string[], session: string): Reply {
    if (!this.sessions.has(session)) return NO_SESSION;
    const isReadable = (path: string): boolean => this.items.get(path)?.isLocked === false;
    const readable = paths.filter(isReadable);
    if (this.quirks.lockedSecrets === 'fail' && readable.length < paths.length) return LOCKED;
    const secrets = readable.map((path): [string, SecretStruct] => [path, this.#encodeItem(session, path)]);
    return returned('a{o(oayays)}', new Map(secrets));
  }

  #openSession(algorithm: string, input: Variant): Reply {
    if (!this.algorithms.has(algorithm)) return failed('org.freedesktop.DBus.Error.NotSupported');
    if (algorithm === 'plain') return returned('vo', this.quirks.plainOutput, this.addSession(undefined));
    const exchange = getDiffieHellman('modp2');
    const publicKey = exchange.generateKeys();
    const session = this.addSession(exchange.computeSecret(input.value as Uint8Array));
    return returned('vo', new Variant('ay', publicKey), session);
  }

  /** GNOME Keyring's own interface. */
  #passwordReply(member: string | undefined, body: readonly unknown[]): Reply {
    const [first, secret] = body as [Map<string, Variant> | string, SecretStruct];
    if (!this.sessions.has(secret?.[0])) return NO_SESSION;
    const password = this.decode(secret).toString();
    if (member === 'CreateWithMasterPassword' && first instanceof Map) {
      const path = this.addCollection(String(first.get('org.freedesktop.Secret.Collection.Label')?.value));
      this.setPassword(path, password);
      return returned('o', path);
    }
    if (member !== 'UnlockWithMasterPassword' || typeof first !== 'string') return UNKNOWN_METHOD;
    const collection = this.collections.get(first);
    if (collection === undefined) return failed(this.quirks.missing);
    if (collection.password !== password) return failed('org.gnome.keyring.Error.Denied');
    this.setLocked(first, false);
    return returned('');
  }

  #collectionReply({ member, body }: Message, path: string, peer: BusPeer): Reply {
    const inside = [...this.items.keys()].filter((item) => item.startsWith(`${path}/`));
    if (member === 'SearchItems') {
      return returned(
        'ao',
        inside.filter((item) => this.matches(item, body[0])),
      );
    }
    if (member === 'CreateItem') return this.#createItem(body, path, peer);
    return member === 'Delete' ? this.#delete(path, false, peer) : UNKNOWN_METHOD;
  }

  #createItem(body: readonly unknown[], collection: string, peer: BusPeer): Reply {
    const [properties, secret, replace] = body as [Map<string, Variant>, SecretStruct, boolean];
    if (!this.sessions.has(secret[0])) return NO_SESSION;
    const isLocked = this.collections.get(collection)?.isLocked === true;
    const { prompts, replaces, emptyLabel } = this.quirks;
    if (isLocked && !prompts.has('CreateItem, locked') && !prompts.has('CreateItem')) return LOCKED;
    const valueOf = (name: string): unknown => properties.get(`org.freedesktop.Secret.Item.${name}`)?.value;
    const label = String(valueOf('Label'));
    if (emptyLabel === 'refused' && label === '') return failed('org.freedesktop.DBus.Error.Failed');
    const attributes = valueOf('Attributes') as Map<string, string>;
    const value = this.decode(secret);
    const contentType = this.#contentTypeOf(secret[3], value);
    if (contentType === undefined) return failed('org.freedesktop.DBus.Error.InvalidArgs');
    const act = (): Variant => {
      if (isLocked) this.setLocked(collection, false);
      const added = this.quirks.added(attributes, secret[3]);
      const replaced = [...this.items.keys()].find(
        (path) =>
          replace &&
          path.startsWith(`${collection}/`) &&
          this.matches(path, attributes) &&
          (replaces === 'superset' || this.item(path).attributes.size <= attributes.size),
      );
      if (replaced !== undefined) this.items.delete(replaced);
      const created = this.add({ ...Object.fromEntries(attributes), ...added }, value, {
        collection,
        contentType,
      });
      this.item(created).label = label;
      return new Variant('o', created);
    };
    const asks = isLocked && prompts.has('CreateItem, locked') ? 'CreateItem, locked' : 'CreateItem';
    return this.#asking(asks, peer, act, (result) => returned('oo', result.value, '/'));
  }

  /** What is kept of a content type; undefined where the value is refused. */
  #contentTypeOf(contentType: string, value: Buffer): string | undefined {
    if (this.quirks.contentType === 'text/plain') return 'text/plain';
    if (this.quirks.contentType !== 'UTF-8 only' || !contentType.startsWith('text/')) return contentType;
    return value.equals(Buffer.from(value.toString())) ? contentType : undefined;
  }

  #delete(path: string, isLocked: boolean, peer: BusPeer): Reply {
    const asks = isLocked && this.quirks.prompts.has('Delete, locked') ? 'Delete, locked' : 'Delete';
    if (isLocked && !this.quirks.prompts.has(asks)) return LOCKED;
    const act = (): Variant => {
      this.remove(path);
      return new Variant('s', '');
    };
    return this.#asking(asks, peer, act, () => returned('o', '/'));
  }

  #itemReply({ member, body }: Message, path: string, item: MockItem, peer: BusPeer): Reply {
    if (member === 'Delete') return this.#delete(path, item.isLocked, peer);
    if (item.isLocked) return LOCKED;
    if (member === 'GetSecret') {
      const session = body[0] as string;
      return this.sessions.has(session) ? returned('(oayays)', this.#encodeItem(session, path)) : NO_SESSION;
    }
    if (member !== 'SetSecret') return UNKNOWN_METHOD;
    const secret = body[0] as SecretStruct;
    if (!this.sessions.has(secret[0])) return NO_SESSION;
    const value = this.decode(secret);
    const contentType = this.#contentTypeOf(secret[3], value);
    if (contentType === undefined) return failed('org.freedesktop.DBus.Error.InvalidArgs');
    Object.assign(item, { value, contentType });
    this.changed(path);
    return returned('');
  }

  #propertiesReply({ member, body }: Message, path: string): Reply {
    const [, name, value] = body as [string, string, Variant | undefined];
    const properties = this.propertiesOf(path);
    if (properties === undefined) return failed(this.quirks.missing);
    const item = this.items.get(path);
    const { lockedProperties } = this.quirks;
    const isHidden = item?.isLocked === true && lockedProperties !== undefined;
    if (member === 'GetAll') {
      return isHidden ? failed(lockedProperties) : returned('a{sv}', new Map(Object.entries(properties)));
    }
    if (isHidden && name !== 'Locked') return failed(lockedProperties);
    if (member === 'Get') {
      const property = properties[name];
      return property === undefined ? failed(this.quirks.missing) : returned('v', property);
    }
    this.setProperty(path, name, value?.value);
    return returned('');
  }

  #encodeItem(session: string, path: string): SecretStruct {
    const { value, contentType } = this.item(path);
    return this.encode(session, value, contentType);
  }
}

/** The name by which the answers to a call are overridden. */
export function keyOf(call: Message): string {
  const { member = '', body } = call;
  const isProperty = call.interface === 'org.freedesktop.DBus.Properties' && member !== 'GetAll';
  return isProperty ? `${member}:${String(body[1])}` : member;
}
