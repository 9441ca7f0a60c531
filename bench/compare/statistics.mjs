/**
 * Medians, spreads and how they are written: what all groups share.
 */

/** The value below which the share `part` of `values` lies. @param {readonly number[]} values @param {number} part */
export function quantile(values, part) {
  const sorted = values.toSorted((one, other) => one - other);
  return /** @type {number} */ (sorted[Math.round((sorted.length - 1) * part)]);
}

/** @param {readonly number[]} values */
export function median(values) {
  return quantile(values, 0.5);
}

/** @param {number} nanoseconds */
export function formatDuration(nanoseconds) {
  if (nanoseconds < 1e3) return `${nanoseconds.toFixed(0)} ns`;
  if (nanoseconds < 1e6) return `${(nanoseconds / 1e3).toFixed(nanoseconds < 1e5 ? 1 : 0)} µs`;
  return `${(nanoseconds / 1e6).toFixed(2)} ms`;
}

/** @param {number} byteLength */
export function formatBytes(byteLength) {
  if (Math.abs(byteLength) < 1000) return `${byteLength.toFixed(0)} B`;
  if (Math.abs(byteLength) >= 1e6)
    return `${(byteLength / 1e6).toFixed(Math.abs(byteLength) < 1e7 ? 2 : 1)} MB`;
  return `${(byteLength / 1000).toFixed(Math.abs(byteLength) < 1e5 ? 1 : 0)} kB`;
}

/** @param {number} ratio */
export function formatRatio(ratio) {
  return `${ratio.toFixed(ratio < 10 ? 2 : 0)} ×`;
}

/** The median of ratios and the half of them around it. @param {readonly number[]} ratios */
export function formatSpread(ratios) {
  const [low, high] = [quantile(ratios, 0.25), quantile(ratios, 0.75)];
  return `${formatRatio(median(ratios))} (${low.toFixed(2)}–${high.toFixed(2)})`;
}

/** The median and the half around it, as milliseconds. @param {readonly number[]} nanoseconds */
export function formatMilliseconds(nanoseconds) {
  const [low, middle, high] = [0.25, 0.5, 0.75].map((part) => {
    const tenths = Math.round(quantile(nanoseconds, part) / 1e5);
    // Without the sign of a zero.
    return ((tenths || 0) / 10).toFixed(1);
  });
  return `${middle} ms (${low} to ${high})`;
}
