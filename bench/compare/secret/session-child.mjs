/**
 * What it costs to open a session, in a process of its own: `node session-child.mjs ADDRESS POLICY TIMES`. Prints one line of
 * JSON, for each session opened on a bus that is open the nanoseconds of time and of the process's CPU time.
 */
import { SecretService } from '../../../dist/secret/index.js';
import { openBus } from '../../../dist/wire/index.js';
import { measured } from '../child.mjs';

const [address = '', policy, times] = process.argv.slice(2);
if (policy !== 'encrypted' && policy !== 'plain') throw new Error('POLICY is encrypted or plain');
// A session loads it when it is first needed; what that takes is part of the start of a program.
await import('../../../dist/secret/crypto/secret-cipher.js');
const bus = await openBus(address);
const samples = [];
for (let index = 0; index < Number(times); index += 1) {
  /** @type {SecretService | undefined} */
  let service;
  const sample = await measured(async () => {
    service = await SecretService.connect({ bus, session: policy });
    return { count: 1 };
  });
  await service?.close();
  samples.push(sample);
}
console.log(JSON.stringify(samples));
await bus.close();
