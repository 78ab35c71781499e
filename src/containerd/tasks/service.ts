import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { Client, ServiceImpl } from "@connectrpc/connect";
import type { CreateTaskRequest, Tasks } from "../../../proto/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { type StateResponse, Task as TaskApi } from "../../../proto/gen/containerd/task/v2/shim_pb.ts";
import { alreadyExists, CortenError, conflict, isCode } from "../../base/errors.ts";
import { specIn } from "../../oci/spec-text.ts";
import { type Bundles, type Shim, taskService } from "../../shim/index.ts";
import { makeClient } from "../client/call.ts";
import { LocalCaller } from "../client/local.ts";
import type { ContainerStore } from "../containers/service.ts";
import type { NamespacedContent } from "../content/store.ts";
import { type CallContext, checkIdentifier, leaseOf, namespaceOf } from "../context.ts";
import { fields, parseFilters } from "../filters.ts";
import type { ExternalShims } from "../shims/external.ts";
import { askedImagePath, keepCheckpoint, restorePath, unpackCheckpoint } from "./checkpoint.ts";

/** Running processes of containers, by way of the Task API of our shim, or of shims that are processes of their own. */
export function tasksService(
  containers: ContainerStore,
  shim: Shim,
  external: ExternalShims,
  content: NamespacedContent,
): ServiceImpl<typeof Tasks> {
  const caller = new LocalCaller(new Map([[TaskApi.typeName, { ...taskService(shim) }]]));
  const clients = new Map<string, Client<typeof TaskApi>>();
  const task = (namespace: string) => {
    let client = clients.get(namespace);
    if (!client) {
      const headers = new Headers({ "containerd-namespace": namespace });
      client = makeClient(TaskApi, caller, () => headers);
      // Whoever calls may make up a namespace each time.
      if (clients.size >= 64) clients.clear();
      clients.set(namespace, client);
    }
    return client;
  };

  /** The container must be known, and have a task. */
  const running = (context: CallContext, id: string) => {
    const namespace = namespaceOf(context);
    containers.check(namespace, id);
    const outside = external.find(namespace, id);
    if (outside) return { id, api: outside.api, outside };
    shim.find(namespace, id);
    return { id, api: task(namespace) };
  };

  /** All tasks of a namespace, and how to ask for each. */
  const everywhere = (namespace: string) => {
    const api = task(namespace);
    return [
      ...shim.list(namespace).map(({ id }) => ({ id, api })),
      ...external.list(namespace).map(({ id, api }) => ({ id, api })),
    ];
  };

  /** The directory of images that a create request names, if it does. */
  const checkpointOf = async (namespace: string, request: CreateTaskRequest, bundle: string) => {
    const path = restorePath(request.options);
    if (path !== "" || !request.checkpoint) return path;
    return unpackCheckpoint(content, namespace, request.checkpoint, bundle);
  };

  return {
    async create(request, context) {
      const namespace = namespaceOf(context);
      const { containerId: id, rootfs, stdin, stdout, stderr, terminal } = request;
      const container = containers.getForTask(namespace, id);
      const name = container.runtime?.name ?? "";
      const given = request.options?.value.length ? request.options : container.runtime?.options;
      const bytes = container.spec?.value ?? new Uint8Array();
      if (!external.isOwn(name)) {
        if (shim.has(namespace, id)) throw alreadyExists(`task ${id}: already exists`);
        return {
          containerId: id,
          pid: await external.create({
            request,
            namespace,
            runtime: name,
            config: bytes,
            options: given,
            checkpointIn: (bundle) => checkpointOf(namespace, request, bundle),
          }),
        };
      }
      const bundle = makeBundle(shim.bundles, namespace, id, bytes);
      const spec = specIn(bytes);
      if (spec) shim.bundles.specs.set(bundle, spec);
      try {
        const checkpoint = await checkpointOf(namespace, request, bundle).catch((error) => {
          shim.bundles.remove(namespace, id);
          throw error;
        });
        const { pid } = await task(namespace).create({
          id,
          bundle,
          checkpoint,
          rootfs,
          stdin,
          stdout,
          stderr,
          terminal,
          ...(given ? { options: given } : {}),
        });
        return { containerId: id, pid };
      } catch (error) {
        if (!(error instanceof CortenError)) throw error;
        throw new CortenError(error.code, `failed to create shim task: ${error.message}`, { cause: error });
      } finally {
        shim.bundles.specs.delete(bundle);
      }
    },
    async start(request, context) {
      const { id, api } = running(context, request.containerId);
      return api.start({ id, execId: request.execId }).then(({ pid }) => ({ pid }));
    },
    async delete(request, context) {
      const { id, api, outside } = running(context, request.containerId);
      const { pid, exitStatus, exitedAt } = await (outside ? external.delete(outside) : api.delete({ id }));
      return { id, pid, exitStatus, ...(exitedAt ? { exitedAt } : {}) };
    },
    async deleteProcess(request, context) {
      const { id, api } = running(context, request.containerId);
      const { execId } = request;
      if (execId === "") throw conflict("exec id must not be empty: failed precondition");
      const { pid, exitStatus, exitedAt } = await api.delete({ id, execId });
      return { id: execId, pid, exitStatus, ...(exitedAt ? { exitedAt } : {}) };
    },
    async get(request, context) {
      const { id, api } = running(context, request.containerId);
      return { process: toProcess(id, await api.state({ id, execId: request.execId })) };
    },
    async list(request, context) {
      const filter = parseFilters(request.filter === "" ? [] : [request.filter]);
      const tasks = [];
      for (const { id, api } of everywhere(namespaceOf(context))) {
        if (!filter(fields({ id }))) continue;
        try {
          tasks.push(toProcess(id, await api.state({ id })));
        } catch (error) {
          // Deleted since we looked, or its shim was killed.
          if (!isCode(error, "not_found") && !isCode(error, "unavailable")) throw error;
        }
      }
      return { tasks };
    },
    async kill(request, context) {
      const { id, api } = running(context, request.containerId);
      const { execId, signal, all } = request;
      await api.kill({ id, execId, signal, all });
      return {};
    },
    async exec(request, context) {
      const { id, api, outside } = running(context, request.containerId);
      const { execId, stdin, stdout, stderr, terminal, spec } = request;
      checkIdentifier(execId);
      if (outside) {
        await external.exec(outside, { execId, stdio: { stdin, stdout, stderr, terminal }, spec });
        return {};
      }
      await api.exec({ id, execId, stdin, stdout, stderr, terminal, ...(spec ? { spec } : {}) });
      return {};
    },
    async resizePty(request, context) {
      const { id, api } = running(context, request.containerId);
      const { execId, width, height } = request;
      await api.resizePty({ id, execId, width, height });
      return {};
    },
    async closeIO(request, context) {
      const { id, api } = running(context, request.containerId);
      await api.closeIO({ id, execId: request.execId, stdin: request.stdin });
      return {};
    },
    async pause(request, context) {
      const { id, api } = running(context, request.containerId);
      await api.pause({ id });
      return {};
    },
    async resume(request, context) {
      const { id, api } = running(context, request.containerId);
      await api.resume({ id });
      return {};
    },
    async listPids(request, context) {
      const { id, api } = running(context, request.containerId);
      return { processes: (await api.pids({ id })).processes };
    },
    async checkpoint(request, context) {
      const { id, api } = running(context, request.containerId);
      const namespace = namespaceOf(context);
      const { options } = request;
      const save = (path: string) => api.checkpoint({ id, path, ...(options ? { options } : {}) });
      const asked = askedImagePath(options);
      if (asked !== "") {
        await save(asked);
        return {};
      }
      const directory = mkdtempSync(join(process.env["XDG_RUNTIME_DIR"] || tmpdir(), "ctrd-checkpoint"));
      try {
        await save(directory);
        const { spec } = containers.get(namespace, id);
        return {
          descriptors: await keepCheckpoint(content, { namespace, lease: leaseOf(context) }, directory, spec),
        };
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    },
    async update(request, context) {
      const { id, api } = running(context, request.containerId);
      const { resources, annotations } = request;
      await api.update({ id, annotations, ...(resources ? { resources } : {}) });
      return {};
    },
    async metrics(request, context) {
      const filters = parseFilters(request.filters);
      const metrics = [];
      for (const { id, api } of everywhere(namespaceOf(context))) {
        // Go's client asks for one task with the filter id==<id>.
        if (!filters(fields({ id }))) continue;
        try {
          const { stats } = await api.stats({ id });
          metrics.push({ id, timestamp: timestampNow(), ...(stats ? { data: stats } : {}) });
        } catch (error) {
          if (!isCode(error, "not_found") && !isCode(error, "unavailable")) throw error;
        }
      }
      return { metrics };
    },
    async wait(request, context) {
      const { id, api, outside } = running(context, request.containerId);
      const { execId } = request;
      const { exitStatus, exitedAt } = await (outside
        ? external.wait(outside, execId, context.signal)
        : api.wait({ id, execId }, { signal: context.signal }));
      return { exitStatus, ...(exitedAt ? { exitedAt } : {}) };
    },
  };
}

function makeBundle(bundles: Bundles, namespace: string, id: string, spec: Uint8Array): string {
  let bundle: string;
  try {
    bundle = bundles.make(namespace, id);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST")
      throw alreadyExists(`task ${id}: already exists`, error);
    throw error;
  }
  try {
    writeFileSync(join(bundle, "config.json"), spec, { mode: 0o600 });
  } catch (error) {
    if (existsSync(bundle)) rmSync(bundle, { recursive: true });
    throw error;
  }
  return bundle;
}

const toProcess = (containerId: string, state: StateResponse) => ({
  containerId,
  id: state.execId || containerId,
  pid: state.pid,
  status: state.status,
  stdin: state.stdin,
  stdout: state.stdout,
  stderr: state.stderr,
  terminal: state.terminal,
  exitStatus: state.exitStatus,
  ...(state.exitedAt ? { exitedAt: state.exitedAt } : {}),
});
