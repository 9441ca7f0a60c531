/** What a bystander sees of the prompts on a bus. */
import { type Message, MessageType, openBus } from '../../../src/wire/index.js';

const PROMPT = 'org.freedesktop.Secret.Prompt';

/** Sees every call to a prompt, whoever makes it. */
export interface PromptWitness extends AsyncDisposable {
  /** The prompts that were shown, in order. */
  shown(): string[];
  /** Resolves once a prompt was shown that was not yet told here, with its path. */
  nextShown(): Promise<string>;
  /** Resolves once the prompt was dismissed by a client. */
  dismissed(path: string): Promise<void>;
}

/** Watches as a monitor, which does not take part in anything. */
export async function watchPrompts(address: string): Promise<PromptWitness> {
  const bus = await openBus(address);
  const calls: Message[] = [];
  let wake: (() => void) | undefined;
  const monitor = bus.monitor([{ type: 'method_call', interface: PROMPT }]);
  await monitor.ready;
  void (async () => {
    for await (const message of monitor) {
      if (message.type !== MessageType.methodCall) continue;
      calls.push(message);
      wake?.();
    }
  })().catch(() => {});
  const until = async <Result>(find: () => Result | undefined): Promise<Result> => {
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const pathsOf = (member: string): string[] =>
    calls.flatMap((call) => (call.member === member && call.path !== undefined ? [call.path] : []));
  let told = 0;
  return {
    shown: () => pathsOf('Prompt'),
    nextShown: async () => {
      const path = await until(() => pathsOf('Prompt')[told]);
      told++;
      return path;
    },
    dismissed: async (path) => {
      await until(() => pathsOf('Dismiss').find((dismissed) => dismissed === path));
    },
    [Symbol.asyncDispose]: () => bus.close(),
  };
}
