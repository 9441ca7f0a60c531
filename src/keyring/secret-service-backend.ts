/**
 * The Secret Service as a place for the front door to keep secrets. Imports `secret` by its index.
 */
import { type ConnectOptions, type Item, SecretService } from '../secret/index.js';
import type { Backend, OperationOptions } from './backend.js';

/**
 * The schema that keytar and libsecret's generic passwords carry as an attribute: with it, what one of them stores the
 * other finds.
 */
const SCHEMA = { 'xdg:schema': 'org.freedesktop.Secret.Generic' } as const;

/** Attributes of items read at one time: a service answers one call after the other anyhow. */
const CONCURRENT_READS = 32;

class SecretServiceBackend implements Backend {
  readonly kind = 'secret-service';
  readonly #service: SecretService;

  constructor(service: SecretService) {
    this.#service = service;
  }

  async get(service: string, account: string, options: OperationOptions): Promise<Uint8Array | undefined> {
    const secret = await this.#service.lookup({ ...SCHEMA, service, account }, options);
    return secret?.value;
  }

  async set(service: string, account: string, secret: Uint8Array, options: OperationOptions): Promise<void> {
    const label = `${service}/${account}`;
    await this.#service.set({ ...SCHEMA, service, account }, secret, { ...options, label });
  }

  async delete(service: string, account: string, options: OperationOptions): Promise<boolean> {
    return (await this.#service.clear({ ...SCHEMA, service, account }, options)) > 0;
  }

  async list(service: string, options: OperationOptions): Promise<string[]> {
    const { unlocked, locked } = await this.#service.search({ ...SCHEMA, service }, options);
    const items = [...unlocked, ...locked];
    const accounts: string[] = [];
    for (let start = 0; start < items.length; start += CONCURRENT_READS) {
      const some = items.slice(start, start + CONCURRENT_READS);
      const read = await Promise.all(some.map((item) => accountOf(item, options)));
      accounts.push(...read.filter((account) => account !== undefined));
    }
    return accounts;
  }

  close(): Promise<void> {
    return this.#service.close();
  }
}

async function accountOf(item: Item, options: OperationOptions): Promise<string | undefined> {
  const attributes = await item.attributes(options);
  return attributes.get('account');
}

/** Connects to the Secret Service. @throws what `SecretService.connect` throws */
export async function openSecretService(options: ConnectOptions): Promise<Backend> {
  return new SecretServiceBackend(await SecretService.connect(options));
}
