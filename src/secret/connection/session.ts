/**
 * Sessions: how secrets are encoded while they travel.
 *
 * Secret Service specification 0.2, "Sessions" and "Transfer of Secrets". The key agreement and the
 * cipher are in `crypto/`; here are the negotiation and the Secret structs.
 */

import { Variant } from '../../wire/index.js';
import {
  badReply,
  parseObjectPath,
  parseSecretStruct,
  parseVariant,
  type SecretStruct,
} from '../calls/replies.js';
import { computeSharedSecret, generateKeyPair, isUnambiguous } from '../crypto/key-agreement.js';
import { SecretServiceError } from '../errors.js';
import { errorNameOf, hasCode } from '../map-error.js';
import {
  ENCRYPTED_ALGORITHM,
  PLAIN_ALGORITHM,
  SERVICE_INTERFACE,
  SERVICE_PATH,
  SESSION_INTERFACE,
  type SessionAlgorithm,
} from '../names.js';
import { Secret } from '../secret.js';
import type { Caller } from './caller.js';
import type { Operation } from './operation.js';

/**
 * Which sessions the caller allows:
 *
 * - `encrypted`: only the encrypted algorithm; a service without it is an error.
 * - `prefer-encrypted`: the encrypted algorithm, or plain where the service says that it has no other.
 *   Whoever stands between can say so as well.
 * - `plain`: secrets travel over the bus as they are.
 */
export type SessionPolicy = 'encrypted' | 'prefer-encrypted' | 'plain';

/** The session in force. */
export interface SessionInfo {
  /** The algorithm's name in the specification. */
  readonly algorithm: SessionAlgorithm;
  /** The session's object path. */
  readonly path: string;
  /** Whether secrets are encrypted while they travel. */
  readonly encrypted: boolean;
}

/**
 * Sessions opened until the shared secret is unambiguous. One in 256 is not; eight in a row mean that
 * the service makes them so.
 */
const MAX_KEY_AGREEMENTS = 8;

/** The code of the cipher. */
type Cipher = typeof import('../crypto/secret-cipher.js');

/** A key, 16 bytes, and what uses it. */
export interface SessionKey {
  readonly bytes: Uint8Array;
  readonly cipher: Cipher;
}

/** An open session with its key. */
export class Session implements SessionInfo {
  readonly algorithm: SessionAlgorithm;
  readonly path: string;
  readonly encrypted: boolean;
  #key: SessionKey | undefined;
  #isWiped = false;

  /** @param key - Its bytes are taken over and wiped with the session; undefined for a plain session. */
  constructor(path: string, key: SessionKey | undefined) {
    this.path = path;
    this.encrypted = key !== undefined;
    this.algorithm = this.encrypted ? ENCRYPTED_ALGORITHM : PLAIN_ALGORITHM;
    this.#key = key;
  }

  /**
   * Encodes a value for the service.
   * @param value - Only read; in a plain session the struct holds this very array.
   * @throws {SecretServiceError} `closed`
   */
  encode(value: Uint8Array, contentType: string): SecretStruct {
    const key = this.#currentKey();
    if (key === undefined) return [this.path, new Uint8Array(0), value, contentType];
    const encrypted = key.cipher.encryptValue(key.bytes, value);
    return [this.path, encrypted.parameters, encrypted.value, contentType];
  }

  /**
   * Decodes a Secret struct from the service.
   * @param value - Not trusted; in a plain session the secret takes its value over.
   * @throws {SecretServiceError} `bad-reply`, `bad-secret`, `closed`
   */
  decode(value: unknown): Secret {
    const key = this.#currentKey();
    const [sessionPath, parameters, bytes, contentType] = parseSecretStruct(value);
    if (sessionPath !== this.path) {
      throw new SecretServiceError('bad-secret', 'the secret belongs to another session');
    }
    if (key !== undefined) {
      return new Secret(key.cipher.decryptValue(key.bytes, parameters, bytes), contentType);
    }
    // Parameters mean that the service has encrypted the value, whatever the session says.
    if (parameters.byteLength > 0) {
      throw new SecretServiceError('bad-secret', 'a secret of a plain session has parameters');
    }
    return new Secret(bytes, contentType);
  }

  /** Overwrites the key; encoding and decoding end with the code `closed`. Idempotent. */
  wipe(): void {
    this.#isWiped = true;
    this.#key?.bytes.fill(0);
    this.#key = undefined;
  }

  #currentKey(): SessionKey | undefined {
    if (this.#isWiped) throw new SecretServiceError('closed', 'the session is closed');
    return this.#key;
  }
}

/**
 * Opens a session as `policy` allows.
 * @returns The session, owned by the caller, who ends it with {@link closeSession}.
 * @throws {SecretServiceError} `session` if the service has no algorithm that is allowed, or the key
 * agreement fails; `bad-reply`; and as {@link Caller.call}.
 */
export async function openSession(
  caller: Caller,
  policy: SessionPolicy,
  operation: Operation,
): Promise<Session> {
  if (policy === 'plain') return await openPlainSession(caller, operation);
  try {
    return await openEncryptedSession(caller, operation);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    if (policy === 'prefer-encrypted') return await openPlainSession(caller, operation);
    throw new SecretServiceError('session', 'the service has no encrypted sessions', { cause: error });
  }
}

/** KWallet says InvalidArgs where the library for the encryption is not installed. */
function isRefusal(error: unknown): boolean {
  return hasCode(error, 'not-supported') || errorNameOf(error) === 'org.freedesktop.DBus.Error.InvalidArgs';
}

/**
 * Wipes the session's key and tells the service that the session has ended.
 * @returns A promise that never rejects, and settles within two seconds.
 */
export async function closeSession(caller: Caller, session: Session): Promise<void> {
  session.wipe();
  await caller.callUnattended(session.path, SESSION_INTERFACE, 'Close');
}

async function openPlainSession(caller: Caller, operation: Operation): Promise<Session> {
  try {
    const { output, path } = await callOpenSession(caller, operation, PLAIN_ALGORITHM, new Variant('s', ''));
    // The specification says `s ""`; KWallet and oo7 answer `ay []`.
    if (output.signature !== 's' && output.signature !== 'ay') {
      throw badReply(`OpenSession has an output of the type '${output.signature}'`);
    }
    return new Session(path, undefined);
  } catch (error) {
    if (!hasCode(error, 'not-supported')) throw error;
    throw new SecretServiceError('session', 'the service has no plain sessions', { cause: error });
  }
}

async function openEncryptedSession(caller: Caller, operation: Operation): Promise<Session> {
  for (let attempt = 0; attempt < MAX_KEY_AGREEMENTS; attempt++) {
    const session = await agreeOnSession(caller, operation);
    if (session !== undefined) return session;
  }
  throw new SecretServiceError(
    'session',
    `${MAX_KEY_AGREEMENTS} key agreements in a row gave a shared secret that begins with a zero byte`,
  );
}

/** Undefined where the shared secret is ambiguous and another session has to be opened. */
async function agreeOnSession(caller: Caller, operation: Operation): Promise<Session | undefined> {
  const { privateExponent, publicKey } = generateKeyPair();
  let sessionPath: string | undefined;
  let session: Session | undefined;
  try {
    const input = new Variant('ay', publicKey);
    const opening = callOpenSession(caller, operation, ENCRYPTED_ALGORITHM, input);
    // It makes tables when it is loaded, which takes 4 ms: the service computes its part of the key meanwhile.
    const [{ output, path }, cipher] = await Promise.all([opening, import('../crypto/secret-cipher.js')]);
    sessionPath = path;
    const peerPublicKey = parseVariant(output, 'ay', "the service's public key");
    if (!(peerPublicKey instanceof Uint8Array)) throw badReply("the service's public key is no byte array");
    session = sessionFor(path, cipher, privateExponent, peerPublicKey);
    return session;
  } finally {
    privateExponent.fill(0);
    if (session === undefined && sessionPath !== undefined) {
      void caller.callUnattended(sessionPath, SESSION_INTERFACE, 'Close');
    }
  }
}

function sessionFor(
  path: string,
  cipher: Cipher,
  privateExponent: Uint8Array,
  peerKey: Uint8Array,
): Session | undefined {
  const sharedSecret = computeSharedSecret(privateExponent, peerKey);
  try {
    if (!isUnambiguous(sharedSecret)) return undefined;
    return new Session(path, { bytes: cipher.deriveKey(sharedSecret), cipher });
  } finally {
    sharedSecret.fill(0);
  }
}

async function callOpenSession(
  caller: Caller,
  operation: Operation,
  algorithm: SessionAlgorithm,
  input: Variant,
): Promise<{ output: Variant; path: string }> {
  const call = {
    path: SERVICE_PATH,
    interface: SERVICE_INTERFACE,
    member: 'OpenSession',
    signature: 'sv',
    replySignature: 'vo',
  };
  const [output, path] = await caller.call(operation, call, [algorithm, input]);
  if (!(output instanceof Variant)) throw badReply('OpenSession has no output');
  return { output, path: parseObjectPath(path, 'the session') };
}
