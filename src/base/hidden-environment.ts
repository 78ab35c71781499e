/**
 * Variables of processes that no record and no file may hold (secrets of builds). They are known by the container's id, in
 * the memory of this process only: the runtime that is a part of it puts them into the plan, and nowhere else.
 */
const hidden = new Map<string, readonly string[]>();

/** `env` is `NAME=value`; it counts until the result is disposed of. */
export function hideEnvironment(id: string, env: readonly string[]): Disposable {
  hidden.set(id, env);
  return { [Symbol.dispose]: () => void hidden.delete(id) };
}

/** What the container's process gets besides the environment of its spec. */
export const hiddenEnvironment = (id: string): readonly string[] => hidden.get(id) ?? [];
