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
import { parseSignature } from '../types/signature.js';
import type { CallOptions, WaitOptions } from './call.js';
import type { Endpoint } from './endpoint.js';
import {
  type CallbackOptions,
  deliver,
  type Subscription,
  type SubscriptionOptions,
} from './subscription.js';

const PROPERTIES_INTERFACE = 'org.freedesktop.DBus.Properties';

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

function unknownMember(kind: string, name: string): DBusError {
  return new DBusError('unknown-member', `the interface has no ${kind} ${JSON.stringify(name)}`);
}

/** A member of a definition; never one that every object inherits, such as `constructor`. */
function memberOf<Member>(
  members: Readonly<Record<string, Member>> | undefined,
  name: string,
): Member | undefined {
  return members !== undefined && Object.hasOwn(members, name) ? members[name] : undefined;
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
    const type = this.#typeOf(name);
    const call = this.#propertiesCall('Get', 'ss', [this.definition.name, name], 'v', options);
    const variant = await this.endpoint.callTaking(call, ([value]) => value);
    if (variant.signature !== type) throw new ReplySignatureError(type, variant.signature);
    return variant.value as PropertyValue<Definition, Name>;
  }

  /** Writes a property. @throws as `call` */
  async set<Name extends WritableName<Definition> & PropertyName<Definition>>(
    name: Name,
    value: PropertyArgument<Definition, Name>,
    options: ProxyCallOptions = {},
  ): Promise<void> {
    const body = [this.definition.name, name, new Variant(this.#typeOf(name), value)];
    await this.endpoint.callTaking(this.#propertiesCall('Set', 'ssv', body, '', options), () => {});
  }

  /**
   * Reads all properties that can be read, of those the definition has. One that comes with another type is left out.
   * @throws as `call`
   */
  async getAll(
    options: ProxyCallOptions = {},
  ): Promise<Partial<{ [Name in PropertyName<Definition>]: PropertyValue<Definition, Name> }>> {
    const call = this.#propertiesCall('GetAll', 's', [this.definition.name], 'a{sv}', options);
    const dict = await this.endpoint.callTaking(call, ([all]) => all);
    const result = Object.create(null) as Record<string, unknown>;
    for (const [name, variant] of dict) {
      if (memberOf(this.definition.properties, name)?.type === variant.signature)
        result[name] = variant.value;
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
    const definition = memberOf(this.definition.signals, name);
    if (definition === undefined) throw unknownMember('signal', name);
    const { signature = '' } = definition;
    const isCallback = typeof callback === 'function';
    const subscription = this.endpoint.subscribe(
      new MatchRule({
        type: 'signal',
        sender: this.destination,
        path: this.path,
        interface: this.definition.name,
        member: name,
      }),
      (message) =>
        message.signature === signature
          ? { values: message.body as SignalValues<Definition, Name>, message }
          : undefined,
      isCallback ? options : callback,
    );
    if (isCallback) void deliver(subscription, callback, options.onError);
    return subscription;
  }

  async #call(member: string, parameters: readonly unknown[]): Promise<unknown> {
    const definition = memberOf(this.definition.methods, member);
    if (definition === undefined) throw unknownMember('method', member);
    const { in: signature = '', out = '' } = definition;
    const arity = parseSignature(signature).length;
    const options = (parameters.length > arity ? parameters[arity] : undefined) as
      | ProxyCallOptions
      | undefined;
    const call: CallOptions = {
      ...options,
      destination: this.destination,
      path: this.path,
      interface: this.definition.name,
      member,
      signature,
      body: parameters.slice(0, arity),
      replySignature: out,
    };
    const values = await this.endpoint.callTaking<string, readonly unknown[]>(call, (reply) => reply);
    return values.length > 1 ? values : values[0];
  }

  #typeOf(name: string): string {
    const property = memberOf(this.definition.properties, name);
    if (property === undefined) throw unknownMember('property', name);
    return property.type;
  }

  #propertiesCall<const Reply extends string>(
    member: string,
    signature: string,
    body: readonly unknown[],
    replySignature: Reply,
    options: ProxyCallOptions,
  ): CallOptions<string, Reply> {
    return {
      ...options,
      destination: this.destination,
      path: this.path,
      interface: PROPERTIES_INTERFACE,
      member,
      signature,
      body,
      replySignature,
    };
  }
}
