/** Where items were found last, by their attributes: a guess to be checked, never an answer. Imports nothing. */

/** How many are remembered: enough for what a program asks again and again. */
const MAX_KNOWN_PATHS = 256;

/** The newest paths by key. */
export class KnownPaths {
  readonly #paths = new Map<string, string>();

  get(key: string): string | undefined {
    return this.#paths.get(key);
  }

  /** Remembers `path`, in the place of the oldest where there is no room. */
  set(key: string, path: string): void {
    this.#paths.delete(key);
    this.#paths.set(key, path);
    if (this.#paths.size <= MAX_KNOWN_PATHS) return;
    const [oldest] = this.#paths.keys();
    if (oldest !== undefined) this.#paths.delete(oldest);
  }
}
