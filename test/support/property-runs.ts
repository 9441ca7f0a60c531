/**
 * Runs per property: `PROPERTY_RUNS`, else 10,000 in CI and 1,000 elsewhere.
 * A property whose every run is costly passes a `divisor` of its own and says why there.
 */
export function propertyRuns(divisor = 1): number {
  const asked = Number(process.env['PROPERTY_RUNS'] ?? (process.env['CI'] === 'true' ? 10_000 : 1_000));
  if (!Number.isSafeInteger(asked) || asked < 1) throw new Error('PROPERTY_RUNS must be a positive integer');
  return Math.max(1, Math.floor(asked / divisor));
}
