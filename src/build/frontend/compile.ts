import { unimplemented } from "../../base/errors.ts";
import type { BuildRequest } from "../types.ts";
import type { Compiled, FrontendServices } from "./types.ts";

/** Reads the request's Dockerfile and compiles it for every platform. */
export async function compile(_request: BuildRequest, _services: FrontendServices): Promise<Compiled> {
  throw unimplemented("the Dockerfile frontend is being written");
}
