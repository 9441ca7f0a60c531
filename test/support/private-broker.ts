/** A dbus-broker of one's own, without systemd: a program of ours plays its controller. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeFolder } from '../../scripts/lib/daemon.mjs';
import { marshal, Variant } from '../../src/wire/index.js';

const BATCH = '(bta(btbs)a(btssssuutt)a(btssssuutt))';
const POLICY = `(a(u${BATCH})a(buu${BATCH})a(ss)bs)`;
const ANYBODY = 0xffff_ffff;

/** The message that has the broker listen at the descriptor that comes with it, and lets everybody do everything. */
function addListener(): Uint8Array {
  const messages = [[true, 1n, '', '', '', '', 0, 0, 0n, 0xffff_ffff_ffff_ffffn]];
  const batch = [true, 1n, [[true, 1n, true, '']], messages, messages];
  const policy = [[[ANYBODY, batch]], [], [], false, 'session'];
  // A descriptor is marshalled as its index: our encoder, which cannot send any, takes it as the number it is.
  const body = marshal('ouv', ['/org/bus1/DBus/Listener/0', 0, new Variant(POLICY, policy)]);
  const fields: [number, Variant][] = [
    [1, new Variant('o', '/org/bus1/DBus/Broker')],
    [2, new Variant('s', 'org.bus1.DBus.Broker')],
    [3, new Variant('s', 'AddListener')],
    [8, new Variant('g', 'ohv')],
    [9, new Variant('u', 1)],
  ];
  const header = marshal('yyyyuua(yv)', [0x6c, 1, 0, 1, body.length, 1, fields]);
  return Buffer.concat([header, Buffer.alloc(-header.length & 7), body]);
}

export interface PrivateBroker {
  readonly address: string;
  close(): Promise<void>;
}

/** Starts it; rejects with what it said when it does not begin to listen. */
export async function startPrivateBroker(): Promise<PrivateBroker> {
  const directory = makeFolder();
  const path = join(directory, 'bus');
  const script = fileURLToPath(new URL('broker-controller.py', import.meta.url));
  const controller = spawn('/usr/bin/python3', [script, path, '0123456789abcdef0123456789abcdef'], {
    stdio: 'pipe',
  });
  let output = '';
  controller.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  controller.stdin.on('error', () => {});
  const closed = once(controller, 'close');
  const close = async (): Promise<void> => {
    controller.stdin.end();
    await closed;
    rmSync(directory, { recursive: true, force: true });
  };
  controller.stdin.write(`${Buffer.from(addListener()).toString('hex')}\n`);
  const ready = await new Promise<boolean>((resolve) => {
    let said = '';
    controller.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said === 'ready\n') resolve(true);
    });
    controller.on('close', (code, signal) => {
      output += `${said}ended: ${code ?? signal}`;
      resolve(false);
    });
  });
  if (!ready) {
    await close();
    throw new Error(`dbus-broker did not start: ${output}`);
  }
  return { address: `unix:path=${path}`, close };
}
