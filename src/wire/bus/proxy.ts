/**
 * An interface of an object elsewhere, by its definition: typed methods, properties and signals, without asking the object
 * what it has. Layer 8: imports lower layers only.
 */
import { DBusError, ReplySignatureError } from '../base/errors.js';
import { Variant } from '../codec/variant.js';
import type { InterfaceDefinition } from '../interface/definition.js';
import type {
  MethodName,
  MethodParameters,
  MethodResult,
  PropertyArgument,
  PropertyName,
  PropertyValue,
  ReadableName,
  SignalName,
  SignalValues,
  WritableName,
} from '../interface/typed.js';
import { MatchRule } from '../match/match-rule.js';
import type { Message } from '../message/message.js';
import type { ValuesOf } from '../types/infer.js';
import { parseSignature } from '../types/signature.js';
import { PROPERTIES } from '../types/standard-names.js';
import type { WaitOptions } from './call.js';
import type { Endpoint } from './endpoint.js';
import type { CallbackOptions, Subscription, SubscriptionOptions } from './subscription.js';

/** How a call of a proxy waits, and its flags. */
export interface ProxyCallOptions extends WaitOptions {
  noAutoStart?: boolean | undefined;
  allowInteractiveAuthorization?: boolean | undefined;
  sensitive?: boolean | undefined;
}

/** The methods of an interface, by name: arguments as its definition has them, then options that may be left out. */
export type ProxyMethods<Definition extends InterfaceDefinition> = {
  readonly [Name in MethodName<Definition>]: (
    ...parameters: MethodParameters<Definition, Name, ProxyCallOptions>
  ) => Promise<MethodResult<Definition, Name>>;
};

/** What comes with the signal of a proxy. */
export interface ProxySignal<Values> {
  /** One value a single complete type. */
  readonly values: Values;
  /** The signal itself, with its sender. */
  readonly message: Message;
}

export class Proxy<Definition extends InterfaceDefinition> {
  /** Bus name of the object's owner; undefined on a connection without a bus. */
  readonly destination: string | undefined;
  readonly path: string;
  readonly definition: Definition;
  /** The methods. They resolve to nothing, to the value of the reply, or to a tuple when there are several. */
  readonly call: ProxyMethods<Definition>;
  /** What it calls over. @internal */
  readonly endpoint: Endpoint;

  /** @internal */
  constructor(endpoint: Endpoint, destination: string | undefined, path: string, definition: Definition) {
    this.endpoint = endpoint;
    this.destination = destination;
    this.path = path;
    this.definition = definition;
    // Without a prototype, so that no member is there but those of the definition.
    const call = Object.create(null) as Record<string, (...parameters: unknown[]) => Promise<unknown>>;
    for (const member of Object.keys(definition.methods ?? {})) {
      call[member] = (...parameters) => this.#call(member, parameters);
    }
    this.call = call as unknown as ProxyMethods<Definition>;
  }

  /** Reads a property. @throws as `call`, and {ReplySignatureError} when it is not of the type defined */
  async get<Name extends ReadableName<Definition> & PropertyName<Definition>>(
    name: Name,
    options: ProxyCallOptions = {},
  ): Promise<PropertyValue<Definition, Name>> {
    const { type } = this.#member('properties', name);
    const [variant] = await this.#ask('Get', 'ss', [this.definition.name, name], 'v', options);
    if (variant.signature !== type) throw new ReplySignatureError(type, variant.signature);
    return variant.value as PropertyValue<Definition, Name>;
  }

  /** Writes a property. @throws as `call` */
  async set<Name extends WritableName<Definition> & PropertyName<Definition>>(
    name: Name,
    value: PropertyArgument<Definition, Name>,
    options: ProxyCallOptions = {},
  ): Promise<void> {
    const { type } = this.#member('properties', name);
    await this.#ask('Set', 'ssv', [this.definition.name, name, new Variant(type, value)], '', options);
  }

  /**
   * Reads all properties that can be read, of those the definition has. One that comes with another type is left out.
   * @throws as `call`
   */
  async getAll(
    options: ProxyCallOptions = {},
  ): Promise<Partial<{ [Name in PropertyName<Definition>]: PropertyValue<Definition, Name> }>> {
    const [dict] = await this.#ask('GetAll', 's', [this.definition.name], 'a{sv}', options);
    const result = Object.create(null) as Record<string, unknown>;
    for (const [name, { type }] of Object.entries(this.definition.properties ?? {})) {
      const variant = dict.get(name);
      if (variant?.signature === type) result[name] = variant.value;
    }
    return result as Partial<{ [Name in PropertyName<Definition>]: PropertyValue<Definition, Name> }>;
  }

  /**
   * Signals of this object, from now on; those that do not have the signature defined are left out. As `bus.signals`.
   * @throws {DBusError} `unknown-member`
   */
  signals<Name extends SignalName<Definition>>(
    name: Name,
    options?: SubscriptionOptions,
  ): Subscription<ProxySignal<SignalValues<Definition, Name>>>;
  signals<Name extends SignalName<Definition>>(
    name: Name,
    callback: (signal: ProxySignal<SignalValues<Definition, Name>>) => unknown,
    options?: CallbackOptions,
  ): Subscription<ProxySignal<SignalValues<Definition, Name>>>;
  signals<Name extends SignalName<Definition>>(
    name: Name,
    callback: ((signal: ProxySignal<SignalValues<Definition, Name>>) => unknown) | SubscriptionOptions = {},
    options: CallbackOptions = {},
  ): Subscription<ProxySignal<SignalValues<Definition, Name>>> {
    const { signature = '' } = this.#member('signals', name);
    const rule = new MatchRule({
      type: 'signal',
      sender: this.destination,
      path: this.path,
      interface: this.definition.name,
      member: name,
    });
    const select = (message: Message): ProxySignal<SignalValues<Definition, Name>> | undefined =>
      message.signature === signature
        ? { values: message.body as SignalValues<Definition, Name>, message }
        : undefined;
    return this.endpoint.subscribe(rule, select, callback, options);
  }

  async #call(member: string, parameters: readonly unknown[]): Promise<unknown> {
    const { in: signature = '', out = '' } = this.#member('methods', member);
    const arity = parseSignature(signature).length;
    const options = (parameters.length > arity ? parameters[arity] : undefined) as
      | ProxyCallOptions
      | undefined;
    const body = parameters.slice(0, arity);
    const values: readonly unknown[] = await this.#ask(
      member,
      signature,
      body,
      out,
      options,
      this.definition.name,
    );
    return values.length > 1 ? values : values[0];
  }

  /** A member of the definition; never one that every object inherits, such as `constructor`. */
  #member<Kind extends 'methods' | 'signals' | 'properties'>(
    kind: Kind,
    name: string,
  ): NonNullable<InterfaceDefinition[Kind]>[string] {
    const members: InterfaceDefinition[Kind] = this.definition[kind];
    if (members === undefined || !Object.hasOwn(members, name)) {
      throw new DBusError('unknown-member', `${JSON.stringify(name)} is not one of the ${kind} defined`);
    }
    return members[name] as NonNullable<InterfaceDefinition[Kind]>[string];
  }

  #ask<const Reply extends string>(
    member: string,
    signature: string,
    body: readonly unknown[],
    replySignature: Reply,
    options: ProxyCallOptions | undefined,
    interfaceName: string = PROPERTIES,
  ): Promise<ValuesOf<Reply>> {
    const { destination, path } = this;
    return this.endpoint.call<string, Reply>({
      ...options,
      destination,
      path,
      interface: interfaceName,
      member,
      signature,
      body,
      replySignature,
    });
  }
}
