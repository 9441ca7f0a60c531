/**
 * Stores of many values that are opened: made once, then opened by processes of `opening-child.mjs`. Each is compacted as its
 * kind can be, and holds the same.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { KEY, keyOf, operationsFor, valueOf } from './fixtures.mjs';

/** Of a package whose types are not there. @type {(name: string) => any} */
const load = createRequire(import.meta.url);

export const OURS = 'secretbus';
export const OURS_UNPADDED = 'secretbus, padding off';
export const SQLITE = 'better-sqlite3, into a Map';
export const FLOOR = 'Node alone, the same bytes';

const BATCH = 10_000;
const PAGE = 65_536;
const TAG = 16;
const ALGORITHM = 'chacha20-poly1305';

/**
 * @typedef {object} Opened
 * @property {() => Promise<void> | void} check throws unless it holds what was stored
 * @property {() => Promise<void> | void} close
 */

/**
 * @typedef {object} Kind
 * @property {(path: string, count: number) => Promise<void> | void} build
 * @property {() => Promise<(path: string, count: number) => Promise<Opened> | Opened>} load gives what opens it
 */

/** @param {Uint8Array | undefined} found @param {number} index */
function checkValue(found, index) {
  if (found === undefined || Buffer.compare(found, valueOf(index)) !== 0)
    throw new Error(`value ${index} is not what was stored`);
}

/** @param {boolean} padding @returns {Kind} */
function stash(padding) {
  const entry = new URL('../../../dist/stash/index.js', import.meta.url).href;
  const loadStash = async () => {
    const { Stash } = /** @type {typeof import('secretbus/stash')} */ (await import(entry));
    return Stash;
  };
  return {
    async build(path, count) {
      const Stash = await loadStash();
      const made = await Stash.open(path, { key: KEY, create: true, durability: 'none', padding });
      for (let from = 0; from < count; from += BATCH) {
        await made.batch(operationsFor(from, Math.min(from + BATCH, count)));
      }
      await made.compact();
      await made.close();
    },
    async load() {
      const Stash = await loadStash();
      return async (path, count) => {
        const opened = await Stash.open(path, { key: KEY });
        return {
          async check() {
            if ((await opened.children([])).length !== Math.ceil(count / 4))
              throw new Error('keys are missing');
            for (const index of [0, count >> 1, count - 1])
              checkValue(await opened.read(keyOf(index)), index);
          },
          close: () => opened.close(),
        };
      };
    },
  };
}

/** @type {Kind} */
const sqlite = {
  build(path, count) {
    const database = new (load('better-sqlite3'))(path);
    database.exec('CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID');
    const insert = database.prepare('INSERT INTO entries (key, value) VALUES (?, ?)');
    database.transaction(() => {
      for (let index = 0; index < count; index += 1) insert.run(keyOf(index).join('/'), valueOf(index));
    })();
    database.exec('VACUUM');
    database.close();
  },
  async load() {
    const Database = load('better-sqlite3');
    // The addon is loaded with the first.
    new Database(':memory:').close();
    return (path, count) => {
      const database = new Database(path, { readonly: true });
      /** @type {Map<string, Uint8Array>} */
      const values = new Map();
      for (const [key, value] of database.prepare('SELECT key, value FROM entries').raw().iterate())
        values.set(key, value);
      return {
        check() {
          if (values.size !== count) throw new Error('keys are missing');
          for (const index of [0, count >> 1, count - 1])
            checkValue(values.get(keyOf(index).join('/')), index);
        },
        close: () => database.close(),
      };
    };
  },
};

/** The nonce of a page: a key for the measurement alone. @param {number} page */
function nonceOf(page) {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(page);
  return nonce;
}

/** Reads and decrypts as many bytes as the stash beside it has, in pages as long. @type {Kind} */
const floor = {
  build(path) {
    const { size } = statSync(path.replace(/[^/]*$/, 'stash'));
    /** @type {Buffer[]} */
    const pages = [];
    for (let start = 0; start < size; start += PAGE) {
      const cipher = createCipheriv(ALGORITHM, KEY, nonceOf(pages.length), { authTagLength: TAG });
      const body = cipher.update(Buffer.alloc(Math.min(PAGE, size - start), 1));
      cipher.final();
      pages.push(Buffer.concat([body, cipher.getAuthTag()]));
    }
    writeFileSync(path, Buffer.concat(pages));
  },
  async load() {
    return (path) => {
      const bytes = readFileSync(path);
      /** @type {Buffer[]} */
      const pages = [];
      for (let start = 0; start < bytes.length; start += PAGE + TAG) {
        const page = bytes.subarray(start, start + PAGE + TAG);
        const decipher = createDecipheriv(ALGORITHM, KEY, nonceOf(pages.length), { authTagLength: TAG });
        decipher.setAuthTag(page.subarray(-TAG));
        pages.push(decipher.update(page.subarray(0, -TAG)));
        decipher.final();
      }
      return {
        check() {
          if (!pages.every((page) => page.every((byte) => byte === 1)))
            throw new Error('a page was decrypted wrong');
        },
        close() {},
      };
    };
  },
};

/** By name. @type {Record<string, Kind>} */
export const KINDS = {
  [OURS]: stash(true),
  [OURS_UNPADDED]: stash(false),
  [SQLITE]: sqlite,
  [FLOOR]: floor,
};
