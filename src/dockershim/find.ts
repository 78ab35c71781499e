/** The daemon's containers that are ours: others are not to be seen or touched through CRI. */
import { isCode, notFound } from "../base/errors.ts";
import type { ContainerInspect, ContainerSummary } from "../engine/types.ts";
import type { Context } from "./context.ts";
import { containerType, sandboxIdLabel, sandboxType, typeLabel } from "./labels.ts";
import { parseName } from "./naming.ts";
import { nanoseconds } from "./times.ts";

type Kind = typeof sandboxType | typeof containerType;

/** Of what others removed nothing tells us. */
const maxKnown = 10_000;

/** By an id or the beginning of one; undefined when there is none. The daemon would take names as well. */
async function find(
  { client, created }: Context,
  id: string,
  kind: Kind,
): Promise<ContainerInspect | undefined> {
  if (!/^[0-9a-f]{1,64}$/.test(id)) return undefined;
  try {
    const found = await client.containers.inspect(id);
    if (!found.Id.startsWith(id) || found.Config.Labels?.[typeLabel] !== kind || !parseName(found.Name))
      return undefined;
    created.set(found.Id, nanoseconds(found.Created));
    return found;
  } catch (error) {
    if (isCode(error, "not_found")) return undefined;
    throw error;
  }
}

export const findSandbox = (context: Context, id: string) => find(context, id, sandboxType);
export const findContainer = (context: Context, id: string) => find(context, id, containerType);

export async function getSandbox(context: Context, id: string): Promise<ContainerInspect> {
  const found = await findSandbox(context, id);
  if (!found) throw notFound(`No such sandbox: ${id}`);
  return found;
}

export async function getContainer(context: Context, id: string): Promise<ContainerInspect> {
  const found = await findContainer(context, id);
  if (!found) throw notFound(`No such container: ${id}`);
  return found;
}

/** All of a kind whose names are ours, the newest first as the daemon lists them. */
export async function listOf(
  { client }: Context,
  kind: Kind,
  labels: readonly string[] = [],
): Promise<ContainerSummary[]> {
  const all = await client.containers.list({
    all: true,
    filters: { label: [`${typeLabel}=${kind}`, ...labels] },
  });
  return all.filter(({ Names }) => parseName(nameOf(Names)) !== undefined);
}

/** Without the names that links add, which have a second slash. */
export const nameOf = (names: readonly string[]): string =>
  names.find((name) => name.lastIndexOf("/") <= 0) ?? names[0] ?? "";

/** A pod's containers. */
export const containersOf = (context: Context, sandboxId: string): Promise<ContainerSummary[]> =>
  listOf(context, containerType, [`${sandboxIdLabel}=${sandboxId}`]);

/** When it was made, in nanoseconds: asked once for each, as the list has whole seconds. */
export async function createdAt(context: Context, { Id, Created }: ContainerSummary): Promise<bigint> {
  const known = context.created.get(Id);
  if (known !== undefined) return known;
  try {
    const exact = nanoseconds((await context.client.containers.inspect(Id)).Created);
    if (context.created.size > maxKnown) context.created.clear();
    context.created.set(Id, exact);
    return exact;
  } catch {
    // It went away while we looked.
    return BigInt(Created) * 1_000_000_000n;
  }
}
