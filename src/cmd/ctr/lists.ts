/** The verbs that only list or show. */

import { type Any, timestampDate } from "@bufbuild/protobuf/wkt";
import { Kind } from "../../../proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Status } from "../../../proto/gen/containerd/v1/types/task_pb.ts";
import { humanDuration } from "../../base/duration.ts";
import { invalid } from "../../base/errors.ts";
import { type ContainerdClient, subscribe, unpackSpec } from "../../containerd/client/index.ts";
import { parseFlags } from "./flags.ts";
import { pair } from "./images.ts";
import { decimalSize, labelText, narrow, tabs, tabulate, wide } from "./table.ts";

const print = (text: string) => void process.stdout.write(text);
const printAll = (lines: readonly string[]) => print(lines.map((line) => `${line}\n`).join(""));

export async function listNamespaces(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, { "quiet,q": "boolean" });
  const { namespaces } = await client.namespaces.list({});
  if (flags.is("quiet")) printAll(namespaces.map(({ name }) => name));
  else {
    const rows = namespaces.map(({ name, labels }) => `${name}\t${labelText(labels)}\t`);
    print(tabulate(["NAME\tLABELS\t", ...rows], narrow));
  }
  return 0;
}

export async function createNamespace(client: ContainerdClient, argv: string[]): Promise<number> {
  const [name, ...labels] = argv;
  if (!name) throw invalid("please provide a namespace name");
  await client.namespaces.create({ namespace: { name, labels: Object.fromEntries(labels.map(pair)) } });
  return 0;
}

export async function labelNamespace(client: ContainerdClient, argv: string[]): Promise<number> {
  const [name, ...pairs] = argv;
  if (!name || pairs.length === 0) throw invalid("please provide a namespace name and labels");
  const labels = Object.fromEntries(pairs.map(pair));
  const paths = Object.keys(labels).map((key) => `labels.${key}`);
  await client.namespaces.update({ namespace: { name, labels }, updateMask: { paths } });
  return 0;
}

export async function removeNamespaces(client: ContainerdClient, argv: string[]): Promise<number> {
  for (const name of parseFlags(argv, { "cgroup,c": "boolean" }).args) {
    await client.namespaces.delete({ name });
    print(`${name}\n`);
  }
  return 0;
}

export async function listContent(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, { "quiet,q": "boolean" });
  const rows: string[] = [];
  const digests: string[] = [];
  for await (const { info } of client.content.list({ filters: flags.args }))
    for (const { digest, size, createdAt, labels } of info) {
      const age = humanDuration((Date.now() - (createdAt ? timestampDate(createdAt).getTime() : 0)) / 1000);
      digests.push(digest);
      rows.push(`${digest}\t${decimalSize(Number(size))}\t${age}\t${labelText(labels) || "-"}`);
    }
  if (flags.is("quiet")) printAll(digests);
  else print(tabulate(["DIGEST\tSIZE\tAGE\tLABELS", ...rows], tabs));
  return 0;
}

const kinds: Record<number, string> = {
  [Kind.VIEW]: "View",
  [Kind.ACTIVE]: "Active",
  [Kind.COMMITTED]: "Committed",
};

export async function listSnapshots(
  client: ContainerdClient,
  argv: string[],
  snapshotter: string,
): Promise<number> {
  const flags = parseFlags(argv, {});
  const rows: string[] = [];
  for await (const { info } of client.snapshots.list({ snapshotter, filters: flags.args }))
    for (const { name, parent, kind } of info) rows.push(`${name}\t${parent}\t${kinds[kind] ?? "Unknown"}\t`);
  print(tabulate(["KEY\tPARENT\tKIND\t", ...rows], narrow));
  return 0;
}

export async function listContainers(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, { "quiet,q": "boolean" });
  const { containers } = await client.containers.list({ filters: flags.args });
  if (flags.is("quiet")) printAll(containers.map(({ id }) => id));
  else {
    const rows = containers.map(
      ({ id, image, runtime }) => `${id}\t${image || "-"}\t${runtime?.name ?? ""}\t`,
    );
    print(tabulate(["CONTAINER\tIMAGE\tRUNTIME\t", ...rows], wide));
  }
  return 0;
}

export async function showContainer(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, { spec: "boolean" });
  const id = flags.args[0];
  if (!id) throw invalid("container id must be provided");
  const { container } = await client.containers.get({ id });
  if (!container) throw invalid(`container ${id} is empty`);
  const spec = unpackSpec(container.spec);
  const time = (stamp: typeof container.createdAt) => (stamp ? timestampDate(stamp).toISOString() : null);
  const extensions = Object.entries(container.extensions).map(([name, any]) => [name, anyJson(any)]);
  const shown = {
    ID: container.id,
    Labels: container.labels,
    Image: container.image,
    Runtime: { Name: container.runtime?.name ?? "", Options: anyJson(container.runtime?.options) },
    SnapshotKey: container.snapshotKey,
    Snapshotter: container.snapshotter,
    CreatedAt: time(container.createdAt),
    UpdatedAt: time(container.updatedAt),
    Extensions: extensions.length > 0 ? Object.fromEntries(extensions) : null,
    Spec: spec,
  };
  print(`${JSON.stringify(flags.is("spec") ? spec : shown, replaceBinary, 4)}\n`);
  return 0;
}

const anyJson = (any: Any | undefined) =>
  any ? { type_url: any.typeUrl, ...(any.value.length > 0 ? { value: any.value } : {}) } : null;

/** Go writes bytes as base64, and numbers of 64 bits as numbers. */
function replaceBinary(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value === "bigint") return Number(value);
  return value;
}

export async function listTasks(client: ContainerdClient, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, { "quiet,q": "boolean" });
  const { tasks } = await client.tasks.list({});
  if (flags.is("quiet")) printAll(tasks.map(({ id }) => id));
  else {
    const rows = tasks.map(({ id, pid, status }) => `${id}\t${pid}\t${Status[status]}`);
    print(tabulate(["TASK\tPID\tSTATUS\t", ...rows], wide));
  }
  return 0;
}

export async function showEvents(client: ContainerdClient, argv: string[]): Promise<number> {
  for await (const { time, namespace, topic, event, any } of subscribe(client, argv)) {
    const seconds = Number(time?.seconds ?? 0n);
    const fraction = String(time?.nanos ?? 0)
      .padStart(9, "0")
      .replace(/0+$/, "");
    const date = new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ");
    const stamp = `${date}${fraction ? `.${fraction}` : ""} +0000 UTC`;
    const text = event ? JSON.stringify(event, snakeCase) : `{"type_url":${JSON.stringify(any?.typeUrl)}}`;
    print(`${stamp} ${namespace} ${topic} ${text}\n`);
  }
  return 0;
}

/** Field names as in the protocol, nothing that is empty, times in RFC 3339. */
function snakeCase(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const record = value as Record<string, unknown>;
  if (record["$typeName"] === "google.protobuf.Timestamp") {
    const nanos = String(record["nanos"]).padStart(9, "0");
    return `${new Date(Number(record["seconds"]) * 1000).toISOString().slice(0, 19)}.${nanos}Z`;
  }
  const isMessage = "$typeName" in record;
  const empty = (field: unknown) =>
    field === undefined ||
    field === "" ||
    field === 0 ||
    field === false ||
    (Array.isArray(field) && field.length === 0);
  return Object.fromEntries(
    Object.entries(record)
      .filter(([name, field]) => name !== "$typeName" && !(isMessage && empty(field)))
      .map(([name, field]) => [
        isMessage ? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) : name,
        field,
      ]),
  );
}
