/** What we say of match rules against what dbus-daemon does with them. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type PrivateBus, startPrivateBus } from '../../scripts/lib/private-services.mjs';
import { MatchRule } from '../../src/wire/match/match-rule.js';
import type { Message } from '../../src/wire/message/message.js';
import { describeWith, runs } from '../support/external.js';
import { matchable, mutatedRuleText, ruleFields, validRuleText } from '../support/match-rules.js';
import { propertyRuns } from '../support/property-runs.js';
import { RawBusClient } from '../support/raw-bus-client.js';

const RECEIVERS = 40;
const NAMES = ['com.example.First', 'com.example.Second'] as const;

function parsed(text: string): MatchRule | Error {
  try {
    return MatchRule.parse(text);
  } catch (error) {
    return error as Error;
  }
}

/**
 * Whether dbus-daemon leaves a part of the text out of account or reads an index as C does, where we refuse the rule: see
 * `MatchRule.parse`. Nothing else may differ.
 */
function isMisreadByDaemon(text: string, error: Error): boolean {
  return (
    error.message.includes('`=` without a key') ||
    (error.message.includes('an unknown key') && /(?:^|,)[ \t\r\n]*arg(?:[-+\v\f]|0[0-9xX])/.test(text))
  );
}

/** How many `key=` there may be, at most, in the eyes of anyone. */
const mostKeys = (text: string): number => text.split('=').length - 1;

/** Which signals these are, by their last argument. */
function ids(messages: readonly Message[]): number[] {
  return messages.map(({ body }) => body.at(-1) as number).toSorted((a, b) => a - b);
}

/** Which of the calls succeed. */
async function accepted(client: RawBusClient, member: string, texts: string[]): Promise<boolean[]> {
  const replies = await Promise.all(texts.map((text) => client.callBus(member, 's', [text])));
  return replies.map((reply) => reply.type === 2);
}

describeWith('dbus-daemon', runs('dbus-daemon', ['--version']))('match rules on a real bus', () => {
  let daemon: PrivateBus;
  const clients: RawBusClient[] = [];
  const open = async (): Promise<RawBusClient> => {
    const client = await RawBusClient.open(daemon.address);
    clients.push(client);
    return client;
  };

  beforeAll(async () => {
    daemon = await startPrivateBus();
  });

  afterAll(async () => {
    for (const client of clients) client.close();
    await daemon?.close();
  });

  it('are accepted and refused as there', async () => {
    const client = await open();
    const count = propertyRuns() * 5;
    const texts = [...fc.sample(validRuleText, count), ...fc.sample(mutatedRuleText, count * 3)];
    const tally = { accepted: 0, refused: 0, misread: 0 };
    for (let at = 0; at < texts.length; at += 2000) {
      const batch = texts.slice(at, at + 2000);
      const verdicts = await accepted(client, 'AddMatch', batch);
      const kept: string[] = [];
      batch.forEach((text, index) => {
        const ours = parsed(text);
        if (ours instanceof Error) {
          expect(ours).toMatchObject({ code: 'invalid-match-rule' });
          if (verdicts[index] === true) {
            if (!isMisreadByDaemon(text, ours) && mostKeys(text) <= 16) {
              throw new Error(`only dbus-daemon takes ${JSON.stringify(text)}: ${ours.message}`);
            }
            tally.misread++;
            kept.push(text);
          } else tally.refused++;
          return;
        }
        if (verdicts[index] !== true) throw new Error(`only we take ${JSON.stringify(text)}`);
        tally.accepted++;
        // It is the same rule to the daemon as our canonical text: it can be removed by that.
        kept.push(mostKeys(text) > 16 ? text : ours.toString());
      });
      const removed = await accepted(client, 'RemoveMatch', kept);
      const lost = kept.filter((_, index) => removed[index] !== true);
      expect(lost).toEqual([]);
    }
    expect(tally.accepted).toBeGreaterThan(count);
    expect(tally.refused).toBeGreaterThan(count / 2);
    expect(tally.misread).toBeLessThan(count / 4);
  });

  it('have equal texts exactly where the daemon takes them for equal', async () => {
    const client = await open();
    const rules = fc.sample(ruleFields(), propertyRuns()).map((fields) => new MatchRule(fields));
    // It compares no namespaces of paths, and so cannot tell them apart.
    const comparable = rules.filter((rule) => rule.pathNamespace === undefined).map(String);
    const others = comparable.map((_, index) => comparable[(index * 7 + 1) % comparable.length] as string);
    for (const [index, text] of comparable.entries()) {
      const other = others[index] as string;
      const [added, removed, cleared] = await Promise.all([
        client.callBus('AddMatch', 's', [text]),
        client.callBus('RemoveMatch', 's', [other]),
        client.callBus('RemoveMatch', 's', [text]),
      ]);
      expect(added.type).toBe(2);
      expect([text, other, removed.type]).toEqual([text, other, text === other ? 2 : 3]);
      expect(cleared.type).toBe(text === other ? 3 : 2);
    }
  });

  it('match what the daemon delivers, and nothing else', async () => {
    const receivers = await Promise.all(Array.from({ length: RECEIVERS }, open));
    const [first, second, sink] = await Promise.all([open(), open(), open()]);
    const senders = [first, second];
    await Promise.all(senders.map((sender, index) => sender.callBus('RequestName', 'su', [NAMES[index], 0])));
    const owners = new Map<string | undefined, string>([
      [NAMES[0], first.uniqueName],
      [NAMES[1], second.uniqueName],
    ]);
    const rounds = Math.ceil(propertyRuns() / 50);
    const signals = matchable([sink.uniqueName]);
    let delivered = 0;
    for (let round = 0; round < rounds; round++) {
      const rules = fc
        .sample(ruleFields([first.uniqueName, second.uniqueName, sink.uniqueName]), RECEIVERS)
        .map((fields) => new MatchRule(fields));
      await Promise.all(
        receivers.map((receiver, index) => receiver.callBus('AddMatch', 's', [String(rules[index])])),
      );
      for (const receiver of receivers) receiver.received = [];
      const sent = fc.sample(signals, 100).map((message, id): Message => {
        const sender = senders[id % 2] as RawBusClient;
        // The last argument says which signal it is.
        const mark = { signature: `${message.signature}u`, body: [...message.body, id] };
        const marked = Object.assign(message, mark);
        return Object.assign(marked, { serial: sender.send(marked), sender: sender.uniqueName });
      });
      // Answers come after all that the bus had to do before.
      await Promise.all(senders.map((sender) => sender.callBus('GetId')));
      await Promise.all(receivers.map((receiver) => receiver.callBus('GetId')));
      receivers.forEach((receiver, index) => {
        const rule = rules[index] as MatchRule;
        const owner = owners.get(rule.sender);
        const wanted = sent
          // Messages to others are for those only who ask to eavesdrop.
          .filter((message) => rule.eavesdrop || message.destination === undefined)
          .filter((message) => rule.matches(message, { owner }));
        // Whoever eavesdrops hears the rest of what goes on too.
        const got = receiver.received.filter((message) => message.interface?.startsWith('com.example'));
        expect({ rule: String(rule), ids: ids(got) }).toEqual({ rule: String(rule), ids: ids(wanted) });
        // What comes back through the bus matches as well as what was sent.
        for (const message of got) expect(rule.matches(message, { owner })).toBe(true);
        delivered += got.length;
      });
      await Promise.all(
        receivers.map((receiver, index) => receiver.callBus('RemoveMatch', 's', [String(rules[index])])),
      );
    }
    expect(delivered).toBeGreaterThan(rounds * 100);
  });
});
