/** Match rules, and what they match. */
import { isDeepStrictEqual } from 'node:util';
import { MatchRule } from '../../../src/wire/match/match-rule.js';
import { Random } from '../engine/random.js';
import { promise, refusal, type Target, textOf } from '../target.js';
import { messageOf } from '../values.js';

const random = new Random(1);
const MESSAGES = Array.from({ length: 16 }, () => messageOf(random));

const matchRule: Target = {
  name: 'match-rule',
  dictionary: [
    "type='signal'",
    'sender=',
    'interface=',
    'member=',
    'path=',
    'path_namespace=',
    'destination=',
    'arg0=',
    'arg1path=',
    'arg63=',
    'arg0namespace=',
    "eavesdrop='true'",
    "'",
    "\\'",
    "'\\''",
    '\\',
    ',',
    '=',
    ' ',
    'a.b',
    '/a',
    ':1.5',
  ],
  run: (input) => {
    let rule: MatchRule;
    try {
      rule = MatchRule.parse(textOf(input));
    } catch (error) {
      return refusal(error, { InvalidTextError: ['invalid-match-rule'] });
    }
    const again = MatchRule.parse(String(rule));
    promise(
      isDeepStrictEqual(again, rule) && String(again) === String(rule),
      'what was written is not what was read',
    );
    const matched = MESSAGES.filter((message) => rule.matches(message, { owner: ':1.5' }));
    promise(
      isDeepStrictEqual(
        matched,
        MESSAGES.filter((message) => again.matches(message, { owner: ':1.5' })),
      ),
      'equal rules match different messages',
    );
    const keys = Object.entries(rule).filter(([, value]) =>
      value instanceof Map ? value.size > 0 : value !== undefined,
    );
    return `accepted ${Math.min(matched.length, 2)} ${keys.map(([key]) => key).join()}`;
  },
};

export default matchRule;
