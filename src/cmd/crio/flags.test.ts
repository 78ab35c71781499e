import { describe, expect, test } from "bun:test";
import { defaultConfig } from "../../crio/config/defaults.ts";
import { mergeDocument } from "../../crio/config/read.ts";
import { readCommandLine } from "./flags.ts";

describe("crio's command line", () => {
  test("every key has a flag, lists take commas and repetition, and variables stand for flags", () => {
    const line = readCommandLine(
      [
        "-c",
        "/c",
        "--log-level=debug",
        "--default-env",
        "A=1,B=2",
        "--default-env=C=3",
        "--read-only",
        "--pids-limit",
        "5",
        "--cni-config-dir",
        "/n",
        "--runtimes",
        "k:/bin/k:/root/k",
        "config",
        "--default",
      ],
      { CONTAINER_CGROUP_MANAGER: "systemd", CONTAINER_LOG_LEVEL: "error" },
    );
    expect(line.files).toEqual({ path: "/c", dir: "/etc/crio/crio.conf.d", asked: true });
    expect(line.words).toEqual(["config", "--default"]);
    const config = defaultConfig();
    mergeDocument(config, line.overrides, "flags", []);
    expect(config.runtime).toMatchObject({
      log_level: "debug",
      default_env: ["A=1", "B=2", "C=3"],
      read_only: true,
      pids_limit: 5,
      cgroup_manager: "systemd",
    });
    expect(config.network.network_dir).toBe("/n");
    expect(config.runtime.runtimes["k"]).toMatchObject({ runtime_path: "/bin/k", runtime_root: "/root/k" });
  });

  test("what is no flag, or has no value, is refused", () => {
    expect(() => readCommandLine(["--no-such"], {})).toThrow(/not defined: --no-such/);
    expect(() => readCommandLine(["--log-level"], {})).toThrow(/needs an argument/);
    expect(() => readCommandLine(["--pids-limit", "x"], {})).toThrow(/not a number/);
  });
});
