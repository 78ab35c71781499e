import type { Daemon } from "../daemon.ts";
import type { Container } from "./container.ts";

/** Publishes a container's event with what Docker always says of it: image, name and labels. */
export function containerEvent(
  daemon: Daemon,
  container: Container,
  action: string,
  more: Record<string, string> = {},
): void {
  const { config, name, id } = container.record;
  if (action === "start") daemon.ooms?.wake();
  daemon.events.publish("container", action, id, {
    ...(config.Labels ?? {}),
    image: config.Image,
    name,
    ...more,
  });
}
