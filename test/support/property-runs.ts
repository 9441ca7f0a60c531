/** Runs per property: `PROPERTY_RUNS`, else 10,000 in CI and 1,000 elsewhere. */
export function propertyRuns(): number {
  const asked = Number(process.env['PROPERTY_RUNS'] ?? (process.env['CI'] === 'true' ? 10_000 : 1_000));
  if (!Number.isSafeInteger(asked) || asked < 1) throw new Error('PROPERTY_RUNS must be a positive integer');
  return asked;
}
