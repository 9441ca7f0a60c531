/** Every target. */
import type { Target } from '../target.js';
import address from './address.js';
import introspection from './introspection.js';
import matchRule from './match-rule.js';
import message from './message.js';
import { saslClient, saslServer } from './sasl.js';
import stashBody from './stash-body.js';
import stashNative from './stash-native.js';
import stashRecoveryKey from './stash-recovery-key.js';
import stashSstash from './stash-sstash.js';
import unmarshal from './unmarshal.js';

const targets: readonly Target[] = [
  message,
  unmarshal,
  saslClient,
  saslServer,
  address,
  matchRule,
  introspection,
  stashNative,
  stashBody,
  stashSstash,
  stashRecoveryKey,
];

export default targets;
