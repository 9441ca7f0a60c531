/** What a test opens is closed when it is over. */
import { afterEach } from 'vitest';
import { openScriptedBus } from './scripted-peer.js';

/** Of one test file: a list of what is open, which is closed after each test in the order in which it was opened. */
export function closeAfterEach(): { close(): Promise<unknown> }[] {
  const open: { close(): Promise<unknown> }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
  });
  return open;
}

/** `openScriptedBus` whose buses go into `open`. */
export function scriptedBusIn(open: { close(): Promise<unknown> }[]): typeof openScriptedBus {
  return async (...parameters) => {
    const made = await openScriptedBus(...parameters);
    open.push(made.bus);
    return made;
  };
}
