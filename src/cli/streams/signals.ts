/** Passes the signals we get on to a container (`--sig-proxy`). */
import type { EngineClient } from "../../engine/client.ts";

const forwarded = [
  "HUP",
  "INT",
  "QUIT",
  "USR1",
  "USR2",
  "ALRM",
  "TERM",
  "CONT",
  "TSTP",
  "TTIN",
  "TTOU",
  "WINCH",
  "IO",
  "PWR",
] as const;

/** Returns how to stop. */
export function forwardSignals(client: EngineClient, container: string): () => void {
  const handlers = forwarded.map((name) => {
    // A signal to a container that has just ended has nowhere to go, and that is no error.
    const handler = () => void client.containers.kill(container, name).catch(() => {});
    process.on(`SIG${name}`, handler);
    return () => void process.off(`SIG${name}`, handler);
  });
  return () => {
    for (const stop of handlers) stop();
  };
}
