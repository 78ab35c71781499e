import type { CreateVolumeRequest, Sent } from "../../engine/types.ts";
import type { Handler } from "../daemon.ts";
import { bodyOf } from "../http/router.ts";
import { now } from "../time.ts";
import { anonymousLabel } from "./store.ts";
import { view } from "./view.ts";

/** `POST /volumes/create`; one that exists is given back. */
export const create: Handler = async (call) => {
  const { daemon, reply } = call;
  const request = await bodyOf<Sent<CreateVolumeRequest>>(call, {
    fields: { Name: "string", Driver: "string", DriverOpts: { map: "string" }, Labels: { map: "string" } },
  });
  const { volume, made } = daemon.volumes.create(
    {
      ...(request.Name ? { name: request.Name } : {}),
      ...(request.Driver ? { driver: request.Driver } : {}),
      labels: request.Name ? (request.Labels ?? null) : { ...(request.Labels ?? {}), [anonymousLabel]: "" },
      options: request.DriverOpts ?? null,
    },
    now(),
  );
  if (made) daemon.events.publish("volume", "create", volume.name, { driver: volume.driver });
  reply.json(201, view(volume));
};
