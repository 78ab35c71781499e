/** The one builder there is: the daemon, by the name that docker's has. */
import { messageOf } from "../../../base/errors.ts";
import type { Cli } from "../../cli.ts";
import { StatusError } from "../../errors.ts";
import { productVersion } from "../../product.ts";

export interface BuilderView {
  name: string;
  driver: string;
  endpoint: string;
  status: "running" | "error";
  /** Why it cannot be used. */
  error: string;
  version: string;
  platforms: string[];
}

export async function theBuilder(cli: Cli, name = ""): Promise<BuilderView> {
  if (name !== "" && name !== "default")
    throw new StatusError(1, `ERROR: no builder ${JSON.stringify(name)} found`);
  const builder = { name: "default", driver: "docker", endpoint: "default", error: "" };
  try {
    const client = await cli.client();
    const { Os, Arch, Version } = await client.system.version();
    return {
      ...builder,
      status: "running",
      version: Version || productVersion,
      platforms: [`${Os}/${Arch}`],
    };
  } catch (error) {
    return { ...builder, status: "error", error: messageOf(error), version: "", platforms: [] };
  }
}
