import { execFile } from "node:child_process";
import { conflict, internal, invalid } from "../../base/errors.ts";
import { containerEvent } from "../container/events.ts";
import type { Handler } from "../daemon.ts";

const outputLimit = 4 << 20;

/** `GET /containers/{id}/top?ps_args=`: the host's ps, its lines of this container. */
export const top: Handler = async ({ daemon, params, query, reply }) => {
  const container = daemon.containers.get(params["id"]!);
  const args = query.string("ps_args") || "-ef";
  // ps has no way to run or write anything, but its arguments end here: no shell, and no second pid column.
  if (/(^|\s)-?o\S*\s*[^\s]*=\s*pid/i.test(args) || /\bpid\s*=\s*[^\s,]/i.test(args))
    throw invalid('specifying "PID" as header of another column is not allowed'.replace("PID", "pid"));
  if (!container.state.running) throw conflict(`container ${container.id} is not running`);
  if (container.state.restarting)
    throw conflict(`Container ${container.id} is restarting, wait until the container is running`);
  const { processes } = await daemon.containerd.tasks.listPids({ containerId: container.id });
  const pids = new Set(processes.map((process) => process.pid));
  const output = await ps(args.split(/\s+/).filter(Boolean));
  containerEvent(daemon, container, "top");
  reply.json(200, select(output, pids));
};

function ps(args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile("ps", args, { maxBuffer: outputLimit }, (error, stdout, stderr) => {
      if (!error) resolve(stdout);
      else if ((error as NodeJS.ErrnoException).code === "ENOENT")
        reject(internal("Error running ps: there is no ps on this machine (package procps)"));
      else reject(internal(`ps: ${stderr.trim() || error.message}`));
    });
  });
}

/** The title line, and the lines whose PID column is one of `pids`; the last column keeps its spaces. */
export function select(
  output: string,
  pids: ReadonlySet<number>,
): { Titles: string[]; Processes: string[][] } {
  const lines = output.split("\n");
  const titles = (lines[0] ?? "").trim().split(/\s+/);
  const column = titles.indexOf("PID");
  if (column < 0) throw internal("Couldn't find PID field in ps output");
  const rows: string[][] = [];
  for (const line of lines.slice(1)) {
    const fields = line.trim().split(/\s+/);
    if (!pids.has(Number(fields[column]))) continue;
    const row = fields.slice(0, titles.length - 1);
    row.push(fields.slice(titles.length - 1).join(" "));
    rows.push(row);
  }
  return { Titles: titles, Processes: rows };
}
