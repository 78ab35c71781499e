import { invalid } from "../../base/errors.ts";
import type { Handler } from "../daemon.ts";

/** `POST /build/cancel?id=`: a build that is not there has ended, which is what was asked for. */
export const cancel: Handler = async ({ daemon, query, reply }) => {
  const id = query.string("id");
  if (id === "") throw invalid("build ID not provided");
  if (daemon.builds.used) (await daemon.builds.builder()).cancel(id);
  reply.empty(200);
};
