/**
 * Calls to one owner of the Secret Service's name, with their replies' faults mapped.
 *
 * D-Bus specification, "Message Bus Names": calls go to the unique name that owned
 * `org.freedesktop.secrets` when the session was opened, for the session and its key mean nothing to
 * another process that takes the name later, and would be sent to it otherwise.
 */

import { type Bus, type CallOptions, Variant } from '../../wire/index.js';
import { PROPERTIES_INTERFACE } from '../names.js';
import type { Operation } from './operation.js';

/** One method call but for its arguments: where to, what, and the signature that the reply must have. */
export interface CallHead {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly replySignature: string;
}

/** One method call. */
export interface Call extends CallHead {
  readonly body?: readonly unknown[];
}

/** A property, by its place. */
export interface Property {
  readonly path: string;
  readonly interface: string;
  readonly name: string;
  /** The type of its value. */
  readonly signature: string;
}

/** How long a message that nobody waits for may stay in the list of pending calls. */
const UNATTENDED_TIMEOUT_MS = 2_000;

/** Speaks to one owner of the service's name over one bus. */
export class Caller {
  readonly bus: Bus;
  /** The unique name that calls go to. */
  readonly owner: string;

  constructor(bus: Bus, owner: string) {
    this.bus = bus;
    this.owner = owner;
  }

  /**
   * Calls a method of the service.
   * @param step - What the call is for, for the message of an error.
   * @returns The values of the reply, which has exactly `replySignature`.
   * @throws {SecretServiceError} of any code, {DeadlineError}, {CancelledError}.
   */
  async call(
    operation: Operation,
    call: CallHead,
    body: readonly unknown[] | undefined,
    step: string = call.member,
  ): Promise<readonly unknown[]> {
    try {
      const { timeoutMs, signal } = operation.callOptions();
      const options: CallOptions = {
        destination: this.owner,
        path: call.path,
        interface: call.interface,
        member: call.member,
        signature: call.signature,
        body,
        replySignature: call.replySignature,
        sensitive: true,
        timeoutMs,
        signal,
      };
      return await this.bus.call(options);
    } catch (error) {
      throw operation.failure(error, step);
    }
  }

  /**
   * Calls a method whose outcome changes nothing for us: `Session.Close`, `Prompt.Dismiss`.
   * @returns A promise that never rejects, and settles within two seconds.
   */
  async callUnattended(path: string, interfaceName: string, member: string): Promise<void> {
    try {
      await this.bus.call({
        destination: this.owner,
        path,
        interface: interfaceName,
        member,
        noAutoStart: true,
        timeoutMs: UNATTENDED_TIMEOUT_MS,
      });
    } catch {
      // The object may be gone already, or the service, or the connection: then there is nothing to end.
    }
  }
}

/** The call that reads a property. */
export function readingCall({ path, interface: interfaceName, name }: Omit<Property, 'signature'>): Call {
  return {
    path,
    interface: PROPERTIES_INTERFACE,
    member: 'Get',
    signature: 'ss',
    body: [interfaceName, name],
    replySignature: 'v',
  };
}

/** The call that writes a property. */
export function writingCall(property: Property, value: unknown): Call {
  return {
    path: property.path,
    interface: PROPERTIES_INTERFACE,
    member: 'Set',
    signature: 'ssv',
    body: [property.interface, property.name, new Variant(property.signature, value)],
    replySignature: '',
  };
}

/** The call that reads all properties of one interface of an object. */
export function readingAllCall(path: string, interfaceName: string): Call {
  return {
    path,
    interface: PROPERTIES_INTERFACE,
    member: 'GetAll',
    signature: 's',
    body: [interfaceName],
    replySignature: 'a{sv}',
  };
}
