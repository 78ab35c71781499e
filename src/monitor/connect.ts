import { resolve } from "node:path";
import { deferred } from "../base/async.ts";
import { CortenError } from "../base/errors.ts";
import { Channel, frameTypes } from "./channel.ts";
import { checkVersion, MonitorClient, socketOf } from "./monitor.ts";
import type { Monitor } from "./types.ts";

interface Hello {
  version: number;
  pid: number;
  monitorPid: number;
}

/** Connects to the monitor of a runtime directory; not_found when it is gone (then `readExit` has the end). */
export async function connectMonitor(dir: string): Promise<Monitor> {
  const path = resolve(dir);
  const hello = deferred<Hello>();
  // When the connection itself fails nobody waits for it any more.
  hello.promise.catch(() => {});
  const early: Array<[number, Buffer]> = [];
  let client: MonitorClient | undefined;
  const channel = await Channel.connect(socketOf(path), {
    frame(type, payload) {
      if (type === frameTypes.hello)
        hello.resolve({
          version: payload.readUInt32LE(0),
          pid: payload.readInt32LE(4),
          monitorPid: payload.readInt32LE(8),
        });
      else if (client) client.frame(type, payload);
      else early.push([type, Buffer.from(payload)]);
    },
    close() {
      hello.reject(new CortenError("not_found", `the monitor in ${path} is ending`));
      client?.closed();
    },
  });
  const { version, pid, monitorPid } = await hello.promise;
  try {
    checkVersion(path, version);
  } catch (error) {
    channel.close();
    throw error;
  }
  client = new MonitorClient(path, channel, pid, monitorPid);
  for (const [type, payload] of early) client.frame(type, payload);
  if (channel.closed) client.closed();
  return client;
}
