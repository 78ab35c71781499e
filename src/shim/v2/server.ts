import {
  chmodSync,
  closeSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { Sandbox } from "../../../proto/gen/containerd/runtime/sandbox/v1/sandbox_pb.ts";
import { Task } from "../../../proto/gen/containerd/task/v2/shim_pb.ts";
import { isCode, messageOf } from "../../base/errors.ts";
import { configureLog, log } from "../../base/log.ts";
import { MemoryKeeper } from "../../base/memory.ts";
import { forgetCode } from "../../sys/text.ts";
import { taskService } from "../service.ts";
import { Shim } from "../shim.ts";
import { TtrpcServer } from "../ttrpc/index.ts";
import { GuestBundles } from "./bundles.ts";
import { askServer, serveControl } from "./control.ts";
import { tryLock } from "./launch.ts";
import { OomWatch } from "./oom.ts";
import { namespaceSocket, type Place, placeAt } from "./place.ts";
import { Publisher } from "./publisher.ts";
import { sandboxService } from "./sandbox.ts";
import { Versions } from "./version.ts";

/** Milliseconds without a start or an end after which memory is given back: what it has to do comes rarely. */
const asleepAfter = 3000;

/** How long a server without tasks and clients stays, for the next container. */
const idleMilliseconds = Number(process.env["CORTEN_SHIM_IDLE"] ?? 10_000);

/** How long containerd may take from a `start` to its connection. */
const awaitMilliseconds = 30_000;

/**
 * The shim server: the tasks of all namespaces of one containerd, until the last has gone and nobody has come for a while.
 * Resolves when it is to end. `ready` is called once the socket answers.
 */
export async function serve(
  place: Place,
  debug: boolean,
  publishBinary: string,
  ready: () => void,
): Promise<void> {
  const versions = new Versions();
  // Whoever starts this server will want to know.
  if (publishBinary !== "") void versions.of(publishBinary);
  configureLog({ level: debug ? "debug" : "warn" });
  process.on("unhandledRejection", (error) => log.error("unhandled", { error: messageOf(error) }));
  mkdirSync(place.directory, { recursive: true, mode: 0o700 });
  chmodSync(place.directory, 0o700);
  const { ino } = statSync(place.directory);
  /** Somebody may have taken the place away, with the whole state directory: then nobody finds us any more. */
  const inPlace = () => statSync(place.directory, { throwIfNoEntry: false })?.ino === ino;
  const memory = new MemoryKeeper(forgetCode, asleepAfter);
  const publisher = new Publisher({ ttrpcAddress: "", grpcAddress: "", publishBinary: "" });
  const bundles = new GuestBundles(place.state, join(place.directory, "removed"));
  const shim = new Shim({
    state: place.state,
    bundles,
    publish: (namespace, topic, event) => {
      publisher.publish(namespace, topic, event());
      if (topic === "/tasks/start") ooms.wake();
      if (topic === "/tasks/start" || topic === "/tasks/delete") memory.worked();
    },
  });
  const ooms = new OomWatch(shim);
  const end = Promise.withResolvers<void>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const idle = () => server.connections === 0 && shim.size === 0;
  /** With the lock that whoever starts a server takes, until we have gone: nobody finds half a place. */
  const tryEnd = () => {
    timer = undefined;
    if (!idle()) return;
    if (inPlace() && tryLock(place) === undefined) settle();
    else end.resolve();
  };
  /** Until when somebody whom `start` has sent may come. */
  let awaited = 0;
  const settle = () => {
    clearTimeout(timer);
    const wait = Math.max(idleMilliseconds, awaited - Date.now());
    timer = idle() ? setTimeout(tryEnd, wait) : undefined;
  };
  const server = new TtrpcServer({
    onConnections() {
      awaited = 0;
      settle();
    },
  });
  const served = new Set<string>();
  const serveNamespace = (namespace: string) => {
    if (served.has(namespace)) return;
    const path = namespaceSocket(place, namespace);
    rmSync(path, { force: true });
    server.listen(path, { "containerd-namespace": namespace });
    served.add(namespace);
  };
  const tasks = taskService(shim);
  const service: typeof tasks = {
    ...tasks,
    connect({ id }, context) {
      // Nobody has to have created it: containerd asks for the process's own pid, too.
      const namespace = context.requestHeader.get("containerd-namespace") ?? "";
      const taskPid = shim.has(namespace, id) ? shim.find(namespace, id).init.record.pid : 0;
      return { shimPid: process.pid, taskPid };
    },
  };
  server
    .service(Task, service)
    .service(Task, service, "containerd.task.v3.Task")
    .service(Sandbox, sandboxService(shim));
  const control = serveControl(place.socket, (request) => {
    if (!request) return 2;
    const { namespace, callback, asksVersion } = request;
    publisher.use(callback);
    serveNamespace(namespace);
    awaited = Date.now() + awaitMilliseconds;
    settle();
    return asksVersion ? versions.of(callback.publishBinary) : 2;
  });
  writeFileSync(join(place.directory, "pid"), `${process.pid}\n`, { mode: 0o600 });
  settle();
  ready();
  await sweep(place).catch((error) => log.warn("cannot sweep", { error: messageOf(error) }));
  // containerd's service may be stopped with all that is in its group; containers go on as with Go's shim.
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, tryEnd);
  await end.promise;
  ooms.close();
  // The sockets of this name may be another server's by now.
  const leaving = inPlace();
  if (leaving) {
    control.stop(true);
    server.close();
  }
  await Promise.race([publisher.settled(), Bun.sleep(2000)]);
  publisher.close();
  await shim.close();
  if (leaving) leave(place);
}

/** Takes away the places of servers that were killed: of other builds, as our own we have just made anew. */
async function sweep(place: Place): Promise<void> {
  const above = dirname(place.directory);
  for (const name of readdirSync(above)) {
    const other = placeAt(join(above, name), place.state);
    if (other.directory === place.directory) continue;
    const lock = tryLock(other);
    if (lock === undefined) continue;
    const { pid } = (await askServer(other.socket, undefined)) ?? {};
    if (pid === undefined) rmSync(other.directory, { recursive: true, force: true });
    closeSync(lock);
  }
}

/** Takes away what a server has at its place; the directory above goes with the last. */
export function leave(place: Place): void {
  try {
    rmSync(place.directory, { recursive: true, force: true });
    rmdirSync(dirname(place.directory));
  } catch (error) {
    if (!isCode(error, "not_found")) log.debug("something stays", { error: messageOf(error) });
  }
}
