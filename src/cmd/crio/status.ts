import { request } from "node:http";
import { parseArgs } from "node:util";
import { CortenError, invalid } from "../../base/errors.ts";
import { readConfig } from "../../crio/config/read.ts";
import type { CommandLine } from "./flags.ts";

const usage = `Usage: crio status [--socket SOCKET] COMMAND

  info, i              the server
  config, c            its configuration
  containers, container, cs, s [--id] ID   a container or pod
`;

/** Asks a running server by plain HTTP on its socket. */
export async function status({ files, overrides }: CommandLine, argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      socket: { type: "string", short: "s" },
      id: { type: "string", short: "i" },
      help: { type: "boolean", short: "h" },
    },
  });
  const [command, argument] = positionals;
  if (values.help || command === undefined) {
    process.stdout.write(usage);
    return command === undefined && !values.help ? 1 : 0;
  }
  const socket = values.socket ?? readConfig(files, overrides).config.api.listen;
  switch (command) {
    case "config":
    case "c":
      process.stdout.write(await get(socket, "/config"));
      return 0;
    case "info":
    case "i":
      process.stdout.write(infoText(JSON.parse(await get(socket, "/info")) as Info));
      return 0;
    case "containers":
    case "container":
    case "cs":
    case "s": {
      const id = values.id ?? argument;
      if (!id) throw invalid("the ID of a container is required");
      const found = JSON.parse(await get(socket, `/containers/${encodeURIComponent(id)}`)) as ContainerInfo;
      process.stdout.write(containerText(found));
      return 0;
    }
    default:
      throw invalid(`unknown command ${JSON.stringify(command)} of crio status`);
  }
}

interface Info {
  storage_driver: string;
  storage_root: string;
  cgroup_driver: string;
}

interface ContainerInfo {
  name: string;
  pid: number;
  image: string;
  image_ref: string;
  created_time: number;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  log_path: string;
  root: string;
  sandbox: string;
  ip_addresses: string[] | null;
}

const infoText = (info: Info) =>
  `cgroup driver: ${info.cgroup_driver}\nstorage driver: ${info.storage_driver}\nstorage root: ${info.storage_root}\n`;

function containerText(found: ContainerInfo): string {
  const pairs = (table: Record<string, string>) =>
    Object.entries(table)
      .map(([key, value]) => `  ${key}: ${value}\n`)
      .join("");
  return `name: ${found.name}
pid: ${found.pid}
image: ${found.image}
image ref: ${found.image_ref}
created: ${new Date(found.created_time / 1e6).toISOString()}
labels:
${pairs(found.labels)}annotations:
${pairs(found.annotations)}log path: ${found.log_path}
root: ${found.root}
sandbox: ${found.sandbox}
ips: ${(found.ip_addresses ?? []).join(", ")}
`;
}

function get(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, host: "crio" }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => {
        if (response.statusCode === 200) resolve(text);
        else reject(new CortenError("unknown", text.trim() || `the server answered ${response.statusCode}`));
      });
    });
    asked.on("error", (error) =>
      reject(new CortenError("unavailable", `no server answers on ${socketPath}: ${error.message}`)),
    );
    asked.end();
  });
}
