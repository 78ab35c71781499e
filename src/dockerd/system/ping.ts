import type { Handler } from "../daemon.ts";

/** `GET` and `HEAD /_ping`. Builder-Version 2 makes clients that know BuildKit use it. */
export const ping: Handler = ({ reply, head }) => {
  const headers = {
    "Builder-Version": "2",
    Swarm: "inactive",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    Pragma: "no-cache",
  };
  if (head.method === "HEAD") reply.bytes(200, "text/plain; charset=utf-8", "", headers);
  else reply.bytes(200, "text/plain; charset=utf-8", "OK", headers);
};
