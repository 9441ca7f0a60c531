/**
 * The handle of an exported path: signals of it, changes of its properties, its end. Layer 8: imports lower layers only.
 */
import { DBusError } from '../base/errors.js';
import type { InterfaceDefinition } from '../interface/definition.js';
import type { ReadableName, SignalArguments, SignalName } from '../interface/typed.js';
import type { ExportedInterface } from './object-tree.js';

export interface ExportOptions {
  /**
   * Makes the path an ObjectManager too: it lists the objects below it, and tells when some come or go. The same as
   * `objectManager` among the interfaces.
   */
  objectManager?: boolean | undefined;
}

export interface EmitOptions {
  /** Bus name of the only one to get the signal; default all who asked for it. */
  destination?: string | undefined;
}

/** Interfaces exported at a path. Its methods need not be called on it, and may be passed on. */
export interface ExportedObject<Definition extends InterfaceDefinition = InterfaceDefinition> {
  readonly path: string;
  /**
   * Sends a signal of one of the interfaces.
   * @throws {MarshalError} when `args` are not what the definition says; nothing was sent then
   * @throws {DBusError} `unknown-interface`, `unknown-signal`, or `not-exported` after `close()`
   * @throws {ClosedError} | {OverloadError} as the connection's `send`
   */
  readonly emit: <Name extends Definition['name'], Member extends SignalName<Named<Definition, Name>>>(
    interfaceName: Name,
    member: Member,
    args: SignalArguments<Named<Definition, Name>, Member>,
    options?: EmitOptions,
  ) => void;
  /**
   * Tells that properties have changed: at the end of the tick one PropertiesChanged is sent for all changes of an
   * interface, with the values that the getters give then, or with the names alone of those that are told as
   * `invalidates`. Of properties told as `const` or `false`, and of those that cannot be read, nothing is sent.
   * A setter that is called by `Properties.Set` calls this itself, if it changed anything.
   * @throws {DBusError} `unknown-interface`, `unknown-property`, or `not-exported` after `close()`
   */
  readonly changed: <Name extends Definition['name']>(
    interfaceName: Name,
    members: readonly ReadableName<Named<Definition, Name>>[],
  ) => void;
  /** Takes the interfaces away again, and tells the ObjectManagers above. Calls that run go on. */
  readonly close: () => void;
  [Symbol.dispose](): void;
}

/** That of some definitions which is called `Name`. */
type Named<Definition extends InterfaceDefinition, Name extends string> = Definition extends {
  readonly name: infer Own extends string;
}
  ? Name extends Own
    ? Definition
    : never
  : never;

/** What the registry does for the handle. */
export interface ExportActions {
  emit(
    destination: string | undefined,
    interfaceName: string,
    member: string,
    signature: string,
    body: readonly unknown[],
  ): void;
  changed(exported: ExportedInterface, members: readonly string[]): void;
  /** Called once. */
  close(): void;
}

/** Makes the handle of `interfaces` at `path`. */
export function exportedObject<Definition extends InterfaceDefinition>(
  path: string,
  interfaces: ReadonlyMap<string, ExportedInterface>,
  actions: ExportActions,
): ExportedObject<Definition> {
  let open = true;

  function find(interfaceName: string): ExportedInterface {
    if (!open) throw new DBusError('not-exported', 'the object is not exported any more');
    const exported = interfaces.get(interfaceName);
    if (exported === undefined)
      throw new DBusError('unknown-interface', 'no such interface was exported here');
    return exported;
  }

  function close(): void {
    if (!open) return;
    open = false;
    actions.close();
  }

  return {
    path,
    emit(interfaceName, member, args, options = {}) {
      const signature = find(interfaceName).implementation.signals.get(member);
      if (signature === undefined) throw new DBusError('unknown-signal', 'the interface has no such signal');
      actions.emit(options.destination, interfaceName, member, signature, args);
    },
    changed(interfaceName, members) {
      const exported = find(interfaceName);
      for (const member of members) {
        if (!exported.implementation.properties.has(member)) {
          throw new DBusError('unknown-property', 'the interface has no such property');
        }
      }
      actions.changed(exported, members);
    },
    close,
    [Symbol.dispose]: close,
  };
}
