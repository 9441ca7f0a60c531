/** An oracle for operation sequences: the tree as one ordered Map a level, written as plainly as possible. */

interface ModelNode {
  value: string | null;
  below: Map<string, ModelNode>;
}

/** Thrown where the stash has to fail; `code` is the code it has to fail with. */
export class ModelFailure extends Error {
  readonly code: string;
  readonly missing: readonly string[] | undefined;

  constructor(code: string, missing?: readonly string[]) {
    super(code);
    this.code = code;
    this.missing = missing;
  }
}

/** What a stash should hold. Values are hexadecimal. */
export class Model {
  top: ModelNode = { value: null, below: new Map() };

  #node(key: readonly string[]): ModelNode {
    return key.reduce((node, name, level) => {
      const next = node.below.get(name);
      if (next === undefined) throw new ModelFailure('key-not-found', key.slice(0, level + 1));
      return next;
    }, this.top);
  }

  read(key: readonly string[]): string {
    if (key.length === 0) throw new ModelFailure('empty-key');
    const { value } = this.#node(key);
    if (value === null) throw new ModelFailure('no-value');
    return value;
  }

  has(key: readonly string[]): boolean {
    try {
      this.read(key);
      return true;
    } catch {
      return false;
    }
  }

  children(key: readonly string[]): string[] {
    return Array.from(this.#node(key).below.keys());
  }

  write(key: readonly string[], value: string): void {
    if (key.length === 0) throw new ModelFailure('empty-key');
    if (key.length > 64) throw new ModelFailure('key-too-deep');
    let node = this.top;
    for (const name of key) {
      if (!node.below.has(name)) node.below.set(name, { value: null, below: new Map() });
      node = node.below.get(name) as ModelNode;
    }
    node.value = value;
  }

  remove(key: readonly string[], recursive = true): string | null {
    const { value, below } = this.#node(key);
    if (!recursive && below.size > 0) throw new ModelFailure('has-children');
    if (key.length === 0) this.top = { value: null, below: new Map() };
    else this.#node(key.slice(0, -1)).below.delete(key.at(-1) as string);
    return value;
  }

  entries(): [string[], string][] {
    const list: [string[], string][] = [];
    const walk = (node: ModelNode, key: string[]): void => {
      if (node.value !== null) list.push([key, node.value]);
      for (const [name, next] of node.below) walk(next, key.concat(name));
    };
    walk(this.top, []);
    return list;
  }

  /** A copy that shares nothing. */
  copy(): Model {
    const model = new Model();
    model.top = structuredClone(this.top);
    return model;
  }
}
