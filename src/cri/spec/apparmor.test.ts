import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import {
  SecurityProfile_ProfileType as ProfileType,
  SecurityProfileSchema,
} from "../../../proto/gen/runtime/v1/common_pb.ts";
import { type ApparmorRules, apparmorOf, loadCrioProfile } from "./apparmor.ts";

/** A machine with one profile of the user's own. */
function machine(supported: boolean, failing = false) {
  const ensured: string[] = [];
  return {
    supported,
    ensured,
    loaded: (name: string) => name === "mine" || ensured.includes(name),
    ensure: async (name: string) => {
      if (failing) throw new Error("no parser");
      ensured.push(name);
    },
  };
}

const profile = (profileType: ProfileType, localhostRef = "") =>
  create(SecurityProfileSchema, { profileType, localhostRef });
const { RuntimeDefault, Unconfined, Localhost } = ProfileType;

/** What a container gets, or the reason why it is refused. */
const outcome = (
  rules: ApparmorRules,
  asked: { apparmor?: ReturnType<typeof profile>; apparmorProfile?: string; privileged?: boolean },
  on = machine(true),
): Promise<string | undefined> =>
  apparmorOf(rules, { apparmorProfile: "", privileged: false, ...asked }, on).catch(
    (error: Error) => `! ${error.message}`,
  );

describe("containerd's rules", () => {
  const rules: ApparmorRules = { of: "containerd", disabled: false };
  const failed = "! failed to generate apparmor spec opts: ";
  const cases: Array<
    [what: string, asked: Parameters<typeof outcome>[1], on: string | undefined, off: string | undefined]
  > = [
    ["nothing", {}, "cri-containerd.apparmor.d", undefined],
    [
      "RuntimeDefault",
      { apparmor: profile(RuntimeDefault) },
      "cri-containerd.apparmor.d",
      `${failed}apparmor is not supported`,
    ],
    ["Unconfined", { apparmor: profile(Unconfined) }, undefined, undefined],
    ["Localhost", { apparmor: profile(Localhost, "mine") }, "mine", `${failed}apparmor is not supported`],
    [
      "Localhost with the older prefix",
      { apparmor: profile(Localhost, "localhost/mine") },
      "mine",
      `${failed}apparmor is not supported`,
    ],
    [
      "Localhost that is not loaded",
      { apparmor: profile(Localhost, "x") },
      `${failed}apparmor profile not found x`,
      `${failed}apparmor is not supported`,
    ],
    [
      "Localhost without a name",
      { apparmor: profile(Localhost) },
      `${failed}nil apparmor profile is not supported`,
      `${failed}apparmor is not supported`,
    ],
    [
      "a name for another type",
      { apparmor: profile(RuntimeDefault, "mine") },
      `${failed}apparmor config invalid LocalhostRef must only be set if ProfileType is Localhost`,
      `${failed}apparmor config invalid LocalhostRef must only be set if ProfileType is Localhost`,
    ],
    [
      "runtime/default",
      { apparmorProfile: "runtime/default" },
      "cri-containerd.apparmor.d",
      `${failed}apparmor is not supported`,
    ],
    ["unconfined", { apparmorProfile: "unconfined" }, undefined, undefined],
    ["localhost/mine", { apparmorProfile: "localhost/mine" }, "mine", `${failed}apparmor is not supported`],
    [
      "mine",
      { apparmorProfile: "mine" },
      `${failed}invalid profile "mine"`,
      `${failed}invalid profile "mine"`,
    ],
    [
      "both: the newer field",
      { apparmor: profile(Unconfined), apparmorProfile: "localhost/mine" },
      undefined,
      undefined,
    ],
    ["privileged", { privileged: true }, undefined, undefined],
    [
      "privileged, Localhost",
      { privileged: true, apparmor: profile(Localhost, "mine") },
      "mine",
      `${failed}apparmor is not supported`,
    ],
  ];
  for (const [what, asked, on, off] of cases)
    test(what, async () => {
      expect(await outcome(rules, asked)).toBe(on);
      expect(await outcome(rules, asked, machine(false))).toBe(off);
      expect(await outcome({ of: "containerd", disabled: true }, asked)).toBe(off);
    });

  test("a default profile that cannot be loaded is an error", async () => {
    expect(await outcome(rules, {}, machine(true, true))).toBe(
      `${failed}load apparmor profile cri-containerd.apparmor.d: no parser`,
    );
  });
});

describe("CRI-O's rules", () => {
  const rules: ApparmorRules = { of: "cri-o", default: "crio-default" };
  const cases: Array<[what: string, asked: Parameters<typeof outcome>[1], on: string | undefined]> = [
    ["nothing", {}, "crio-default"],
    ["RuntimeDefault", { apparmor: profile(RuntimeDefault) }, "crio-default"],
    ["Unconfined", { apparmor: profile(Unconfined) }, "unconfined"],
    ["Localhost", { apparmor: profile(Localhost, "mine") }, "mine"],
    [
      "Localhost that is not loaded",
      { apparmor: profile(Localhost, "x") },
      '! container create failed: apparmor profile "x" is not loaded',
    ],
    [
      "Localhost without a name",
      { apparmor: profile(Localhost) },
      "! applying apparmor profile: empty localhost AppArmor profile is forbidden",
    ],
    [
      "localhost/",
      { apparmorProfile: "localhost/" },
      "! applying apparmor profile: empty localhost AppArmor profile is forbidden",
    ],
    ["localhost/mine", { apparmorProfile: "localhost/mine" }, "mine"],
    ["mine", { apparmorProfile: "mine" }, "mine"],
    ["Unconfined as a word", { apparmorProfile: "Unconfined" }, "unconfined"],
    ["privileged", { privileged: true, apparmor: profile(Localhost, "mine") }, undefined],
  ];
  for (const [what, asked, on] of cases)
    test(what, async () => {
      expect(await outcome(rules, asked)).toBe(on);
      expect(await outcome(rules, asked, machine(false))).toBeUndefined();
    });

  test("apparmor_profile is the default of containers", async () => {
    expect(await outcome({ of: "cri-o", default: "mine" }, {})).toBe("mine");
    expect(await outcome({ of: "cri-o", default: "unconfined" }, {})).toBe("unconfined");
  });

  test("apparmor_profile is loaded if it is ours, and has to be there otherwise", async () => {
    const on = machine(true);
    await loadCrioProfile("crio-default", on);
    expect(on.ensured).toEqual(["crio-default"]);
    for (const name of ["mine", "unconfined"]) await loadCrioProfile(name, on);
    const refused = await loadCrioProfile("x", on).catch((error: Error) => error.message);
    expect(refused).toBe('config provided AppArmor profile "x" not loaded');
    await loadCrioProfile("x", machine(false));
  });
});
