/**
 * Runs a program that takes options: those it does not know end it with its help and exit code 2.
 * @param {() => Promise<number>} main gives the exit code.
 * @param {string} help
 */
export async function runCommandLine(main, help) {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (!(error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')))
      throw error;
    console.error(`${error.message}\n\n${help}`);
    process.exitCode = 2;
  }
}
