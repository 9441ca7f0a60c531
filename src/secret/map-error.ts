/**
 * Faults of the wire and D-Bus error replies, as errors of this area.
 *
 * Secret Service specification 0.2, "Errors"; D-Bus specification, the `org.freedesktop.DBus.Error`
 * names. Services differ in what they answer for a missing object, so several names mean the same.
 *
 * A DeadlineError and a CancelledError of the wire stay what they are: they are the caller's own
 * deadline and signal, and mean the same on every layer.
 */

import {
  AuthError,
  CancelledError,
  ClosedError,
  ConnectError,
  DBusError,
  DeadlineError,
  ErrorReply,
  InvalidTextError,
  MarshalError,
  ProtocolError,
  ReplySignatureError,
} from '../wire/index.js';
import { SecretServiceError, type SecretServiceErrorCode } from './errors.js';

const CODE_BY_ERROR_NAME: ReadonlyMap<string, SecretServiceErrorCode> = new Map<
  string,
  SecretServiceErrorCode
>([
  ['org.freedesktop.Secret.Error.IsLocked', 'locked'],
  ['org.freedesktop.Secret.Error.NoSession', 'session'],
  ['org.freedesktop.Secret.Error.NoSuchObject', 'not-found'],
  ['org.freedesktop.DBus.Error.UnknownObject', 'not-found'],
  ['org.freedesktop.DBus.Error.UnknownMethod', 'not-found'],
  ['org.freedesktop.DBus.Error.UnknownInterface', 'not-found'],
  ['org.freedesktop.DBus.Error.ServiceUnknown', 'not-available'],
  ['org.freedesktop.DBus.Error.NameHasNoOwner', 'not-available'],
  ['org.freedesktop.DBus.Error.NoReply', 'not-available'],
  ['org.freedesktop.DBus.Error.Disconnected', 'not-available'],
  ['org.freedesktop.DBus.Error.TimedOut', 'not-available'],
  ['org.freedesktop.DBus.Error.NotSupported', 'not-supported'],
  ['org.freedesktop.DBus.Error.UnknownProperty', 'not-supported'],
  ['org.freedesktop.DBus.Error.AccessDenied', 'access-denied'],
  ['org.freedesktop.DBus.Error.AuthFailed', 'access-denied'],
  ['org.gnome.keyring.Error.Denied', 'access-denied'],
]);

const SPAWN_ERROR_PREFIX = 'org.freedesktop.DBus.Error.Spawn.';

/**
 * Makes the error an operation rejects with out of what it caught.
 * @param error - Anything that was thrown.
 * @param step - What was being done, for the message, such as `GetSecret`.
 * @returns The same object for a SecretServiceError, DeadlineError or CancelledError; else a new
 * SecretServiceError with `error` as its cause.
 */
export function mapError(error: unknown, step: string): Error {
  if (error instanceof SecretServiceError) return error;
  if (error instanceof DeadlineError || error instanceof CancelledError) return error;
  return new SecretServiceError(codeFor(error), `${step}: ${describe(error)}`, { cause: error });
}

function describe(error: unknown): string {
  if (error instanceof ErrorReply) return `the service answered ${error.name}`;
  return error instanceof DBusError ? error.message : 'unexpected error';
}

function codeFor(error: unknown): SecretServiceErrorCode {
  if (error instanceof ErrorReply) return codeForErrorName(error.name);
  if (error instanceof ConnectError || error instanceof AuthError) return 'not-available';
  if (error instanceof ClosedError) return 'closed';
  if (error instanceof MarshalError || error instanceof InvalidTextError) return 'bad-argument';
  if (error instanceof ProtocolError || error instanceof ReplySignatureError) return 'bad-reply';
  return 'failed';
}

function codeForErrorName(name: string): SecretServiceErrorCode {
  if (name.startsWith(SPAWN_ERROR_PREFIX)) return 'not-available';
  return CODE_BY_ERROR_NAME.get(name) ?? 'failed';
}

/** Tells whether `error` is a SecretServiceError with one of `codes`. */
export function hasCode(error: unknown, ...codes: SecretServiceErrorCode[]): error is SecretServiceError {
  return error instanceof SecretServiceError && codes.includes(error.code);
}

/** The D-Bus error name that the service, or the bus in its place, answered with; undefined for any other error. */
export function errorNameOf(error: unknown): string | undefined {
  if (!(error instanceof SecretServiceError) || !(error.cause instanceof ErrorReply)) return undefined;
  return error.cause.name;
}
