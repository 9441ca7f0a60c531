/** Runs vitest and counts the results. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageProgram, ROOT, runShown, say } from './run.mjs';

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */
/**
 * What is used of vitest's JSON report. A test file that could not be loaded is a result without tests.
 * @typedef {object} Report
 * @property {number} numPassedTests
 * @property {number} numFailedTests
 * @property {number} numPendingTests
 * @property {number} numTodoTests
 * @property {readonly { status: string, assertionResults: readonly { status: string }[] }[]} testResults
 */

/**
 * @param {string} path of a JSON report.
 * @param {number} status with which vitest ended.
 * @returns {Counts} A file that failed without a failed test, and a failure outside of all files, such as
 * an unhandled rejection or a run that was broken off, count as one failed test each.
 */
function readCounts(path, status) {
  /** @type {Report} */
  let report;
  try {
    report = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const brokenFiles = report.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
  );
  const failed = report.numFailedTests + brokenFiles.length;
  return {
    passed: report.numPassedTests,
    failed: failed === 0 && status !== 0 ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/** Ctrl-C reaches vitest too: it ends in order, and what follows here still has to be done. */
function waitForVitest() {}

/**
 * Runs tests once, and ends with a line of the form `N passed, N failed, N skipped` on standard output.
 * @param {string} config the vitest configuration, a path in the project's folder.
 * @param {readonly string[]} parameters more parameters for vitest.
 * @returns {Promise<number>} vitest's exit status, or 1 if it was 0 and no test was run.
 */
export async function runTests(config, parameters) {
  const folder = mkdtempSync(join(tmpdir(), 'sb-report-'));
  const reportPath = join(folder, 'report.json');
  process.on('SIGINT', waitForVitest);
  try {
    const status = await runShown(process.execPath, [
      packageProgram('vitest'),
      'run',
      `--config=${join(ROOT, config)}`,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${reportPath}`,
      ...parameters,
    ]);
    const { passed, failed, skipped } = readCounts(reportPath, status);
    process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
    return status === 0 && passed === 0 ? 1 : status;
  } finally {
    process.off('SIGINT', waitForVitest);
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Says loudly that tests will be left out.
 * @param {string} why
 */
export function warnOfMissing(why) {
  const bar = '!'.repeat(80);
  say(`${bar}\nNOT EVERYTHING IS TESTED HERE\n${why}\n${bar}`);
}
