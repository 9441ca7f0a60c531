/** The client's part of `reading.mjs`, run in a child. */

/** @typedef {import('./adapters.mjs').Adapter} Adapter */

export const GET = { destination: ':1.5', path: '/a', interface: 'org.example.Test', member: 'Get' };

/** One call; gives the first value of the reply. @param {Adapter} adapter @param {{ address: string }} parameters */
export async function ask(adapter, { address }) {
  const client = await adapter.open(address);
  const [value] = await Promise.race([client.call(GET), client.failed]);
  return typeof value === 'bigint' ? String(value) : value;
}
