import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Address, parseAddress } from '../../src/wire/handshake/address.js';
import { connectTransport } from '../../src/wire/transport/connect.js';
import type { Transport } from '../../src/wire/transport/transport.js';
import { pattern, TransportProbe, until } from '../support/transport-probe.js';

let directory: string;
let transports: Transport[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sb-'));
  transports = [];
});

afterEach(() => {
  for (const transport of transports) transport.destroy();
  rmSync(directory, { recursive: true });
});

async function connect(address: string): Promise<Transport> {
  const transport = await connectTransport(parseAddress(address)[0] as Address, new AbortController().signal);
  transports.push(transport);
  return transport;
}

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** A script run by this Node; `say` writes to its output. */
const node = (script: string): string => {
  const path = `${directory}/${Math.random()}.cjs`;
  writeFileSync(path, `const say = (x) => require('fs').writeSync(1, String(x));\n${script}`);
  return `unixexec:path=${process.execPath},argv1=${path}`;
};

describe('the transport unixexec', () => {
  it('talks to a program, which is found by PATH', async () => {
    const probe = new TransportProbe(await connect('unixexec:path=cat')).start();
    const whole = pattern(1_000_000);
    probe.transport.write(whole);
    await until(() => probe.byteLength === whole.length && probe.drained > 0);
    expect(probe.bytes.equals(whole)).toBe(true);
    probe.transport.close();
    expect(await probe.ended).toBeUndefined();
  });

  it('gives it its arguments and its own name', async () => {
    const path = `${directory}/node`;
    symlinkSync(process.execPath, path);
    const script = `${directory}/script.cjs`;
    writeFileSync(script, 'process.stdout.write(JSON.stringify([process.argv0, ...process.argv.slice(2)]))');
    const probe = new TransportProbe(
      await connect(`unixexec:path=${path},argv0=name,argv1=${script},argv2=a%20b,argv3=--c`),
    ).start();
    expect(await probe.ended).toBeUndefined();
    expect(JSON.parse(probe.text)).toEqual(['name', 'a b', '--c']);
  });

  it('sends all before it closes', async () => {
    const file = `${directory}/count`;
    const write = `require('fs').writeFileSync(${JSON.stringify(file)}, String(n))`;
    const address = node(
      `let n = 0; process.stdin.on('data', (d) => n += d.length).on('end', () => ${write})`,
    );
    const probe = new TransportProbe(await connect(address)).start();
    probe.transport.write(pattern(5_000_000));
    probe.transport.close();
    expect(await probe.ended).toBeUndefined();
    expect(readFileSync(file, 'utf8')).toBe('5000000');
  });

  it('ends with the program, and says how that went', async () => {
    const failing = new TransportProbe(await connect(node('say("out"); process.exitCode = 3'))).start();
    expect(await failing.ended).toMatchObject({
      code: 'disconnected',
      message: expect.stringContaining('exit code 3'),
    });
    expect(failing.text).toBe('out');
    const killed = new TransportProbe(await connect(node('process.kill(process.pid, "SIGUSR2")'))).start();
    expect(await killed.ended).toMatchObject({ message: expect.stringContaining('SIGUSR2') });
  });

  it('reads what a program said that has gone, though it is written to', async () => {
    const probe = new TransportProbe(await connect(node('say("x".repeat(50000))')));
    const writing = setInterval(() => probe.transport.write(pattern(10_000)), 1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    probe.start();
    expect(await probe.ended).toBeUndefined();
    clearInterval(writing);
    expect(probe.byteLength).toBe(50_000);
  });

  it.each([
    ['ends with the transport', ''],
    ['that will not be asked to end is killed', 'process.on("SIGTERM", () => {});'],
  ])('%s, and leaves no process behind', async (_what, refusing) => {
    const probe = new TransportProbe(
      await connect(node(`${refusing} say(process.pid + "\\n"); setInterval(() => {}, 1000)`)),
    ).start();
    await until(() => probe.text.endsWith('\n'));
    const pid = Number(probe.text);
    expect(alive(pid)).toBe(true);
    probe.transport.destroy();
    expect(await probe.ended).toBeUndefined();
    expect(alive(pid)).toBe(false);
  });

  it('ends a program that closes its output', async () => {
    const probe = new TransportProbe(
      await connect(node('say(process.pid); require("fs").closeSync(1); setInterval(() => {}, 1000)')),
    ).start();
    await probe.ended;
    expect(alive(Number(probe.text))).toBe(false);
  });

  it('cannot run what may not be run', async () => {
    writeFileSync(`${directory}/script`, '#!/nowhere\n');
    chmodSync(`${directory}/script`, 0o755);
    await expect(connect(`unixexec:path=${directory}/script`)).rejects.toMatchObject({
      code: 'connect-failed',
    });
  });
});
