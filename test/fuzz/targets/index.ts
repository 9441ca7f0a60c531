/** Every target. */
import type { Target } from '../target.js';
import address from './address.js';
import introspection from './introspection.js';
import matchRule from './match-rule.js';
import message from './message.js';
import { saslClient, saslServer } from './sasl.js';
import unmarshal from './unmarshal.js';

const targets: readonly Target[] = [
  message,
  unmarshal,
  saslClient,
  saslServer,
  address,
  matchRule,
  introspection,
];

export default targets;
