/**
 * The objects that a connection exports: calls come in, replies and signals go out (D-Bus specification, "Message Types",
 * "Standard Interfaces"). Layer 8: imports lower layers only.
 *
 * A handler never runs within the call that brings its message, many run at one time up to a limit, and whatever a handler
 * does, its caller gets exactly one reply, unless it wants none.
 */
import { ClosedError, DBusError, InvalidTextError, OverloadError } from '../base/errors.js';
import { MAX_RUNNING_HANDLERS } from '../base/limits.js';
import { type BodyOptions, errorReply, methodReturn, signal as signalMessage } from '../message/builders.js';
import { type Message, MessageFlag, MessageType, type UnsentMessage } from '../message/message.js';
import { readMachineId } from '../transport/machine-id.js';
import { isObjectPath, LOCAL_PATH } from '../types/names.js';
import { OBJECT_MANAGER, PEER } from '../types/standard-names.js';
import { ChangeSignals } from './change-signals.js';
import { ErrorName } from './error-names.js';
import { type ExportedObject, type ExportOptions, exportedObject } from './exported-object.js';
import type { Compiled, Implementation, Method } from './implementation.js';
import { MethodError } from './method-error.js';
import { type ExportedInterface, ObjectTree } from './object-tree.js';
import { type ErrorPlace, isThenable } from './property-values.js';
import { RunningCall } from './running-call.js';
import { type StandardInterfaces, standardInterfaces } from './standard-interfaces.js';

/** What the registry needs of the connection it is on. */
export interface ObjectHost {
  /** Sends a message under a serial that the connection chooses. @throws {ClosedError} | {OverloadError} | {MarshalError} */
  send(message: UnsentMessage): void;
  /** For `Peer.GetMachineId`; default `readMachineId`. @throws {DBusError} `no-machine-id` */
  machineId?(): string;
}

export interface RegistryOptions {
  /** Handlers that may run at one time; a call above gets `LimitsExceeded`. Default 1,024. */
  maxRunning?: number | undefined;
  /**
   * Told what a handler threw that is not a `MethodError`, what a getter threw, results of the wrong type, and replies that
   * could not be sent. What it throws is ignored. Default: nobody is told.
   */
  onError?: ((error: unknown, place: ErrorPlace) => void) | undefined;
}

/** Counters since the registry was made. */
export interface RegistryStats {
  /** Exports that are not closed. */
  readonly exports: number;
  /** Handlers that run now. */
  readonly running: number;
  /** Calls taken. */
  readonly calls: number;
  /** Calls that ended in an ERROR, whether it was sent or not. */
  readonly failed: number;
  /** Errors given to `onError`. */
  readonly errors: number;
}

/** The objects exported on one connection. */
export class ObjectRegistry {
  readonly #host: ObjectHost;
  readonly #options: RegistryOptions;
  readonly #maxRunning: number;
  readonly #tree = new ObjectTree();
  readonly #standard: StandardInterfaces;
  readonly #changes: ChangeSignals;
  readonly #running = new Set<RunningCall>();
  #closed = false;
  #exports = 0;
  #calls = 0;
  #failed = 0;
  #errors = 0;

  /** @throws {DBusError} `invalid-option` */
  constructor(host: ObjectHost, options: RegistryOptions = {}) {
    this.#host = host;
    this.#options = options;
    this.#maxRunning = options.maxRunning ?? MAX_RUNNING_HANDLERS;
    if (!Number.isSafeInteger(this.#maxRunning) || this.#maxRunning < 1) {
      throw new DBusError('invalid-option', 'maxRunning must be a positive integer');
    }
    const report = (error: unknown, place: ErrorPlace): void => this.#report(error, place);
    this.#standard = standardInterfaces({
      tree: this.#tree,
      report,
      machineId: () => host.machineId?.() ?? readMachineId(),
    });
    this.#changes = new ChangeSignals((...signal) => {
      if (!this.#closed) this.#emit(undefined, ...signal);
    }, report);
  }

  get stats(): RegistryStats {
    return {
      exports: this.#exports,
      running: this.#running.size,
      calls: this.#calls,
      failed: this.#failed,
      errors: this.#errors,
    };
  }

  /**
   * Exports interfaces at `path`, beside those that are there already. The ObjectManagers above tell of them at the end of
   * the tick. All are exported, or with an error none.
   * @throws {InvalidTextError} `invalid-object-path`
   * @throws {DBusError} `already-exported` when the path has one of the interfaces
   * @throws {ClosedError} `closed`
   */
  export<const Interfaces extends readonly Implementation[]>(
    path: string,
    interfaces: Interfaces,
    options: ExportOptions = {},
  ): ExportedObject<Interfaces[number]['definition']> {
    if (this.#closed) throw new ClosedError();
    if (!isObjectPath(path) || path === LOCAL_PATH) {
      throw new InvalidTextError('invalid-object-path', 'not an object path', 0);
    }
    const present = this.#tree.find(path)?.interfaces;
    const added = new Map<string, ExportedInterface>();
    const { objectManager: manager } = this.#standard;
    for (const given of options.objectManager === true ? [...interfaces, manager] : interfaces) {
      const { name } = given.definition;
      const implementation: Compiled = name === OBJECT_MANAGER ? manager : given;
      if (added.has(name) || present?.has(name) === true) {
        throw new DBusError('already-exported', `the object has the interface ${name} already`);
      }
      added.set(name, { implementation });
    }
    const node = this.#tree.make(path);
    for (const [name, exported] of added) node.interfaces.set(name, exported);
    node.exports++;
    this.#standard.forgetDocuments();
    this.#exports++;
    if (added.size > 0) this.#changes.added(node, added);
    return exportedObject<Interfaces[number]['definition']>(path, added, {
      emit: (destination, ...signal) => {
        this.#changes.flush();
        this.#emit(destination, path, ...signal);
      },
      changed: (exported, members) => this.#changes.changed(node, exported, members),
      close: () => {
        for (const name of added.keys()) node.interfaces.delete(name);
        node.exports--;
        this.#standard.forgetDocuments();
        this.#exports--;
        if (added.size > 0) this.#changes.removed(node, [...added.keys()]);
        this.#tree.prune(node);
      },
    });
  }

  /**
   * Takes a METHOD_CALL that is for this connection, and replies to it later, never within this call. Other messages are
   * ignored. Never throws.
   */
  handle(call: Message): void {
    if (call.type === MessageType.methodCall && !this.#closed) queueMicrotask(() => this.#run(call));
  }

  /**
   * Forgets the calls whose handlers run, and aborts their signals: for when those who called are gone. What is exported
   * stays.
   * @param reason - of the signals; default a `ClosedError`.
   */
  abortRunning(reason: unknown = new ClosedError()): void {
    const running = [...this.#running];
    this.#running.clear();
    for (const call of running) call.abort(reason);
  }

  /** Aborts the signals of the handlers that run. Nothing is sent from now on, and no call taken. */
  close(reason?: unknown): void {
    this.#closed = true;
    this.abortRunning(reason);
  }

  #run(message: Message): void {
    if (this.#closed) return;
    this.#calls++;
    const method = this.#methodOf(message);
    if ('errorName' in method) {
      this.#refuse(message, method);
      return;
    }
    if (this.#running.size >= this.#maxRunning) {
      this.#refuse(message, TOO_MANY_CALLS);
      return;
    }
    const call = new RunningCall(message);
    this.#running.add(call);
    try {
      const result = method.handle(message.body, call);
      if (isThenable(result)) {
        Promise.resolve(result).then(
          (value) => this.#succeed(call, method, value),
          (error: unknown) => this.#fail(call, error),
        );
      } else {
        // A result that is there already takes no turn of the microtask queue.
        this.#succeed(call, method, result);
      }
    } catch (error) {
      this.#fail(call, error);
    }
  }

  /** The method that `message` calls, or the ERROR it gets when there is none. */
  #methodOf({ path = '', interface: name, member = '', signature }: Message): Method | Refusal {
    const node = this.#tree.find(path);
    const { common } = this.#standard;
    let method: Method | undefined;
    if (node === undefined && name !== PEER) return UNKNOWN_OBJECT;
    if (name === undefined) {
      // The specification leaves it open which method is meant; dbus-daemon takes the first too, GDBus and sd-bus take none.
      const own = Array.from(node?.interfaces.values() ?? [], ({ implementation }) => implementation);
      method = firstOf([...own, ...common.values()], member);
    } else {
      const implementation = node?.interfaces.get(name)?.implementation ?? common.get(name);
      if (implementation === undefined) return UNKNOWN_INTERFACE;
      method = implementation.methods.get(member);
    }
    if (method === undefined) return UNKNOWN_METHOD;
    if (signature === method.in) return method;
    return refused(ErrorName.invalidArgs, `the method takes arguments of signature '${method.in}'`);
  }

  #succeed(call: RunningCall, { out, outLength }: Method, result: unknown): void {
    if (!this.#running.delete(call)) return;
    // Several values come as a tuple; a handler for none may return what it likes.
    const body = outLength === 0 ? [] : outLength === 1 ? [result] : (result as unknown[]);
    this.#reply(call.message, { signature: out, body });
  }

  #fail(call: RunningCall, error: unknown): void {
    if (!this.#running.delete(call)) return;
    if (!(error instanceof MethodError)) this.#report(error, placeOf(call.message));
    this.#refuse(call.message, errorOf(error));
  }

  #refuse(call: Message, refusal: Refusal): void {
    this.#failed++;
    this.#reply(call, refusal);
  }

  /** Sends the one reply to `call`, if it wants one. Never throws. */
  #reply(call: Message, part: BodyOptions | Refusal): void {
    if ((call.flags & MessageFlag.noReplyExpected) !== 0) return;
    this.#changes.flush();
    const send = (some: BodyOptions | Refusal): void =>
      this.#host.send(
        'errorName' in some ? errorReply(call, some.errorName, some) : methodReturn(call, some),
      );
    try {
      try {
        send(part);
      } catch (error) {
        if (error instanceof ClosedError || error instanceof OverloadError) throw error;
        // The result cannot be marshalled: the handler's fault, of which its caller learns no more than that.
        this.#failed++;
        this.#report(error, placeOf(call));
        send(errorOf(error));
      }
    } catch (error) {
      // Nothing can be sent now. The caller has a deadline of its own, or learns that the connection ended.
      this.#report(error, placeOf(call));
    }
  }

  /** Sends a signal. @throws {ClosedError} | {OverloadError} | {MarshalError} */
  #emit(
    destination: string | undefined,
    path: string,
    interfaceName: string,
    member: string,
    signature: string,
    body: readonly unknown[],
  ): void {
    this.#host.send(signalMessage({ destination, path, interface: interfaceName, member, signature, body }));
  }

  #report(error: unknown, place: ErrorPlace): void {
    this.#errors++;
    try {
      ignoreRejection(this.#options.onError?.(error, place));
    } catch {
      // There is nobody left to tell.
    }
  }
}

/** A hook may be an async function, whatever its type says. */
function ignoreRejection(value: unknown): void {
  if (isThenable(value)) Promise.resolve(value).then(undefined, () => undefined);
}

/** An ERROR, but for whom it is for. */
interface Refusal extends BodyOptions {
  readonly errorName: string;
}

function refused(errorName: string, text: string): Refusal {
  return { errorName, signature: 's', body: [text] };
}

// Made once and without an Error, whose stack would cost five times the call: anyone can call what is not there.
const UNKNOWN_OBJECT = refused(ErrorName.unknownObject, 'there is no such object');
const UNKNOWN_INTERFACE = refused(ErrorName.unknownInterface, 'the object has no such interface');
const UNKNOWN_METHOD = refused(ErrorName.unknownMethod, 'the object has no such method');
const TOO_MANY_CALLS = refused(ErrorName.limitsExceeded, 'too many calls are being handled');
const FAILED = refused(ErrorName.failed, 'the method failed');

/** The ERROR that `error` becomes; what is not meant for the caller leaves no trace in it. */
function errorOf(error: unknown): Refusal {
  if (!(error instanceof MethodError)) return FAILED;
  return { errorName: error.name, signature: error.signature, body: error.body };
}

function placeOf({ path = '', interface: name = '', member = '' }: Message): ErrorPlace {
  return { path, interface: name, member };
}

/** The first of `interfaces` that has the method: which one an interface-less call means is up to the implementation. */
function firstOf(interfaces: Iterable<Compiled>, member: string): Method | undefined {
  for (const { methods } of interfaces) {
    const method = methods.get(member);
    if (method !== undefined) return method;
  }
  return undefined;
}
