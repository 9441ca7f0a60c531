/**
 * The transport `unixexec`: a program whose standard input and output carry the bytes (D-Bus specification, "Executed
 * Subprocesses on Unix"). Layer 6: imports lower layers only.
 *
 * The specification gives the program one socket pair for both; Node gives it two, one for each.
 */
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { CancelledError, DBusError } from '../base/errors.js';
import { CLOSE_TIMEOUT_MS } from '../base/limits.js';
import { type Address, invalidAddress } from '../handshake/address.js';
import { connectFailed } from './endpoint.js';
import { StreamTransport } from './stream.js';
import type { Transport } from './transport.js';
import { throwIfAborted, whenAborted } from './when-aborted.js';

/** A program whose standard error is ours. */
type Program = ChildProcessByStdio<Writable, Readable, null>;

/** Time in which a program that has closed its output may exit by itself, in milliseconds. */
const EXIT_GRACE_MS = 250;

/** Ends a program: politely after `graceMs`, by force when it has not gone `CLOSE_TIMEOUT_MS` later. */
function stop(child: Program, graceMs: number): void {
  // It must not keep us alive. Should we be gone before, it has seen the end of its input.
  child.unref();
  let timer: NodeJS.Timeout | undefined;
  const force = (): void => void child.kill('SIGKILL');
  const ask = (): void => {
    child.kill('SIGTERM');
    timer = setTimeout(force, CLOSE_TIMEOUT_MS).unref();
  };
  if (graceMs === 0) ask();
  else timer = setTimeout(ask, graceMs).unref();
  child.once('exit', () => clearTimeout(timer));
}

function transportOf(child: Program): Transport {
  const { stdin, stdout } = child;
  let stopped = false;
  const destroy = (graceMs: number): void => {
    stdin.destroy();
    stdout.destroy();
    if (stopped || child.exitCode !== null || child.signalCode !== null) return;
    stopped = true;
    stop(child, graceMs);
  };
  const transport = new StreamTransport(stdout, stdin, {
    close: () => void stdin.end(),
    destroy: () => destroy(0),
    peerEnded: () => destroy(EXIT_GRACE_MS),
  });
  stdout.pause();
  stdout.on('data', transport.received);
  // The program is gone, and what it wrote has been read or is of no interest any more.
  child.once('close', (code, signal) => {
    const ordinary = code === 0 || child.killed;
    const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
    transport.ended(ordinary ? undefined : new DBusError('disconnected', `the program ended ${how}`));
  });
  return transport;
}

/** Program and arguments of an address: `path`, `argv0` and the `argv1`, `argv2`, … without a gap. */
function commandOf({ parameters }: Address): { path: string; argv0: string; args: string[] } {
  const path = parameters.get('path');
  if (path === undefined) throw invalidAddress('`unixexec` needs a `path`');
  const args: string[] = [];
  for (const key of parameters.keys()) {
    if (!/^argv[1-9]/.test(key)) continue;
    // As many as there are, counted from 1: one that is not there leaves a gap.
    const next = parameters.get(`argv${args.length + 1}`);
    if (next === undefined) throw invalidAddress('a missing `argv`');
    args.push(next);
  }
  if ([...parameters.values()].some((value) => value.includes('\0')))
    throw invalidAddress('a NUL for a program');
  return { path, argv0: parameters.get('argv0') ?? path, args };
}

/**
 * Runs the program of an address of the transport `unixexec`. It has our environment, and our standard error, since what it
 * says there (a refused login, a host unknown) is for the person who started us. It ends with the transport, and the transport
 * when its output ends.
 * @throws {InvalidTextError} `invalid-address`
 * @throws {ConnectError} `connect-failed`, with the system's error as `cause`
 * @throws {CancelledError} when `signal` fires first
 */
export async function openProcess(address: Address, signal: AbortSignal): Promise<Transport> {
  const { path, argv0, args } = commandOf(address);
  // Loading it takes two milliseconds, and hardly anybody needs it.
  const { spawn } = await import('node:child_process');
  return await new Promise((resolve, reject) => {
    throwIfAborted(signal);
    const refuse = (cause: unknown): void => reject(connectFailed('run', path, cause));
    let child: Program;
    try {
      child = spawn(path, args, { argv0, stdio: ['pipe', 'pipe', 'inherit'], windowsHide: true });
    } catch (cause) {
      refuse(cause);
      return;
    }
    const stopListening = whenAborted(signal, () => reject(new CancelledError(signal.reason)));
    // This one stays: a signal that cannot be sent is an 'error' too.
    child.on('error', (cause) => {
      stopListening();
      refuse(cause);
    });
    child.once('spawn', () => {
      stopListening();
      const transport = transportOf(child);
      if (signal.aborted) transport.destroy();
      resolve(transport);
    });
  });
}
