/** The front door on a Secret Service that the test plays: what it takes for its own, and what it does when items go. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Keyring, openKeyring } from '../../src/keyring/index.js';
import { MockService } from '../secret/support/mock-service.js';
import { failed } from '../secret/support/scripted-bus.js';
import { listen, type SocketServer, transportOf } from './support/socket-server.js';

const GENERIC = { 'xdg:schema': 'org.freedesktop.Secret.Generic' };

let service: MockService;
let server: SocketServer;
let keyring: Keyring;

beforeEach(async () => {
  service = new MockService();
  server = await listen((socket) => service.serve(transportOf(socket)));
  keyring = await openKeyring({ address: server.address, timeoutMs: 300 });
});

afterEach(async () => {
  await keyring.close();
  await server[Symbol.asyncDispose]();
});

const add = (account: string, more: Record<string, string> = {}): string =>
  service.add({ ...GENERIC, service: 's', account, ...more }, account);

describe('a keyring on the Secret Service', () => {
  it('leaves items alone that have more attributes', async () => {
    const theirs = add('ann', { profile: 'work' });
    expect(await keyring.get('s', 'ann')).toBeUndefined();
    expect(await keyring.list('s')).toEqual([]);
    expect(await keyring.delete('s', 'ann')).toBe(false);
    await keyring.set('s', 'ann', 'ours');
    expect(service.item(theirs).value.toString()).toBe('ann');
    expect(await keyring.getText('s', 'ann')).toBe('ours');
    expect(await keyring.list('s')).toEqual(['ann']);
    expect(await keyring.delete('s', 'ann')).toBe(true);
    expect([...service.items.keys()]).toEqual([theirs]);
  });

  it('leaves items of another schema alone, whatever the search says', async () => {
    service.add({ service: 's', account: 'ann' }, 'x');
    service.add({ 'xdg:schema': 'com.example.Other', service: 's', account: 'ann' }, 'x');
    service.override('SearchItems', { signature: 'aoao', body: [[...service.items.keys()], []] });
    expect(await keyring.get('s', 'ann')).toBeUndefined();
    expect(await keyring.list('s')).toEqual([]);
    expect(await keyring.delete('s', 'ann')).toBe(false);
    expect(service.items.size).toBe(2);
  });

  it('knows its items by what a service adds', async () => {
    add('ann', { 'xdg:content-type': 'text/plain', Uuid: '1', Path: '/s', Title: 's' });
    expect(await keyring.getText('s', 'ann')).toBe('ann');
    expect(await keyring.list('s')).toEqual(['ann']);
    expect(await keyring.delete('s', 'ann')).toBe(true);
  });

  it('does not mind locked items of others, and says so for its own', async () => {
    service.item(add('ann', { profile: 'work' })).isLocked = true;
    expect(await keyring.get('s', 'ann')).toBeUndefined();
    expect(await keyring.delete('s', 'ann')).toBe(false);
    service.item(add('ann')).isLocked = true;
    const locked = { name: 'KeyringError', code: 'locked' };
    await expect(keyring.get('s', 'ann')).rejects.toMatchObject(locked);
    await expect(keyring.delete('s', 'ann')).rejects.toMatchObject(locked);
    expect(await keyring.list('s')).toEqual(['ann']);
  });

  it('leaves out of a list what vanishes between the search and the reading', async () => {
    const paths = ['ann', 'bob', 'cleo'].map((account) => add(account));
    service.override('Get:Attributes', (call, proper) => {
      if (call.path === paths[1]) service.items.delete(call.path as string);
      return proper();
    });
    expect(await keyring.list('s')).toEqual(['ann', 'cleo']);
    service.override('Get:Attributes', failed('org.freedesktop.Secret.Error.NoSuchObject'));
    expect(await keyring.list('s')).toEqual([]);
  });

  it('can be cancelled in every operation', async () => {
    add('ann');
    const controller = new AbortController();
    controller.abort();
    for (const run of [
      () => keyring.get('s', 'ann', controller),
      () => keyring.set('s', 'ann', 'x', controller),
      () => keyring.delete('s', 'ann', controller),
      () => keyring.list('s', controller),
    ]) {
      await expect(run()).rejects.toMatchObject({ name: 'KeyringError', code: 'cancelled' });
    }
    expect(await keyring.getText('s', 'ann')).toBe('ann');
  });

  it('bounds the whole list by one timeoutMs', async () => {
    for (let count = 0; count < 300; count++) add(`account ${count}`);
    // Each reading is quick enough by itself, and all of them together take 600 ms.
    service.override('Get:Attributes', (_call, proper) => {
      const end = performance.now() + 2;
      while (performance.now() < end);
      return proper();
    });
    await expect(keyring.list('s')).rejects.toMatchObject({ name: 'KeyringError', code: 'deadline' });
  });
});
