/** The client against a real KWallet, with nobody at the screen. */
import { testContract } from './support/contract.js';
import { describeProviders, startKWallet } from './support/providers.js';

describeProviders()('KWallet, open', () => {
  testContract({ start: () => startKWallet(), replacesAttributes: true });
});
