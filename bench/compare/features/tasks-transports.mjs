/** The client's part of `transports.mjs`, run in a child. */
import { ask as askPlainly, GET } from './tasks-reading.mjs';

/** @typedef {import('./adapters.mjs').Adapter} Adapter */

/** @param {Adapter} adapter @param {{ address: string, authMethods?: string[] }} parameters */
export async function ask(adapter, { address, authMethods }) {
  if (address === '' && adapter.name === 'secretbus') {
    const bus = await adapter.library.sessionBus();
    const [value] = await bus.call(GET);
    return value;
  }
  if (authMethods === undefined) return askPlainly(adapter, { address });
  const client = await adapter.open(address, { authMethods });
  const [value] = await Promise.race([client.call(GET), client.failed]);
  return value;
}

/** Whether Node can hand a descriptor over: asked of the library, since only its own socket could. @param {Adapter} adapter @param {{ address: string }} parameters */
export async function descriptors(adapter, { address }) {
  if (adapter.name === 'secretbus') {
    const client = await adapter.open(address);
    const call = client.call({ ...GET, signature: 'h', body: [0] });
    return call.then(
      () => true,
      (error) => error.code !== 'unix-fds' && String(error),
    );
  }
  if (adapter.name === 'dbus-native') {
    const client = await adapter.open(address);
    await client.uniqueName();
    return client.bus.connection.canPassFds;
  }
  if (adapter.name !== 'dbus-next') return adapter.missing;
  const client = await adapter.open(address, { negotiateUnixFd: true });
  await client.uniqueName();
  // Its native addon is built by a script on installation, which this folder's installation leaves out.
  return client.bus['_connection'].stream.supportsUnixFd === true ? true : 'only with its native addon';
}
