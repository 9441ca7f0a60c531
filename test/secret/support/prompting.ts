/** What the tests of prompts share. */
import { expect } from 'vitest';
import { Variant } from '../../../src/wire/index.js';
import { type Objects, prepared } from './operations.js';
import type { Quirks } from './quirks.js';
import type { Signal } from './scripted-bus.js';

export const PROMPT_INTERFACE = 'org.freedesktop.Secret.Prompt';
export const allow = { prompt: 'allow', promptTimeoutMs: 2_000 } as const;
export const error = (code: string): unknown => expect.objectContaining({ name: 'SecretServiceError', code });
export const settle = (ms = 5): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export const asking = (quirks: Partial<Quirks> = {}): Promise<Objects> =>
  prepared({ prompts: new Set(['CreateItem', 'Delete', 'Lock', 'Unlock', 'CreateCollection']), ...quirks });

export const timers = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

/** The number of the prompt that a path names. */
export const numbers = (paths: readonly string[]): number[] =>
  paths.map((path) => Number(/\d+$/.exec(path)?.[0]));

export const shown = ({ service }: Objects): number[] =>
  numbers(service.prompts.shown.map(({ path }) => path));

export const create = ({ collection }: Objects, options: object = {}, name = 'x'): Promise<unknown> =>
  collection.createItem({ label: name, attributes: { name }, secret: name }, { ...allow, ...options });

/** A Completed that no mock sends. */
export const completed = ({ service }: Objects, change: Partial<Signal> = {}): Signal => ({
  sender: service.bus.owner ?? '',
  path: '/org/freedesktop/secrets/prompt/p1',
  interface: PROMPT_INTERFACE,
  member: 'Completed',
  signature: 'bv',
  body: [false, new Variant('o', '/forged')],
  ...change,
});
