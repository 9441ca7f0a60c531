import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseAddress } from '../../src/wire/handshake/address.js';
import { autolaunchAddresses, MACHINE_ID_FILES } from '../../src/wire/transport/autolaunch.js';
import { connectTransport } from '../../src/wire/transport/connect.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sb-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

const failure = (text: RegExp): unknown =>
  expect.objectContaining({ code: 'unsupported-transport', message: expect.stringMatching(text) });

describe('autolaunchAddresses', () => {
  const id = '0123456789abcdef0123456789abcdef';
  let files: string[];

  beforeEach(() => {
    files = [`${directory}/none`, `${directory}/machine-id`];
    writeFileSync(`${directory}/machine-id`, `${id}\n`);
    mkdirSync(`${directory}/.dbus/session-bus`, { recursive: true });
  });

  const find = (display: string | undefined): unknown =>
    autolaunchAddresses({ DISPLAY: display, HOME: directory }, files);

  it.each([
    [':0', '0'],
    [':0.0', '0'],
    [':10.1', '10'],
    ['localhost:10.0', '10'],
    ['localhost.localdomain:10', '10'],
    ['other.example:3.2', 'other.example_3'],
    ['/private/tmp/x.y/org.xquartz:0', '_private_tmp_x.y_org.xquartz_0'],
  ])('reads the session file of the display %s', (display, name) => {
    writeFileSync(
      `${directory}/.dbus/session-bus/${id}-${name}`,
      '# a comment\nDBUS_SESSION_BUS_ADDRESS=unix:abstract=/tmp/dbus-x,guid=01\nDBUS_SESSION_BUS_PID=1\n',
    );
    expect(find(display)).toEqual(parseAddress('unix:abstract=/tmp/dbus-x,guid=01'));
  });

  it('says why there is none', () => {
    expect(() => find(undefined)).toThrow(failure(/DISPLAY is not set/));
    expect(() => find(':0')).toThrow(failure(/cannot be read/));
    writeFileSync(`${directory}/.dbus/session-bus/${id}-0`, 'nothing\n');
    expect(() => find(':0')).toThrow(failure(/holds no address/));
    writeFileSync(`${directory}/machine-id`, 'uninitialized\n');
    expect(() => find(':0')).toThrow(failure(/no id/));
  });

  it('is what connectTransport asks, and what leads to itself is passed over', async () => {
    const before = { HOME: process.env['HOME'], DISPLAY: process.env['DISPLAY'] };
    const [address] = parseAddress('autolaunch:');
    const connecting = (): Promise<unknown> =>
      connectTransport(address as NonNullable<typeof address>, new AbortController().signal);
    try {
      process.env['HOME'] = directory;
      delete process.env['DISPLAY'];
      await expect(connecting()).rejects.toMatchObject({ code: 'unsupported-transport' });
      const file = MACHINE_ID_FILES.find((name) => existsSync(name));
      if (file === undefined) return;
      process.env['DISPLAY'] = ':77';
      const session = `${directory}/.dbus/session-bus/${readFileSync(file, 'latin1').trim()}-77`;
      writeFileSync(session, `DBUS_SESSION_BUS_ADDRESS=autolaunch:;unix:path=${directory}/none\n`);
      await expect(connecting()).rejects.toMatchObject({
        code: 'connect-failed',
        cause: { errors: [{ code: 'connect-failed', cause: { code: 'ENOENT' } }] },
      });
    } finally {
      for (const [name, value] of Object.entries(before)) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
  });
});
