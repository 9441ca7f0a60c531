/**
 * What happens when the service answers with a prompt: the one place for it.
 *
 * Secret Service specification 0.2, "Prompts and Prompting". A prompt does nothing until it is shown
 * with `Prompt.Prompt`, and ends with the signal `Completed`. What has to hold whatever the service
 * does: the signal cannot come before we listen for it, nothing waits for a person without a deadline,
 * and a prompt nobody waits for any more is dismissed.
 */

import { type Bus, DeadlineError, ErrorReply, type Variant, whenAborted } from '../../wire/index.js';
import { badReply, parsePath } from '../calls/replies.js';
import { closedError, SecretServiceError } from '../errors.js';
import { hasCode, mapError } from '../map-error.js';
import { NO_OBJECT, PROMPT_INTERFACE } from '../names.js';
import type { Caller } from './caller.js';
import { type Operation, waitAtMost } from './operation.js';
import { watchReconnection } from './reconnection.js';

/** Shows prompts one at a time, in the order they were asked for: a person answers one dialog at a time. */
export class PromptQueue {
  #last: Promise<unknown> = Promise.resolve();
  readonly #closing: AbortSignal;

  /** @param closing - Ends the waits: prompts that are shown or to be shown are dismissed, with the error `closed`. */
  constructor(closing: AbortSignal) {
    this.#closing = closing;
  }

  /**
   * Goes on when the service no longer has to ask the user.
   * @param prompt - What the service answered in the place of the prompt; `/` for none.
   * @param member - The method that answered, for messages.
   * @returns What the prompt gave, or undefined if there was none to show.
   * @throws {SecretServiceError} `prompt-required` if the operation may show none, `prompt-dismissed`,
   * `not-available` if the service ends meanwhile, `bad-reply`; {DeadlineError} with `deadline: 'prompt'`,
   * {CancelledError}. The prompt is dismissed then, and nobody waits for that.
   */
  async settle(
    caller: Caller,
    operation: Operation,
    prompt: unknown,
    member: string,
  ): Promise<Variant | undefined> {
    const promptPath = parsePath(prompt, 'the prompt');
    if (promptPath === NO_OBJECT) return undefined;
    const dismiss = (): void => {
      if (!DEADLY_TO_DISMISS.test(promptPath)) {
        void caller.callUnattended(promptPath, PROMPT_INTERFACE, 'Dismiss');
      }
    };
    if (operation.prompts.prompt === 'never') {
      dismiss();
      throw new SecretServiceError('prompt-required', `${member}: the service wants to ask the user`, {
        promptPath,
      });
    }
    return await operation.pausedFor(async () => {
      try {
        return await this.#inTurn(operation, () =>
          show(caller, operation, promptPath, member, this.#closing),
        );
      } catch (error) {
        if (!hasCode(error, 'prompt-dismissed') || error.promptPath !== promptPath) dismiss();
        throw mapError(error, member);
      }
    });
  }

  /** Runs `work` once all before it have ended. Each of them ends in time, so that the wait for them does too. */
  async #inTurn<Result>(operation: Operation, work: () => Promise<Result>): Promise<Result> {
    const before = this.#last;
    const turn = (async () => {
      await waitAtMost(before, MAX_WAIT_MS, operation.signal, () => new DeadlineError('prompt', MAX_WAIT_MS));
      if (this.#closing.aborted) throw closedError();
      return await operation.asking(work);
    })();
    // A turn that gave up waiting has ended before the one it waited for. Nothing is kept of what they came to.
    this.#last = Promise.allSettled([before, turn]).then(() => undefined);
    return await turn;
  }
}

/**
 * The prompts by which GNOME Keyring unlocks. Dismissing one while any of them has its dialog open, of this or of another
 * program, ends the daemon (42.1: `perform_next_unlock: assertion failed`). Left alone it is answered by the user, or
 * goes with our connection.
 */
const DEADLY_TO_DISMISS = /^\/org\/freedesktop\/secrets\/prompt\/u\d+$/;

/** No limit of its own: what is waited for has one. */
const MAX_WAIT_MS = 0x7fff_ffff;

interface Completion {
  readonly dismissed: boolean;
  readonly result: Variant;
}

const dismissedResults = new WeakMap<Error, Variant>();

/** What a prompt gave although it was dismissed, for the error that says so. */
export function resultOfDismissed(error: unknown): Variant | undefined {
  return error instanceof Error ? dismissedResults.get(error) : undefined;
}

/**
 * Shows a prompt and waits for its end.
 * @returns What it gave.
 * @throws {SecretServiceError} `prompt-dismissed`, `not-available`, `failed`, `bad-reply`, `closed`; {ClosedError},
 * {DeadlineError}, {CancelledError}.
 */
async function show(
  caller: Caller,
  operation: Operation,
  promptPath: string,
  member: string,
  closing: AbortSignal,
): Promise<Variant> {
  const { promptTimeoutMs, windowId } = operation.prompts;
  const { bus } = caller;
  const late = (): Error => new DeadlineError('prompt', promptTimeoutMs);
  const ended = new AbortController();
  const completing = listen(bus, caller.owner, promptPath, ended.signal);
  const showing = (async () => {
    await completing.ready;
    // Services answer at once, when the dialog has closed, or not at all: only that they refuse says something.
    bus
      .call({
        destination: caller.owner,
        path: promptPath,
        interface: PROMPT_INTERFACE,
        member: 'Prompt',
        signature: 's',
        body: [windowId],
        sensitive: true,
        timeoutMs: promptTimeoutMs,
        signal: ended.signal,
      })
      .catch((error: unknown) => {
        if (!(error instanceof DeadlineError)) completing.fail(promptError(error, promptPath));
      });
    return await completing.outcome;
  })();
  const stopListening = whenAborted(closing, () => completing.fail(closedError()));
  try {
    const { dismissed, result } = await waitAtMost(showing, promptTimeoutMs, operation.signal, late);
    if (!dismissed) return result;
    const error = new SecretServiceError('prompt-dismissed', `${member}: the prompt was dismissed`, {
      promptPath,
    });
    dismissedResults.set(error, result);
    throw error;
  } finally {
    stopListening();
    ended.abort();
    completing.stop();
  }
}

/** What a prompt says of itself must not be taken for what it was to ask for: that is neither missing nor locked. */
function promptError(error: unknown, promptPath: string): Error {
  const mapped = mapError(error, 'Prompt');
  if (!(error instanceof ErrorReply) || hasCode(mapped, 'not-available')) return mapped;
  return new SecretServiceError('failed', mapped.message, { cause: error, promptPath });
}

interface Completing {
  /** Resolves once the signal cannot be missed any more. */
  readonly ready: Promise<unknown>;
  readonly outcome: Promise<Completion>;
  fail(error: Error): void;
  /** Gives the match rules back. */
  stop(): void;
}

function asError(error: unknown): Error {
  return mapError(error, 'waiting for the prompt');
}

/** Listens for the end of a prompt, and of the one who would say so. */
function listen(bus: Bus, owner: string, promptPath: string, stopped: AbortSignal): Completing {
  let resolve!: (completion: Completion) => void;
  let fail!: (error: Error) => void;
  const outcome = new Promise<Completion>((...settle) => ([resolve, fail] = settle));
  outcome.catch(() => {});
  const onError = (error: unknown): void => fail(asError(error));
  const completed = bus.signals(
    { sender: owner, path: promptPath, interface: PROMPT_INTERFACE, member: 'Completed' },
    ({ signature, body: [dismissed, result] }) => {
      if (signature === 'bv') resolve({ dismissed: dismissed === true, result: result as Variant });
      else fail(badReply(`Completed has the signature '${signature}'`));
    },
    { onError },
  );
  const lost = (what: string): void =>
    fail(new SecretServiceError('not-available', `${what} while it asked the user`));
  const reconnections = watchReconnection(bus, () => lost('the connection to the service was lost'), onError);
  const owners = bus.watchName(owner);
  const watching = (async () => {
    for await (const { newOwner } of owners) {
      if (newOwner === undefined) lost('the Secret Service ended');
    }
    // The bus was closed in order, by its owner.
    if (!stopped.aborted) fail(closedError());
  })();
  watching.catch(onError);
  return {
    ready: Promise.all([completed.ready, reconnections.ready, owners.ready]).catch((error: unknown) => {
      throw asError(error);
    }),
    outcome,
    fail,
    stop: () => {
      for (const subscription of [completed, reconnections, owners]) void subscription.close();
    },
  };
}
