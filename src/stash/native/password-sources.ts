/**
 * Where passwords and keys come from when nobody types them: the environment, files, descriptors, systemd.
 * Each function here returns another that reads when it is asked, so that nothing lies in memory before.
 *
 * The bytes of a file are the password as they are, text or not, but for one newline at their end. Anything
 * missing, unreadable, empty or too long is an error, and no error holds any of it. Modes of files are not looked
 * at: secrets that are mounted into containers are readable by all in them.
 * Only this file of the native format reads the environment or files that are no stash.
 */

import { read } from 'node:fs';
import { open } from 'node:fs/promises';
import * as nodePath from 'node:path';
import { isatty } from 'node:tty';
import { StashError, StashValueError } from '../errors.js';
import { type PasswordSource, parsePath } from '../options.js';
import type { KeySource } from './credentials.js';

const maxByteLength = 2 ** 20;

/** How long to wait for a descriptor that somebody made non-blocking. */
const retryMs = 10;

function failed(message: string, options?: ErrorOptions): StashValueError {
  return new StashValueError('password-failed', message, options);
}

/** Reads from where the descriptor stands, which `node:fs/promises` does for its own handles alone. */
function readSome(descriptor: number, target: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    read(descriptor, target, 0, target.length, null, (error, count) => {
      if (error === null) resolve(count);
      else reject(error);
    });
  });
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN';
}

/** Returns all that a descriptor has from where it stands, in a buffer of the caller's own. */
async function readToEnd(descriptor: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(maxByteLength + 1);
  let filled = 0;
  try {
    while (filled < buffer.length) {
      try {
        const count = await readSome(descriptor, buffer.subarray(filled));
        if (count === 0) break;
        filled += count;
      } catch (error) {
        if (!isBusy(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
    if (filled > maxByteLength)
      throw failed(`there are more than ${maxByteLength} bytes for a password or key`);
    return buffer.slice(0, filled);
  } finally {
    buffer.fill(0, 0, filled);
  }
}

async function readFile(path: string): Promise<Uint8Array> {
  try {
    const file = await open(path);
    try {
      return await readToEnd(file.fd);
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof StashError) throw cause;
    throw failed('the file of the password or key cannot be read', { cause });
  }
}

/** Returns a copy without the newline at the end, if there is one, and wipes `bytes`. */
function toPassword(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  if (bytes[end - 1] === 0x0a) end -= bytes[end - 2] === 0x0d ? 2 : 1;
  const password = bytes.slice(0, end);
  bytes.fill(0);
  // An empty password can be given as '', but where it comes from elsewhere something went wrong there.
  if (end === 0) throw failed('the password is empty');
  return password;
}

function environment(name: string): string {
  const value = Object.hasOwn(process.env, name) ? process.env[name] : undefined;
  if (value === undefined || value === '') throw failed(`the environment variable ${name} is not set`);
  // The runtime puts it for bytes that are no UTF-8: many passwords would be one.
  if (value.includes('\ufffd')) throw failed(`the environment variable ${name} is not well-formed text`);
  return value;
}

function parseName(name: unknown, what: string): string {
  if (typeof name === 'string' && name !== '' && !/[\0=/\\]/.test(name) && name !== '.' && name !== '..')
    return name;
  throw new StashValueError('bad-option', `this cannot be the name of ${what}`);
}

/**
 * Returns a source of the password in an environment variable, as it is. Child processes inherit the variable
 * unless it is deleted, and other programs of the same user can read it.
 * @throws {StashValueError} `bad-option`; when asked, `password-failed` for a variable that is not set, empty, or
 * not UTF-8.
 */
export function passwordFromEnvironment(name: string): PasswordSource {
  const variable = parseName(name, 'an environment variable');
  return () => environment(variable);
}

/**
 * Returns a source of the password in a file, less one newline at the end. A FIFO is waited for.
 * @throws {StashValueError} `bad-option`; when asked, `password-failed`.
 */
export function passwordFromFile(path: string): PasswordSource {
  const absolute = nodePath.resolve(parsePath(path));
  return async () => toPassword(await readFile(absolute));
}

/**
 * Returns a source of the password that a descriptor has up to its end, less one newline there. It stays open. A
 * pipe can be read once: who asks again gets `password-failed`. Terminals are refused: they would show what is typed.
 * @throws {StashValueError} `bad-option`; when asked, `password-failed`.
 */
export function passwordFromDescriptor(descriptor: number): PasswordSource {
  if (!Number.isInteger(descriptor) || descriptor < 0 || descriptor > 2 ** 31 - 1) {
    throw new StashValueError('bad-option', 'the descriptor must be an integer from 0');
  }
  return async () => {
    if (isatty(descriptor)) throw failed('the descriptor is a terminal, which would show the password');
    try {
      return toPassword(await readToEnd(descriptor));
    } catch (cause) {
      if (cause instanceof StashError) throw cause;
      throw failed('the descriptor cannot be read', { cause });
    }
  };
}

/**
 * Returns a source of the password that systemd gave the service under this name (`LoadCredential=`), less one
 * newline at the end: the file of that name in the folder `$CREDENTIALS_DIRECTORY`.
 * @throws {StashValueError} `bad-option`; when asked, `password-failed`.
 */
export function passwordFromCredential(name: string): PasswordSource {
  const file = parseName(name, 'a credential');
  return async () => toPassword(await readFile(nodePath.join(environment('CREDENTIALS_DIRECTORY'), file)));
}

/**
 * Returns a source of the key in a file: all of its bytes, at least 32.
 * @throws {StashValueError} `bad-option`; when asked, `password-failed`.
 */
export function keyFromFile(path: string): KeySource {
  const absolute = nodePath.resolve(parsePath(path));
  return () => readFile(absolute);
}
