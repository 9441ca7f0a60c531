/**
 * What happens when the service answers with a prompt: the one place for it.
 *
 * Secret Service specification 0.2, "Prompts and Prompting". A prompt does nothing until it is shown
 * with `Prompt.Prompt`. This client shows none: it dismisses the prompt, so that neither a dialog nor an
 * object is left, and the operation rejects.
 */

import type { Caller } from './caller.js';
import { SecretServiceError } from './errors.js';
import { NO_OBJECT, PROMPT_INTERFACE } from './names.js';
import { parsePath } from './replies.js';

/**
 * Goes on only if the service did not ask for a prompt.
 * @param prompt - What the service answered in the place of the prompt; `/` for none.
 * @param member - The method that answered, for the message.
 * @throws {SecretServiceError} `prompt-required` with `promptPath`, after `Dismiss` was sent and without
 * waiting for its reply; `bad-reply` if it is no object path.
 */
export function assertNoPrompt(caller: Caller, prompt: unknown, member: string): void {
  const promptPath = parsePath(prompt, 'the prompt');
  if (promptPath === NO_OBJECT) return;
  void caller.callUnattended(promptPath, PROMPT_INTERFACE, 'Dismiss');
  throw new SecretServiceError('prompt-required', `${member}: the service wants to ask the user`, {
    promptPath,
  });
}
