/** RUN (reference: "RUN"). */
import { SyntaxProblem } from "../errors.ts";
import { quote } from "../quote.ts";
import type { RunInstruction } from "../types.ts";
import { parseFlags } from "./flags.ts";
import { parseDevice, parseRawMount } from "./mount.ts";
import { commandLine, commonOf, type Statement } from "./statements.ts";

export function parseRun(statement: Statement): RunInstruction {
  const flags = parseFlags(statement.flags, {
    device: "list",
    mount: "list",
    network: "text",
    security: "text",
  });
  const devices = flags.list("device").map(parseDevice);
  const mounts = flags.list("mount").map(parseRawMount);
  const network = flags.used("network") ? flags.text("network") : "default";
  if (network !== "default" && network !== "none" && network !== "host")
    throw new SyntaxProblem(`invalid network mode ${quote(network)}`, "--network");
  const security = flags.used("security") ? flags.text("security") : "sandbox";
  if (security !== "sandbox" && security !== "insecure")
    throw new SyntaxProblem(`security ${quote(security)} is not valid`, "--security");
  return {
    kind: "run",
    ...commonOf(statement),
    args: commandLine(statement),
    shell: !statement.json,
    mounts,
    network,
    security,
    devices,
    files: statement.heredocs,
    flagsUsed: flags.names,
  };
}
