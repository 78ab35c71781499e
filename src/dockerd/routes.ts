import { build } from "./build/build.ts";
import { cancel as cancelBuild } from "./build/cancel.ts";
import { direct } from "./build/direct.ts";
import { prune as pruneBuilds } from "./build/prune.ts";
import { grpc, session } from "./buildkit/routes.ts";
import { create as createCheckpoint } from "./checkpoints/create.ts";
import { experimental } from "./checkpoints/directory.ts";
import { list as listCheckpoints } from "./checkpoints/list.ts";
import { remove as removeCheckpoint } from "./checkpoints/remove.ts";
import { archiveGet, archiveHead, archivePut } from "./containers/archive.ts";
import { attach } from "./containers/attach.ts";
import { changes } from "./containers/changes.ts";
import { commit } from "./containers/commit.ts";
import { create as createContainer } from "./containers/create.ts";
import { exportContainer } from "./containers/export.ts";
import { inspect as inspectContainer } from "./containers/inspect.ts";
import { kill } from "./containers/kill.ts";
import { list as listContainers } from "./containers/list.ts";
import { logs } from "./containers/logs.ts";
import { pause } from "./containers/pause.ts";
import { prune as pruneContainers } from "./containers/prune.ts";
import { remove as removeContainer } from "./containers/remove.ts";
import { rename } from "./containers/rename.ts";
import { resize as resizeContainer } from "./containers/resize.ts";
import { restart } from "./containers/restart.ts";
import { start as startContainer } from "./containers/start.ts";
import { stats } from "./containers/stats.ts";
import { stop } from "./containers/stop.ts";
import { top } from "./containers/top.ts";
import { unpause } from "./containers/unpause.ts";
import { update } from "./containers/update.ts";
import { wait } from "./containers/wait.ts";
import type { Route } from "./daemon.ts";
import { create as createExec } from "./exec/create.ts";
import { inspect as inspectExec } from "./exec/inspect.ts";
import { resize as resizeExec } from "./exec/resize.ts";
import { start as startExec } from "./exec/start.ts";
import { leaveNoSwarm, notImplemented, notInSwarm } from "./http/not-implemented.ts";
import { buildDeb } from "./images/build-deb.ts";
import { create as createImage } from "./images/create.ts";
import { distribution } from "./images/distribution.ts";
import { history } from "./images/history.ts";
import { inspect as inspectImage } from "./images/inspect.ts";
import { list as listImages } from "./images/list.ts";
import { load } from "./images/load.ts";
import { prune as pruneImages } from "./images/prune.ts";
import { push } from "./images/push.ts";
import { remove as removeImage } from "./images/remove.ts";
import { saveMany, saveOne } from "./images/save.ts";
import { tag } from "./images/tag.ts";
import { connect } from "./networks/connect.ts";
import { create as createNetwork } from "./networks/create.ts";
import { disconnect } from "./networks/disconnect.ts";
import { inspect as inspectNetwork } from "./networks/inspect.ts";
import { list as listNetworks } from "./networks/list.ts";
import { prune as pruneNetworks } from "./networks/prune.ts";
import { remove as removeNetwork } from "./networks/remove.ts";
import { auth } from "./system/auth.ts";
import { df } from "./system/df.ts";
import { events } from "./system/events.ts";
import { explain } from "./system/explain.ts";
import { info } from "./system/info.ts";
import { ping } from "./system/ping.ts";
import { traces } from "./system/traces.ts";
import { version } from "./system/version.ts";
import { create as createVolume } from "./volumes/create.ts";
import { inspect as inspectVolume } from "./volumes/inspect.ts";
import { list as listVolumes } from "./volumes/list.ts";
import { prune as pruneVolumes } from "./volumes/prune.ts";
import { remove as removeVolume } from "./volumes/remove.ts";

/** The Engine API: every call, and the file that answers it. */
export const routes: readonly Route[] = [
  ["GET /_ping", ping],
  ["HEAD /_ping", ping],
  ["GET /version", version],
  ["GET /info", info],
  ["GET /events", events],
  ["GET /system/df", df],
  ["POST /auth", auth],

  ["GET /containers/json", listContainers],
  ["POST /containers/create", createContainer],
  ["POST /containers/prune", pruneContainers],
  ["GET /containers/{id}/json", inspectContainer],
  ["GET /containers/{id}/logs", logs],
  ["GET /containers/{id}/stats", stats],
  ["GET /containers/{id}/top", top],
  ["GET /containers/{id}/archive", archiveGet],
  ["HEAD /containers/{id}/archive", archiveHead],
  ["PUT /containers/{id}/archive", archivePut],
  ["GET /containers/{id}/changes", changes],
  ["GET /containers/{id}/export", exportContainer],
  ["POST /containers/{id}/start", startContainer],
  ["POST /containers/{id}/stop", stop],
  ["POST /containers/{id}/restart", restart],
  ["POST /containers/{id}/kill", kill],
  ["POST /containers/{id}/pause", pause],
  ["POST /containers/{id}/unpause", unpause],
  ["POST /containers/{id}/attach", attach],
  ["POST /containers/{id}/wait", wait],
  ["POST /containers/{id}/resize", resizeContainer],
  ["POST /containers/{id}/rename", rename],
  ["POST /containers/{id}/update", update],
  ["POST /containers/{id}/exec", createExec],
  ["GET /containers/{id}/checkpoints", experimental(listCheckpoints)],
  ["POST /containers/{id}/checkpoints", experimental(createCheckpoint)],
  ["DELETE /containers/{id}/checkpoints/{checkpoint}", experimental(removeCheckpoint)],
  ["DELETE /containers/{id...}", removeContainer],

  ["POST /exec/{id}/start", startExec],
  ["POST /exec/{id}/resize", resizeExec],
  ["GET /exec/{id}/json", inspectExec],

  ["GET /images/json", listImages],
  ["POST /images/create", createImage],
  ["POST /images/prune", pruneImages],
  ["GET /images/search", notImplemented("image search")],
  ["POST /images/load", load],
  ["GET /images/get", saveMany],
  ["GET /images/{name...}/json", inspectImage],
  ["GET /images/{name...}/history", history],
  ["GET /images/{name...}/get", saveOne],
  ["POST /images/{name...}/tag", tag],
  ["POST /images/{name...}/push", push],
  ["DELETE /images/{name...}", removeImage],
  ["POST /build", build],
  ["POST /build/prune", pruneBuilds],
  ["POST /build/cancel", cancelBuild],
  ["POST /session", session],
  ["POST /grpc", grpc],
  ["POST /commit", commit],

  ["GET /distribution/{name...}/json", distribution],

  ["GET /networks", listNetworks],
  ["POST /networks/create", createNetwork],
  ["POST /networks/prune", pruneNetworks],
  ["GET /networks/{id...}", inspectNetwork],
  ["DELETE /networks/{id...}", removeNetwork],
  ["POST /networks/{id...}/connect", connect],
  ["POST /networks/{id...}/disconnect", disconnect],

  ["GET /volumes", listVolumes],
  ["POST /volumes/create", createVolume],
  ["POST /volumes/prune", pruneVolumes],
  ["GET /volumes/{name}", inspectVolume],
  ["DELETE /volumes/{name}", removeVolume],

  ["GET /swarm", notInSwarm],
  ["POST /swarm/leave", leaveNoSwarm],
  ["GET /nodes", notInSwarm],
  ["GET /services", notInSwarm],
  ["GET /tasks", notInSwarm],
  ["GET /secrets", notInSwarm],
  ["GET /configs", notInSwarm],
  ["GET /plugins", ({ reply }) => reply.json(200, [])],

  ["GET /corten/traces/{id}", traces],
  ["POST /corten/build", direct],
  ["POST /corten/explain", explain],
  ["POST /corten/images/build-deb", buildDeb],
];
