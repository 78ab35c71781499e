import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { conflict } from "../base/errors.ts";
import type { Process } from "../oci/runtime-spec.ts";
import { containerPasswd } from "../runc/compile/environment.ts";
import type { Warn } from "../runc/types.ts";
import { filterOf } from "./filter.ts";
import { outcomeOf } from "./outcome.ts";
import { guestExec } from "./plan.ts";
import { exchangeOf, loadRecord, placeOf } from "./record.ts";

/** One more process: what a proxy for it is to be, which `launch` starts in the container outside. */
export async function execInMachine<T>(
  input: { id: string; bundle: string; process: Process; warn: Warn },
  launch: (proxy: Process) => Promise<T>,
): Promise<T> {
  const { id, bundle, process, warn } = input;
  const record = loadRecord(bundle);
  if (record.pid === undefined) throw conflict("cannot exec in a container that is not running");
  const name = `exec-${crypto.randomUUID().slice(0, 13)}`;
  const inside = guestExec({
    name,
    id,
    bundle,
    spec: record.spec,
    place: placeOf(record),
    process,
    pid: record.pid,
    passwd: () => containerPasswd(record.original, record.rootfs),
    ...(await filterOf(record.spec)),
    warn,
  });
  const place = exchangeOf(bundle);
  const logs = exchangeOf(record.member?.pod ?? bundle);
  const request = join(place, name);
  writeFileSync(request, inside.request, { mode: 0o600 });
  try {
    let launched: T | undefined;
    await outcomeOf({ place, logs, socket: `${name}.sock` }, inside, async () => {
      launched = await launch({
        terminal: process.terminal ?? false,
        ...(process.consoleSize ? { consoleSize: process.consoleSize } : {}),
        user: { uid: 0, gid: 0 },
        args: ["/agent", "proxy", `/vm/${name}`, `/vm/${name}.sock`, inside.result],
        env: [],
        cwd: "/",
        noNewPrivileges: true,
        capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
      });
    });
    return launched as T;
  } finally {
    rmSync(request, { force: true });
  }
}
