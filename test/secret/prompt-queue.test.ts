/** Several prompts at a time: shown one after the other, and given up together by who asked for them. */
import { describe, expect, test } from 'vitest';
import { watchEachTest } from '../support/hostile-peer.js';
import { release } from './support/operations.js';
import { allow, asking, create, numbers, settle, shown } from './support/prompting.js';

watchEachTest();

describe('several prompts', () => {
  test('are shown one at a time, in the order they were asked for', async () => {
    const objects = await asking();
    const { service } = objects;
    service.prompts.completes = 3;
    let most = 0;
    service.override('Prompt', (call, proper) => {
      most = Math.max(most, service.bus.matchRules.filter((rule) => rule.includes('Completed')).length);
      expect(call.path).toContain('/prompt/');
      return proper();
    });
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const items = await Promise.all(names.map(async (name) => await create(objects, {}, name)));
    expect(shown(objects)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(most).toBe(1);
    const labels = items.map((item) => service.item((item as { path: string }).path).label);
    expect(labels).toEqual(names);
    await settle();
    expect(service.bus.matchRules).toEqual([]);
    await release(objects);
  });

  test('go on when one of them is refused, late, cancelled or gone', async () => {
    const objects = await asking();
    const { service } = objects;
    service.prompts.person = 'does nothing';
    const controller = new AbortController();
    const { signal } = controller;
    const outcomes = Promise.allSettled([
      create(objects, { promptTimeoutMs: 20 }),
      create(objects, { signal }),
      create(objects),
      create(objects),
    ]);
    await settle(60);
    expect(shown(objects)).toEqual([1, 2]);
    controller.abort('enough');
    await settle();
    expect(shown(objects)).toEqual([1, 2, 3]);
    service.prompts.complete('/org/freedesktop/secrets/prompt/p3', 'dismisses');
    service.prompts.person = 'accepts';
    const [first, second, third, fourth] = await outcomes;
    expect(first).toMatchObject({ reason: { deadline: 'prompt' } });
    expect(second).toMatchObject({ reason: { name: 'CancelledError' } });
    expect(third).toMatchObject({ reason: { code: 'prompt-dismissed' } });
    expect(fourth).toMatchObject({ status: 'fulfilled' });
    expect(numbers(service.prompts.dismissed)).toEqual([1, 2]);
    await release(objects);
  });

  test('that wait and are cancelled are dismissed without being shown, and let the others pass', async () => {
    const objects = await asking();
    const { service } = objects;
    service.prompts.person = 'does nothing';
    const controllers = [1, 2, 3].map(() => new AbortController());
    const [first, second, third] = controllers.map(({ signal }) => create(objects, { signal }));
    await settle();
    controllers[1]?.abort('second');
    await expect(second).rejects.toMatchObject({ name: 'CancelledError', cause: 'second' });
    await settle();
    expect(numbers(service.prompts.dismissed)).toEqual([2]);
    expect(shown(objects)).toEqual([1]);
    controllers[0]?.abort('first');
    await expect(first).rejects.toMatchObject({ cause: 'first' });
    await settle();
    expect(shown(objects)).toEqual([1, 3]);
    service.prompts.complete('/org/freedesktop/secrets/prompt/p3', 'accepts');
    await third;
    await release(objects);
  });

  test('of one operation are over when the first is refused, and the user is not asked again', async () => {
    for (const person of ['dismisses', 'does nothing'] as const) {
      const objects = await asking();
      const { service, client } = objects;
      for (let index = 0; index < 40; index++) service.add({ many: 'yes' }, 'x');
      service.prompts.person = person;
      const start = performance.now();
      const clearing = client.clear({ many: 'yes' }, { ...allow, promptTimeoutMs: 100 });
      const rejection = person === 'dismisses' ? { code: 'prompt-dismissed' } : { deadline: 'prompt' };
      await expect(clearing).rejects.toMatchObject(rejection);
      expect(performance.now() - start).toBeLessThan(500);
      expect(shown(objects)).toEqual([1]);
      await settle();
      expect(service.prompts.open.size).toBe(0);
      expect(service.items.size).toBe(42);
      // Another operation may ask.
      service.prompts.person = 'accepts';
      expect(await client.clear({ many: 'yes' }, allow)).toBe(40);
      await release(objects);
    }
  });

  test('of many operations and one signal leave no listener and warn of none', async () => {
    const warnings: unknown[] = [];
    const warn = (warning: unknown): void => void warnings.push(warning);
    process.on('warning', warn);
    const objects = await asking();
    const controller = new AbortController();
    objects.service.prompts.person = 'does nothing';
    const creating = Array.from({ length: 30 }, () => create(objects, { signal: controller.signal }));
    const outcomes = Promise.allSettled(creating);
    await settle();
    controller.abort('enough');
    for (const outcome of await outcomes)
      expect(outcome).toMatchObject({ reason: { name: 'CancelledError' } });
    await settle();
    expect(objects.service.prompts.dismissed).toHaveLength(30);
    process.off('warning', warn);
    expect(warnings).toEqual([]);
    await release(objects);
  });
});
