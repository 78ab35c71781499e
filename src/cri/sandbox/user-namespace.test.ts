import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { NamespaceMode, NamespaceOptionSchema } from "../../../proto/gen/runtime/v1/common_pb.ts";
import { idMappingsOf } from "./user-namespace.ts";

const { POD, NODE, CONTAINER } = NamespaceMode;
const ids = (...lines: Array<[containerId: number, hostId: number, length: number]>) =>
  lines.map(([containerId, hostId, length]) => ({ containerId, hostId, length }));
const options = (
  mode: NamespaceMode,
  uids: ReturnType<typeof ids>,
  gids: ReturnType<typeof ids>,
  more: { network?: NamespaceMode; ipc?: NamespaceMode; pid?: NamespaceMode } = {},
) => create(NamespaceOptionSchema, { pid: CONTAINER, ...more, usernsOptions: { mode, uids, gids } });
const usual = ids([0, 100_000, 65_536]);

test("a pod's mapping is the runtime's in other words; the node's users need none", () => {
  expect(idMappingsOf(undefined)).toBeUndefined();
  expect(idMappingsOf(create(NamespaceOptionSchema, {}))).toBeUndefined();
  expect(idMappingsOf(options(NODE, [], []))).toBeUndefined();
  expect(idMappingsOf(options(POD, usual, ids([5, 7, 1], [0, 200_000, 5])))).toEqual({
    uids: [{ containerID: 0, hostID: 100_000, size: 65_536 }],
    gids: [
      { containerID: 5, hostID: 7, size: 1 },
      { containerID: 0, hostID: 200_000, size: 5 },
    ],
  });
});

test("what cannot be is refused with the reason", () => {
  for (const [given, words] of [
    [options(POD, [], usual), "needs uids to map"],
    [options(POD, usual, []), "needs gids to map"],
    [options(POD, ids([1, 100_000, 10]), usual), "mapping of uids has no 0"],
    [options(POD, ids([0, 100_000, 0]), usual), "has no length"],
    [options(POD, ids([0, 2 ** 32 - 1, 10]), usual), "beyond all ids"],
    [options(CONTAINER, usual, usual), "mode CONTAINER is not supported"],
    [options(POD, usual, usual, { network: NODE }), "host's network namespace"],
    [options(POD, usual, usual, { ipc: NODE }), "host's IPC namespace"],
    [options(POD, usual, usual, { pid: NODE }), "host's PID namespace"],
  ] as const)
    expect(() => idMappingsOf(given)).toThrow(words);
});
