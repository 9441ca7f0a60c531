/** Providers for the tests: started on a private bus, and said loudly where they are not installed. */
import type { describe } from 'vitest';
import {
  type PrivateProvider,
  type ProviderOptions,
  startPrivateKeePassXC,
  startPrivateKWallet,
} from '../../../scripts/lib/private-providers.mjs';
import { findProgram, PROVIDER_PROGRAMS } from '../../../scripts/lib/programs.mjs';
import { openBus, Variant } from '../../../src/wire/index.js';
import { describeWith } from '../../support/external.js';

type Started<Options> = Omit<Options, 'openBus'>;
type KeePassXCOptions = Parameters<typeof startPrivateKeePassXC>[0];

export function startKeePassXC(options: Started<KeePassXCOptions> = {}): Promise<PrivateProvider> {
  return startPrivateKeePassXC({ ...options, openBus });
}

export async function startKWallet(options: Started<ProviderOptions> = {}): Promise<PrivateProvider> {
  const provider = await startPrivateKWallet({ ...options, openBus });
  try {
    await assertEncrypts(provider.address);
    return provider;
  } catch (error) {
    await provider.close();
    throw error;
  }
}

/** KWallet is installed without what it needs for encrypted sessions, on Debian for instance. */
async function assertEncrypts(address: string): Promise<void> {
  await using bus = await openBus(address);
  const publicKey = new Variant('ay', new Uint8Array(128).fill(2));
  try {
    await bus.call({
      destination: 'org.freedesktop.secrets',
      path: '/org/freedesktop/secrets',
      interface: 'org.freedesktop.Secret.Service',
      member: 'OpenSession',
      signature: 'sv',
      body: ['dh-ietf1024-sha256-aes128-cbc-pkcs7', publicKey],
    });
  } catch (error) {
    throw new Error('KWallet has no encryption: install QCA with its plugin for OpenSSL', { cause: error });
  }
}

/** `describe` where all programs are present; else a warning, or with CI=true an error. */
export function describeProviders(): typeof describe | typeof describe.skip {
  const missing = ['dbus-daemon', 'secret-tool', ...PROVIDER_PROGRAMS].filter(
    (name) => findProgram(name) === undefined,
  );
  return describeWith(missing.join(', '), missing.length === 0, 'npm run test:providers');
}

export type { PrivateProvider };
