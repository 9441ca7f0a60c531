/**
 * The Secret Service as a place for the front door to keep secrets. Imports `secret` by its index.
 */
import { type ConnectOptions, SecretService, SecretServiceError } from '../secret/index.js';
import type { Backend, OperationOptions } from './backend.js';

/**
 * The schema that keytar and libsecret's generic passwords carry as an attribute: with it, what one of them stores the
 * other finds.
 */
const SCHEMA = { 'xdg:schema': 'org.freedesktop.Secret.Generic' } as const;

/**
 * Keeps each secret in the item made with the schema, the service and the account, and with nothing else: an item that
 * has further attributes is another program's, and is neither given, listed nor deleted.
 */
class SecretServiceBackend implements Backend {
  readonly kind = 'secret-service';
  readonly #service: SecretService;

  constructor(service: SecretService) {
    this.#service = service;
  }

  async get(service: string, account: string, { signal }: OperationOptions): Promise<Uint8Array | undefined> {
    const secret = await this.#service.lookup({ ...SCHEMA, service, account }, { signal, exact: true });
    return secret?.value;
  }

  async set(
    service: string,
    account: string,
    secret: Uint8Array,
    { signal }: OperationOptions,
  ): Promise<void> {
    const label = `${service}/${account}`;
    await this.#service.set({ ...SCHEMA, service, account }, secret, { signal, label });
  }

  async delete(service: string, account: string, { signal }: OperationOptions): Promise<boolean> {
    const attributes = { ...SCHEMA, service, account };
    return (await this.#service.clear(attributes, { signal, exact: true })) > 0;
  }

  list(service: string, { signal }: OperationOptions): Promise<string[]> {
    return this.#service.listValues({ ...SCHEMA, service }, 'account', { signal, exact: true });
  }

  close(): Promise<void> {
    return this.#service.close();
  }
}

/** Connects to the Secret Service. @throws what `SecretService.connect` throws */
export async function openSecretService(options: ConnectOptions): Promise<Backend> {
  return new SecretServiceBackend(await SecretService.connect(options));
}

/** Tells whether `error` means that there certainly is no Secret Service, and not one in trouble. */
export function isAbsent(error: unknown): boolean {
  return error instanceof SecretServiceError && error.isAbsent;
}
