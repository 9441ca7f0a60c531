/**
 * The signals that tell of changes: PropertiesChanged, InterfacesAdded, InterfacesRemoved (D-Bus specification, "Standard
 * Interfaces"). Layer 8: imports lower layers only.
 *
 * Changes of one tick are joined. One path tells its changes in order, however long its getters take: it is announced before
 * a property of it changes, and never with a value older than one already told.
 */
import type { Variant } from '../codec/variant.js';
import { OBJECT_MANAGER, PROPERTIES } from '../types/standard-names.js';
import type { ExportedInterface, ObjectNode } from './object-tree.js';
import { type Report, readProperties, whenAll } from './property-values.js';

/** Sends one signal. */
export type EmitSignal = (
  path: string,
  interfaceName: string,
  member: string,
  signature: string,
  body: readonly unknown[],
) => void;

/** What one path has to tell. */
interface Changes {
  readonly added: Map<string, ExportedInterface>;
  readonly changed: Map<ExportedInterface, Set<string>>;
  /** Whether it is being told, and waits for a getter. */
  telling: boolean;
}

/** The ObjectManagers above `node`. Each lists everything below itself, and so tells of it. */
function* managersAbove(node: ObjectNode): Generator<string> {
  for (let at = node.parent; at !== undefined; at = at.parent) {
    if (at.interfaces.has(OBJECT_MANAGER)) yield at.path;
  }
}

function isExported(node: ObjectNode, exported: ExportedInterface): boolean {
  return node.interfaces.get(exported.implementation.definition.name) === exported;
}

/** Collects changes, and tells them at the end of the tick. */
export class ChangeSignals {
  readonly #emit: EmitSignal;
  readonly #report: Report;
  readonly #waiting = new Map<ObjectNode, Changes>();
  #scheduled = false;

  /** `emit` may throw. */
  constructor(emit: EmitSignal, report: Report) {
    this.#emit = emit;
    this.#report = report;
  }

  /** `interfaces` have come to `node`. */
  added(node: ObjectNode, interfaces: ReadonlyMap<string, ExportedInterface>): void {
    const { added } = this.#changesOf(node);
    for (const [name, exported] of interfaces) added.set(name, exported);
  }

  /** Properties of `exported` have changed. */
  changed(node: ObjectNode, exported: ExportedInterface, members: readonly string[]): void {
    const { changed } = this.#changesOf(node);
    const known = changed.get(exported) ?? new Set();
    for (const member of members) known.add(member);
    changed.set(exported, known);
  }

  /** Interfaces have gone from `node`. */
  removed(node: ObjectNode, names: readonly string[]): void {
    for (const manager of managersAbove(node)) {
      this.#try(manager, OBJECT_MANAGER, 'InterfacesRemoved', 'oas', [node.path, names]);
    }
  }

  /**
   * Tells what is known by now, as far as no getter has to be waited for: whoever gets what is sent next, such as the reply to
   * the call that made the changes, knows of them already.
   */
  flush(): void {
    for (const [node, changes] of this.#waiting) {
      if (changes.telling) continue;
      changes.telling = true;
      this.#tell(node, changes);
    }
  }

  #changesOf(node: ObjectNode): Changes {
    let changes = this.#waiting.get(node);
    if (changes === undefined) {
      if (!this.#scheduled) {
        this.#scheduled = true;
        queueMicrotask(() => {
          this.#scheduled = false;
          this.flush();
        });
      }
      changes = { added: new Map(), changed: new Map(), telling: false };
      this.#waiting.set(node, changes);
    }
    return changes;
  }

  /** Tells what there is to tell, and what comes while a getter is waited for. */
  #tell(node: ObjectNode, changes: Changes): void {
    const { added, changed } = changes;
    for (;;) {
      let waiting: Promise<undefined> | undefined;
      const [next] = changed;
      if (added.size > 0) {
        waiting = this.#tellAdded(node, new Map(added));
        added.clear();
      } else if (next !== undefined) {
        changed.delete(next[0]);
        waiting = this.#tellChanged(node, ...next);
      } else {
        this.#waiting.delete(node);
        return;
      }
      if (waiting !== undefined) {
        void waiting.then(() => this.#tell(node, changes));
        return;
      }
    }
  }

  #tellAdded(
    node: ObjectNode,
    added: ReadonlyMap<string, ExportedInterface>,
  ): Promise<undefined> | undefined {
    const [manager] = managersAbove(node);
    if (manager === undefined) return undefined;
    const present = [...added.values()].filter((exported) => isExported(node, exported));
    const reading = present.map((exported) => readProperties(node.path, exported, this.#report));
    return whenAll(reading, (values): undefined => {
      const all = new Map<string, Map<string, Variant>>();
      present.forEach((exported, index) => {
        // Not what has gone while its getters ran.
        if (!isExported(node, exported)) return;
        all.set(exported.implementation.definition.name, values[index] as Map<string, Variant>);
      });
      if (all.size === 0) return;
      for (const above of managersAbove(node)) {
        this.#try(above, OBJECT_MANAGER, 'InterfacesAdded', 'oa{sa{sv}}', [node.path, all]);
      }
    });
  }

  #tellChanged(
    node: ObjectNode,
    exported: ExportedInterface,
    members: ReadonlySet<string>,
  ): Promise<undefined> | undefined {
    if (!isExported(node, exported)) return undefined;
    const { definition, properties } = exported.implementation;
    const withValue = new Set<string>();
    const invalidated: string[] = [];
    for (const member of members) {
      const { emitsChanged, get } = properties.get(member) ?? {};
      if (get === undefined) continue;
      if (emitsChanged === 'true') withValue.add(member);
      if (emitsChanged === 'invalidates') invalidated.push(member);
    }
    return whenAll([readProperties(node.path, exported, this.#report, withValue)], ([values]): undefined => {
      // It did change, and whoever asks for it is told the error.
      for (const member of withValue) if (values?.has(member) !== true) invalidated.push(member);
      if (withValue.size + invalidated.length === 0 || !isExported(node, exported)) return;
      const body = [definition.name, values, invalidated];
      this.#try(node.path, PROPERTIES, 'PropertiesChanged', 'sa{sv}as', body);
    });
  }

  #try(
    path: string,
    interfaceName: string,
    member: string,
    signature: string,
    body: readonly unknown[],
  ): void {
    try {
      this.#emit(path, interfaceName, member, signature, body);
    } catch (error) {
      this.#report(error, { path, interface: interfaceName, member });
    }
  }
}
