import { conflict, invalid } from "../../base/errors.ts";
import type { HostConfig, UpdateContainerRequest } from "../../engine/types.ts";
import { containerEvent } from "../container/events.ts";
import { updateShape } from "../container/shapes.ts";
import { validateHost, validateRestartPolicy } from "../container/validate.ts";
import type { Handler } from "../daemon.ts";
import { bodyOf } from "../http/router.ts";
import { packResources } from "../spec/pack.ts";
import { resourcesOf } from "../spec/resources.ts";

/** `POST /containers/{id}/update`: limits and restart policy. */
export const update: Handler = async (call) => {
  const { daemon, params, reply } = call;
  const request = await bodyOf<UpdateContainerRequest>(call, updateShape);
  const container = daemon.containers.get(params["id"]!);
  const warnings = await daemon.locks.run(container.id, async () => {
    const { record, state } = container;
    if (state.removing || state.dead)
      throw conflict(
        `cannot update container ${container.id}: container is marked for removal and cannot be "update"`,
      );
    const { RestartPolicy, ...resources } = request;
    const next: HostConfig = structuredClone(record.host);
    // Zero is Go's "not given" in this call.
    for (const [key, value] of Object.entries(resources))
      if (value !== null && value !== 0 && value !== "" && !(Array.isArray(value) && value.length === 0))
        Object.assign(next, { [key]: value });
    if (resources.NanoCpus) {
      next.CpuPeriod = 0;
      next.CpuQuota = 0;
    } else if (resources.CpuPeriod || resources.CpuQuota) {
      if (record.host.NanoCpus > 0)
        throw invalid(
          "Conflicting options: CPU Period/Quota cannot be updated as NanoCPUs has already been set",
        );
    }
    if (
      resources.Memory &&
      record.host.Memory > 0 &&
      !resources.MemorySwap &&
      record.host.MemorySwap > 0 &&
      resources.Memory > record.host.MemorySwap
    )
      throw invalid(
        "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
      );
    if (RestartPolicy?.Name) {
      validateRestartPolicy(RestartPolicy);
      if (record.host.AutoRemove && RestartPolicy.Name !== "no")
        throw conflict("Restart policy cannot be updated because AutoRemove is enabled for the container");
      next.RestartPolicy = {
        Name: RestartPolicy.Name,
        MaximumRetryCount: RestartPolicy.MaximumRetryCount ?? 0,
      };
    }
    const given = validateHost(next, daemon.config, daemon.facts);
    if (state.running && !state.restarting && Object.keys(resources).length > 0)
      await daemon.containerd.tasks.update({
        containerId: container.id,
        resources: packResources({
          ...resourcesOf(next, daemon.facts.device),
          // -1 takes a limit away; that it is no limit any more is not in what is kept.
          ...((resources.PidsLimit ?? 0) < 0 ? { pids: { limit: -1 } } : {}),
        }),
      });
    record.host = next;
    daemon.containers.save(container);
    containerEvent(daemon, container, "update");
    return given;
  });
  reply.json(200, { Warnings: warnings });
};
