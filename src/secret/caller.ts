/**
 * Calls to one owner of the Secret Service's name, with their replies' faults mapped.
 *
 * D-Bus specification, "Message Bus Names": calls go to the unique name that owned
 * `org.freedesktop.secrets` when the session was opened, for the session and its key mean nothing to
 * another process that takes the name later, and would be sent to it otherwise.
 */

import { type Bus, type CallOptions, Variant } from '../wire/index.js';
import { SecretServiceError } from './errors.js';
import { PROPERTIES_INTERFACE } from './names.js';
import type { Operation } from './operation.js';
import { parseVariant } from './replies.js';

/** One method call: where to, what, and the signature that the reply must have. */
export interface Call {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly body?: readonly unknown[];
  readonly replySignature: string;
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
  #isClosed = false;

  constructor(bus: Bus, owner: string) {
    this.bus = bus;
    this.owner = owner;
  }

  /** Makes every later call reject with the code `closed`. */
  close(): void {
    this.#isClosed = true;
  }

  /** @throws {SecretServiceError} `closed` once {@link close} was called. */
  assertOpen(): void {
    if (this.#isClosed) throw new SecretServiceError('closed', 'the Secret Service client is closed');
  }

  /**
   * Calls a method of the service.
   * @returns The values of the reply, which has exactly `replySignature`.
   * @throws {SecretServiceError} of any code, {DeadlineError}, {CancelledError}.
   */
  async call(operation: Operation, call: Call): Promise<unknown[]> {
    return await this.#call(operation, call, call.member);
  }

  async #call(operation: Operation, call: Call, name: string): Promise<unknown[]> {
    this.assertOpen();
    try {
      const options: CallOptions = {
        ...call,
        destination: this.owner,
        sensitive: true,
        ...operation.callOptions(),
      };
      return await this.bus.call(options);
    } catch (error) {
      throw operation.failure(error, name);
    }
  }

  /**
   * Reads a property.
   * @returns Its value, of the type `property.signature`.
   * @throws as {@link call}.
   */
  async getProperty(operation: Operation, property: Property): Promise<unknown> {
    const call: Call = {
      path: property.path,
      interface: PROPERTIES_INTERFACE,
      member: 'Get',
      signature: 'ss',
      body: [property.interface, property.name],
      replySignature: 'v',
    };
    const [value] = await this.#call(operation, call, `reading ${property.name}`);
    return parseVariant(value, property.signature, property.name);
  }

  /**
   * Writes a property.
   * @throws as {@link call}.
   */
  async setProperty(operation: Operation, property: Property, value: unknown): Promise<void> {
    const call: Call = {
      path: property.path,
      interface: PROPERTIES_INTERFACE,
      member: 'Set',
      signature: 'ssv',
      body: [property.interface, property.name, new Variant(property.signature, value)],
      replySignature: '',
    };
    await this.#call(operation, call, `writing ${property.name}`);
  }

  /**
   * Calls a method whose outcome changes nothing for us: `Session.Close`, `Prompt.Dismiss`. Works after
   * {@link close}.
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
