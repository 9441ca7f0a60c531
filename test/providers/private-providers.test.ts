/** The private providers come up, keep to themselves, and are gone afterwards, whatever happens to their user. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { startPrivateDisplay } from '../../scripts/lib/private-display.mjs';
import { startPrivateBus } from '../../scripts/lib/private-services.mjs';
import { ROOT } from '../../scripts/lib/run.mjs';
import { SecretService } from '../../src/secret/index.js';
import { TemporaryFolder } from '../support/temporary-folder.js';
import { describeProviders, startKeePassXC, startKWallet } from './support/providers.js';

const folder = new TemporaryFolder();

/** A path in the project as a literal. */
function from(path: string): string {
  return JSON.stringify(join(ROOT, path));
}

describeProviders()('private providers', () => {
  test.each([
    ['KeePassXC', startKeePassXC],
    ['KWallet', startKWallet],
  ])('%s keeps to its folder, and is gone when closed', async (_name, start) => {
    vi.stubEnv('DISPLAY', ':7');
    vi.stubEnv('QT_QPA_PLATFORMTHEME', 'host');
    vi.stubEnv('KDE_FULL_SESSION', 'true');
    await using bus = await startPrivateBus();
    const provider = await start({ bus });
    expect(statSync(provider.directory).mode & 0o777).toBe(0o700);
    const environment = readFileSync(`/proc/${provider.processId}/environ`, 'utf8');
    for (const name of ['DISPLAY=', 'QT_QPA_PLATFORMTHEME', 'KDE_FULL_SESSION']) {
      expect(environment.split('\0').some((line) => line.startsWith(name))).toBe(false);
    }
    const commandLine = readFileSync(`/proc/${provider.processId}/cmdline`, 'utf8');
    expect(commandLine).not.toContain(provider.password);
    expect(commandLine).toContain(provider.directory);
    const { processId } = provider;
    await Promise.all([provider.close(), provider.close()]);
    expect(existsSync(`/proc/${processId}/environ`)).toBe(false);
    expect(readdirSync(folder.path)).toEqual([bus.directory.slice(folder.path.length + 1)]);
  });

  test.each([
    ['KeePassXC', startKeePassXC],
    ['KWallet', startKWallet],
  ])('%s works in a folder with a strange name', async (_name, start) => {
    vi.stubEnv('TMPDIR', mkdtempSync(join(folder.path, 'ä &<"%;,')));
    await using provider = await start();
    await using service = await SecretService.connect({ address: provider.address });
    await service.set({ a: 'b' }, 'x');
    await provider.lock();
    await provider.unlock();
    await provider.restart();
    expect((await service.lookup({ a: 'b' }))?.text()).toBe('x');
  });

  test('a display lets nobody else in, and takes its socket with it', async () => {
    const display = await startPrivateDisplay();
    const number = String(display.env['DISPLAY']).slice(1);
    expect(existsSync(`/tmp/.X11-unix/X${number}`)).toBe(true);
    expect(statSync(String(display.env['XAUTHORITY'])).mode & 0o777).toBe(0o600);
    expect((await display.windows('')).length).toBeGreaterThan(0);
    const env = { PATH: process.env['PATH'], DISPLAY: display.env['DISPLAY'], XAUTHORITY: '/dev/null' };
    const stranger = spawn('xdotool', ['search', '--name', '.*'], { env, stdio: 'ignore' });
    expect(await once(stranger, 'exit')).not.toEqual([0, null]);
    await display.close();
    expect(existsSync(`/tmp/.X11-unix/X${number}`)).toBe(false);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  test.each(['SIGKILL', 'SIGINT', 'SIGTERM', 'exit'] as const)(
    'all are gone after %s of their user',
    async (how) => {
      const source = `
      import { startPrivateDisplay } from ${from('scripts/lib/private-display.mjs')};
      import { startPrivateKeePassXC, startPrivateKWallet } from ${from('scripts/lib/private-providers.mjs')};
      import { openBus } from ${from('dist/wire/index.js')};
      const display = await startPrivateDisplay();
      await startPrivateKeePassXC({ openBus, display });
      await startPrivateKWallet({ openBus, display });
      process.stdout.write(display.env.DISPLAY + '\\n');
      if (${how === 'exit'}) process.exit();
      setInterval(() => {}, 1000);
    `;
      const user = spawn(process.execPath, ['--input-type=module', '--eval', source], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [said] = (await once(user.stdout, 'data')) as [Buffer];
      const number = String(said).trim().slice(1);
      if (how !== 'exit') user.kill(how);
      if (user.exitCode === null && user.signalCode === null) await once(user, 'exit');
      await folder.untilGone(500);
      const socket = `/tmp/.X11-unix/X${number}`;
      for (let attempt = 0; attempt < 250 && existsSync(socket); attempt++) await sleep(20);
      expect(existsSync(socket)).toBe(false);
    },
  );
});
