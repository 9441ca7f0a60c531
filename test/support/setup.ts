/** Configures fast-check for every test: the number of runs comes from the environment. */
import fc from 'fast-check';
import { propertyRuns } from './property-runs.js';

fc.configureGlobal({ numRuns: propertyRuns() });
