/**
 * The tree of object paths: what is exported where, and which paths are above and below (D-Bus specification, "Object
 * Paths"). Layer 8: imports lower layers only.
 */
import type { Compiled } from './implementation.js';

/** One interface at one path. The same implementation may be at many paths. */
export interface ExportedInterface {
  readonly implementation: Compiled;
}

/** A path that is exported or lies above one. */
export interface ObjectNode {
  /** The whole path of a node that is or was exported, `''` in others: all paths of a deep chain would take its square. */
  path: string;
  /** Last element of the path. */
  readonly name: string;
  readonly parent: ObjectNode | undefined;
  readonly children: Map<string, ObjectNode>;
  /** By name, in the order of export, without those that every object has. */
  readonly interfaces: Map<string, ExportedInterface>;
  /** Exports of this very path; one may have no interfaces. */
  exports: number;
}

function createNode(name: string, parent: ObjectNode | undefined): ObjectNode {
  return { path: '', name, parent, children: new Map(), interfaces: new Map(), exports: 0 };
}

/** The nodes by path. No step is recursive: a path may have as many elements as fit into a message. */
export class ObjectTree {
  #root: ObjectNode = createNode('', undefined);

  /** The node at `path`, if it is exported or an ancestor of one that is. Takes the time of the part that is known. */
  find(path: string): ObjectNode | undefined {
    let node: ObjectNode | undefined = path.startsWith('/') ? this.#root : undefined;
    for (let at = 1; at < path.length && node !== undefined; ) {
      const slash = path.indexOf('/', at);
      const end = slash === -1 ? path.length : slash;
      node = node.children.get(path.slice(at, end));
      at = end + 1;
    }
    return node !== undefined && isEmpty(node) ? undefined : node;
  }

  /** The node at `path`, a valid object path, made with its ancestors if need be. */
  make(path: string): ObjectNode {
    let node = this.#root;
    for (let at = 1; at < path.length; ) {
      const slash = path.indexOf('/', at);
      const end = slash === -1 ? path.length : slash;
      const name = path.slice(at, end);
      let child = node.children.get(name);
      if (child === undefined) {
        child = createNode(name, node);
        node.children.set(name, child);
      }
      node = child;
      at = end + 1;
    }
    node.path = path;
    return node;
  }

  /** Takes `node` out when nothing is exported at it or below it, and its ancestors likewise. */
  prune(node: ObjectNode): void {
    for (let at = node; at.parent !== undefined && isEmpty(at); at = at.parent) {
      at.parent.children.delete(at.name);
    }
  }

  /** The nodes below `top` that have interfaces. */
  *below(top: ObjectNode): Generator<ObjectNode> {
    const open = [top.children.values()];
    for (let level = open.at(-1); level !== undefined; level = open.at(-1)) {
      const next = level.next();
      if (next.done === true) {
        open.pop();
        continue;
      }
      if (next.value.interfaces.size > 0) yield next.value;
      open.push(next.value.children.values());
    }
  }
}

function isEmpty(node: ObjectNode): boolean {
  return node.exports === 0 && node.children.size === 0;
}
