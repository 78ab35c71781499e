import { CortenError } from "../../base/errors.ts";
import type { Handler } from "../daemon.ts";

/** An answer for what other daemons have and this one has not (yet). */
export const notImplemented =
  (what: string): Handler =>
  () => {
    throw new CortenError("unimplemented", `${what} is not implemented`);
  };

/** The swarm's calls, on an engine that is no part of one: the status and text clients know. */
export const notInSwarm: Handler = () => {
  throw new CortenError(
    "unavailable",
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
  );
};

/** `POST /swarm/leave` there: clients that clean up (docker-py does) take this status for done. */
export const leaveNoSwarm: Handler = () => {
  throw new CortenError("unavailable", "This node is not part of a swarm");
};
