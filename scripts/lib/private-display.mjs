/**
 * An X display of one's own that shows nothing to anyone, and hands that answer the dialogs on it.
 * Nothing but `node:` is imported: this also runs when nothing is installed or built.
 */
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Daemon, makeFolder } from './daemon.mjs';
import { requireProgram } from './programs.mjs';
import { runTool } from './tool.mjs';

/** @typedef {{ readonly id: string, readonly name: string }} DisplayWindow */
/**
 * @typedef {object} PrivateDisplayFields
 * @property {NodeJS.ProcessEnv} env what a program needs in its environment to be shown there.
 * @property {string} directory the temporary folder; it goes with `close()`.
 * @property {number} processId of the shell that minds Xvfb.
 * @property {(name: string) => Promise<DisplayWindow[]>} windows the windows that are to be seen, with `name`
 * in their name.
 * @property {(name: string, timeoutMs?: number) => Promise<DisplayWindow>} waitForWindow waits for the
 * first of them, 10 s if not told.
 * @property {(window: DisplayWindow, timeoutMs?: number) => Promise<void>} waitForClose waits until it is
 * gone, 10 s if not told.
 * @property {(window: DisplayWindow, text: string) => Promise<void>} type enters text there.
 * @property {(window: DisplayWindow, ...keys: string[]) => Promise<void>} press enters keys there, by
 * their X names, such as `Return` or `alt+a`.
 * @property {(window: DisplayWindow, x: number, y: number) => Promise<void>} click presses and lets go the left
 * button there, in pixels from the window's upper left corner.
 * @property {() => Promise<void>} close ends Xvfb, waits until it is gone, removes the folder.
 */
/** @typedef {PrivateDisplayFields & AsyncDisposable} PrivateDisplay disposing is the same as `close()`. */

/**
 * Runs Xvfb, and ends it in order also when this shell is killed: then the pipe `alive`, that only the shell holds
 * open for writing, ends. Xvfb that is killed itself leaves its lock and its socket in /tmp.
 */
const MINDER = `cd -- "$1" || exit 1
shift
mkfifo -m 600 alive || exit 1
"$@" &
child=$!
trap 'kill "$child" 2>/dev/null' TERM
(read -r word <alive; kill "$child") 2>/dev/null &
exec 3>alive
rm -f alive
while kill -0 "$child" 2>/dev/null; do wait "$child"; done`;

/** A number that is free, told on standard output; no network. */
const XVFB_OPTIONS = '-displayfd 1 -nolisten tcp -noreset -screen 0 1280x1024x24'.split(' ');

/** What Xvfb lets in: whoever has the cookie, from any host name (FamilyWild). */
function authority() {
  const name = Buffer.from('MIT-MAGIC-COOKIE-1');
  const fields = [Buffer.alloc(0), Buffer.alloc(0), name, randomBytes(16)];
  return Buffer.concat([
    Buffer.of(0xff, 0xff),
    ...fields.flatMap((field) => [Buffer.of(field.length >> 8, field.length & 0xff), field]),
  ]);
}

/**
 * Starts Xvfb on a display number that is free.
 * @param {{ timeoutMs?: number }} [options] `timeoutMs`: the time to start in, 10 s if not given.
 * @returns {Promise<PrivateDisplay>}
 * @throws {MissingProgramError} `missing-program`
 * @throws {PrivateServiceError} `start-failed`, `start-timeout`
 */
export async function startPrivateDisplay({ timeoutMs = 10_000 } = {}) {
  const program = requireProgram('Xvfb');
  const xdotool = requireProgram('xdotool');
  const directory = makeFolder();
  /** @type {Daemon | undefined} */
  let daemon;
  try {
    const cookies = join(directory, 'authority');
    writeFileSync(cookies, authority(), { mode: 0o600 });
    const started = new Daemon(
      '/bin/sh',
      ['-c', MINDER, 'minder', directory, program, ...XVFB_OPTIONS, '-auth', cookies],
      { directory, env: { PATH: process.env['PATH'], HOME: directory } },
    );
    daemon = started;
    const number = await started.waitUntil(() => /^(\d+)\n/m.exec(started.output)?.[1], timeoutMs);
    const env = { DISPLAY: `:${number}`, XAUTHORITY: cookies, QT_QPA_PLATFORM: 'xcb' };
    // What it finds nothing of is no fault: it writes nothing then.
    const tool = async (/** @type {string[]} */ parameters, input = '') => {
      const options = { env: { ...process.env, ...env }, input, timeoutMs: 10_000 };
      return (await runTool(xdotool, parameters, options)).output;
    };
    /** @type {PrivateDisplay['windows']} */
    const windows = async (name) => {
      // Some windows have a name that xdotool reads, and does not find them by.
      const found = await tool(['search', '--onlyvisible', '--name', '.*']);
      const ids = found.split('\n').filter((id) => id !== '');
      const all = ids.map(async (id) => ({ id, name: (await tool(['getwindowname', id])).trim() }));
      return (await Promise.all(all)).filter((window) => window.name.includes(name));
    };
    const focus = async (/** @type {DisplayWindow} */ { id }) => {
      // Without a window manager nothing gets the focus by itself.
      await tool(['windowfocus', '--sync', id]);
    };
    const close = () => started.close();
    return {
      env,
      directory,
      processId: started.processId,
      windows,
      waitForWindow: (name, waitMs = 10_000) =>
        started.waitUntil(async () => (await windows(name))[0], waitMs),
      waitForClose: async ({ id, name }, waitMs = 10_000) => {
        await started.waitUntil(async () => {
          const found = await windows(name);
          return found.every((window) => window.id !== id) ? true : undefined;
        }, waitMs);
      },
      type: async (window, text) => {
        await focus(window);
        // By standard input: what is typed may be a password, and command lines are for all to see.
        await tool(['type', '--delay', '5', '--file', '-'], text);
      },
      press: async (window, ...keys) => {
        await focus(window);
        await tool(['key', '--clearmodifiers', ...keys]);
      },
      click: async ({ id }, x, y) => {
        await tool(['mousemove', '--window', id, String(x), String(y), 'click', '1']);
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await daemon?.close();
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}
