import { create } from "@bufbuild/protobuf";
import {
  type LinuxContainerResources,
  LinuxContainerResourcesSchema,
} from "../../../proto/gen/runtime/v1/common_pb.ts";
import { conflict, notFound } from "../../base/errors.ts";
import type { LinuxResources } from "../../oci/runtime-spec.ts";
import type { Context } from "../context.ts";
import type { Container } from "../records.ts";
import { resourcesOf } from "../spec/resources.ts";

/** Changes limits: of the spec while it has not started, of the cgroup while it runs. Zero leaves a value as it is. */
export function updateContainer(
  context: Context,
  container: Container,
  change: LinuxContainerResources,
): Promise<void> {
  const { record } = container;
  return context.locks.run(record.id, async () => {
    if (record.state !== "created" && record.state !== "running")
      throw conflict(`container ${JSON.stringify(record.id)} is in ${record.state} state`);
    const resources = resourcesOf(change);
    const made = await context.engine.made(record.id);
    if (!made) throw notFound(`container ${JSON.stringify(record.id)} is gone`);
    const spec = structuredClone(made.spec);
    spec.linux = { ...spec.linux, resources: merge(spec.linux?.resources ?? {}, resources) };
    await context.engine.update(record.id, spec, record.state === "running" ? resources : undefined);
    container.resources = mergeAsked(container.resources, change);
    context.records.saveContainer(container);
  });
}

const merge = (before: LinuxResources, change: LinuxResources): LinuxResources => ({
  ...before,
  ...change,
  ...(before.cpu || change.cpu ? { cpu: { ...before.cpu, ...change.cpu } } : {}),
  ...(before.memory || change.memory ? { memory: { ...before.memory, ...change.memory } } : {}),
  ...(before.unified || change.unified ? { unified: { ...before.unified, ...change.unified } } : {}),
});

function mergeAsked(
  before: LinuxContainerResources | undefined,
  change: LinuxContainerResources,
): LinuxContainerResources {
  const merged = create(LinuxContainerResourcesSchema, before ?? {});
  const target = merged as unknown as Record<string, unknown>;
  for (const [name, value] of Object.entries(change)) {
    if (name.startsWith("$")) continue;
    const empty =
      value === 0n ||
      value === "" ||
      (typeof value === "object" && Object.keys(value as object).length === 0);
    if (!empty) target[name] = value;
  }
  return merged;
}
