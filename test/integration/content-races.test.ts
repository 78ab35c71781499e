/** Many who bring the same blob at once, while what others let go is collected. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asCortenError } from "../../src/base/errors.ts";
import {
  type ContainerdClient,
  inProcess,
  readBlob,
  unpack,
  withLease,
  writeBlob,
  writeImage,
} from "../../src/containerd/client/index.ts";
import { type Containerd, openContainerd } from "../../src/containerd/daemon.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { mediaTypes } from "../../src/oci/image-spec.ts";

setDefaultTimeout(240_000);

let root: string;
let daemon: Containerd;
let client: ContainerdClient;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "corten-races-"));
  daemon = await openContainerd({ root: join(root, "lib"), state: join(root, "run") });
  client = inProcess(daemon.services, "races");
});
afterAll(async () => {
  await daemon.close();
  rmSync(root, { recursive: true, force: true });
});

async function bring(data: Uint8Array, who: ContainerdClient): Promise<string> {
  const digest = digestOf(data);
  await writeBlob(who, { ref: `blob-${digest}`, digest, size: data.byteLength }, async function* () {
    yield data;
  });
  return new TextDecoder().decode(await readBlob(who, digest));
}

test("each of them has it afterwards, by its own lease", async () => {
  for (let round = 0; round < 20; round++) {
    const data = new TextEncoder().encode(`the same in round ${round}`);
    const all = Array.from({ length: 15 }, () =>
      withLease(client, async (leased) => [await bring(data, leased), await bring(data, leased)]),
    );
    for (const [first, second] of await Promise.all(all)) {
      expect(first).toBe(`the same in round ${round}`);
      expect(second).toBe(`the same in round ${round}`);
    }
  }
});

test("also while the last ones who had it let it go", async () => {
  const data = new TextEncoder().encode("comes and goes");
  const again = async (who: number) => {
    for (let round = 0; round < 25; round++) {
      const id = `lease-${who}-${round}`;
      await client.leases.create({ id });
      expect(await bring(data, client.with({ lease: id }))).toBe("comes and goes");
      await client.leases.delete({ id, sync: round % 2 === 0 });
    }
  };
  await Promise.all(Array.from({ length: 8 }, (_, who) => again(who)));
  await client.leases.create({ id: "last" });
  await client.leases.delete({ id: "last", sync: true });
  const left: string[] = [];
  for await (const { info } of client.content.list({})) left.push(...info.map(({ digest }) => digest));
  expect(left).toEqual([]);
});

test("a layer that is collected just before it is held is unpacked anew", async () => {
  await withLease(client, async (leased) => {
    const tree = mkdtempSync(join(root, "layer-"));
    const layers = ["one", "two"].map((name) => {
      writeFileSync(join(tree, name), name);
      return new Uint8Array(Bun.spawnSync(["tar", "-C", tree, "-c", name]).stdout);
    });
    for (const layer of layers) await bring(layer, leased);
    const { target } = await writeImage(
      leased,
      { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: layers.map(digestOf) } },
      layers.map((layer) => ({
        mediaType: mediaTypes.dockerLayer,
        digest: digestOf(layer),
        size: layer.byteLength,
      })),
    );
    const snapshotter = "native";
    const { chainIds } = await unpack(leased, target, { snapshotter });
    let collected = false;
    const leases = Object.create(leased.leases, {
      addResource: {
        value: async (request: Parameters<ContainerdClient["leases"]["addResource"]>[0]) => {
          if (!collected) {
            collected = true;
            for (const key of chainIds.toReversed()) await leased.snapshots.remove({ snapshotter, key });
          }
          return leased.leases.addResource(request);
        },
      },
    });
    await unpack(Object.create(leased, { leases: { value: leases } }), target, { snapshotter });
    expect(collected).toBe(true);
    for (const key of chainIds) await leased.snapshots.stat({ snapshotter, key });
  });
});

test("a snapshot that is being committed is waited for, by whoever asks for its name", async () => {
  const snapshotter = "native";
  const outcome = (work: Promise<unknown>) =>
    work.then(
      () => "ok",
      (error) => asCortenError(error).code,
    );
  for (const name of ["asked", "committed again", "a parent", "linked", "removed"]) {
    for (const key of ["first", "second"]) await client.snapshots.prepare({ snapshotter, key });
    const first = client.snapshots.commit({ snapshotter, key: "first", name });
    const second = {
      asked: () => client.snapshots.stat({ snapshotter, key: name }),
      "committed again": () => client.snapshots.commit({ snapshotter, key: "second", name }),
      "a parent": () => client.snapshots.prepare({ snapshotter, key: "child", parent: name }),
      linked: () =>
        client.snapshots.prepare({ snapshotter, key: "link", labels: { "corten.snapshot.from": name } }),
      removed: () => client.snapshots.remove({ snapshotter, key: name }),
    }[name]!();
    const code = await outcome(second);
    expect([name, code]).toEqual([name, /committed again|linked/.test(name) ? "already_exists" : "ok"]);
    // It is there by the time the second one has its answer, and goes for good.
    expect(await outcome(client.snapshots.stat({ snapshotter, key: name }))).toBe(
      name === "removed" ? "not_found" : "ok",
    );
    await first;
    for (const key of ["child", "link", "second", name])
      await client.snapshots.remove({ snapshotter, key }).catch(() => {});
    const left: string[] = [];
    for await (const { info } of client.snapshots.list({ snapshotter }))
      left.push(...info.map((one) => one.name).filter((one) => !one.startsWith("sha256:")));
    expect([name, left]).toEqual([name, []]);
  }
});
