import { expect, test } from "bun:test";
import { defaultConfig } from "./config.ts";
import { configInfo } from "./config-info.ts";

test("what crictl info shows has containerd's names and no credentials", () => {
  const config = defaultConfig("/lib", "/run");
  config.registry.auths["registry.example"] = { username: "me", password: "secret" };
  config.registry.mirrors["docker.io"] = ["https://mirror.example"];
  const info = configInfo(config);
  expect(JSON.stringify(info)).not.toContain("secret");
  expect(info).toMatchObject({
    containerd: { defaultRuntimeName: "runc", runtimes: { runc: { runtimeType: "io.containerd.runc.v2" } } },
    registry: { mirrors: { "docker.io": { endpoint: ["https://mirror.example"] } } },
    rootDir: "/lib/io.containerd.grpc.v1.cri",
    maxContainerLogLineSize: 16384,
  });
});
