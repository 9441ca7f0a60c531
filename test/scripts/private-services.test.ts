/** The private daemons come up, keep to themselves, and are gone afterwards, whatever happens to their user. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test, vi } from 'vitest';
import { startPrivateBus, startPrivateKeyring } from '../../scripts/lib/private-services.mjs';
import { MissingProgramError } from '../../scripts/lib/programs.mjs';
import { ROOT } from '../../scripts/lib/run.mjs';
import { describeWith, runs } from '../support/external.js';
import { TemporaryFolder } from '../support/temporary-folder.js';

const run = promisify(execFile);

const folder = new TemporaryFolder();

const present = ['dbus-daemon', 'gnome-keyring-daemon', 'secret-tool'].every((program) =>
  runs('sh', ['-c', `command -v ${program}`]),
);

describeWith('gnome-keyring-daemon with secret-tool', present)('private services', () => {
  test('keep what they are given, and are gone when closed', async () => {
    const keyring = await startPrivateKeyring();
    expect(statSync(keyring.directory).mode & 0o777).toBe(0o700);
    const store = run('secret-tool', ['store', '--label=label', 'key', 'value'], { env: keyring.env });
    store.child.stdin?.end('secret');
    await store;
    const { stdout } = await run('secret-tool', ['lookup', 'key', 'value'], { env: keyring.env });
    expect(stdout).toBe('secret');
    expect(readdirSync(join(keyring.directory, 'home/data/keyrings'))).toContain('login.keyring');
    await Promise.all([keyring.close(), keyring.close()]);
    expect(folder.isInUse()).toBe(false);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  test('show no way to the session of the host', async () => {
    vi.stubEnv('DISPLAY', ':7');
    vi.stubEnv('WAYLAND_DISPLAY', 'wayland-7');
    vi.stubEnv('DBUS_SESSION_BUS_ADDRESS', 'unix:path=/nonexistent/host');
    vi.stubEnv('XDG_DATA_HOME', '/nonexistent/data');
    await using bus = await startPrivateBus();
    expect(bus.env['DISPLAY']).toBeUndefined();
    expect(bus.env['WAYLAND_DISPLAY']).toBeUndefined();
    expect(bus.env['DBUS_SESSION_BUS_ADDRESS']).toBe(bus.address);
    for (const name of ['HOME', 'XDG_DATA_HOME', 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME', 'XDG_RUNTIME_DIR']) {
      expect(bus.env[name]).toMatch(new RegExp(`^${bus.directory}/`));
      expect(existsSync(bus.env[name] ?? '')).toBe(true);
    }
    const environment = readFileSync(`/proc/${bus.processId}/environ`, 'utf8');
    expect(environment).not.toContain('/nonexistent');
    expect(environment).not.toContain('DISPLAY');
  });

  test('have no service that a message could start', async () => {
    await using bus = await startPrivateBus();
    const { stdout } = await run('dbus-send', [
      `--bus=${bus.address}`,
      '--print-reply=literal',
      '--dest=org.freedesktop.DBus',
      '/org/freedesktop/DBus',
      'org.freedesktop.DBus.ListActivatableNames',
    ]);
    expect(stdout.match(/[\w.]+\.[\w.]+/g)).toEqual(['org.freedesktop.DBus']);
  });

  test('several at once keep apart, and a keyring leaves a bus that is not its own', async () => {
    await using bus = await startPrivateBus();
    const [first, second] = await Promise.all([startPrivateKeyring({ bus }), startPrivateKeyring()]);
    expect(first.address).toBe(bus.address);
    expect(second.address).not.toBe(bus.address);
    await Promise.all([first.close(), second.close()]);
    expect(readdirSync(folder.path)).toEqual([bus.directory.slice(folder.path.length + 1)]);
    expect(existsSync(join(bus.directory, 'bus'))).toBe(true);
  });

  test('work in folders with strange names', async () => {
    vi.stubEnv('TMPDIR', mkdtempSync(join(folder.path, 'ä &<"%;,')));
    await using keyring = await startPrivateKeyring();
    expect(keyring.directory.startsWith(`${process.env['TMPDIR']}/`)).toBe(true);
    await expect(run('secret-tool', ['lookup', 'no', 'thing'], { env: keyring.env })).rejects.toMatchObject({
      code: 1,
      stderr: '',
    });
  });

  test.each(['SIGKILL', 'SIGINT', 'SIGTERM', 'exit'] as const)(
    'are gone after %s of their user',
    async (how) => {
      const source = `
      import { startPrivateKeyring } from ${JSON.stringify(join(ROOT, 'scripts/lib/private-services.mjs'))};
      await startPrivateKeyring();
      console.log('started');
      ${how === 'exit' ? '' : 'setInterval(() => {}, 1000);'}`;
      const user = spawn(process.execPath, ['--input-type=module', '-e', source], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exit = once(user, 'exit');
      await once(user.stdout, 'data');
      if (how !== 'exit') {
        expect(folder.isInUse()).toBe(true);
        user.kill(how);
      }
      await exit;
      await folder.untilGone(200);
    },
  );
});

test('a missing program is named, with what to install', () => {
  const error = new MissingProgramError('gnome-keyring-daemon');
  expect(error).toMatchObject({ code: 'missing-program', program: 'gnome-keyring-daemon' });
  expect(error.message).toMatch(
    /apt-get install gnome-keyring\n.*dnf .*\n.*pacman .*\n.*apk add gnome-keyring/,
  );
});
