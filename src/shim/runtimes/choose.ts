import type { Any } from "@bufbuild/protobuf/wkt";
import { OptionsSchema } from "../../../proto/gen/containerd/runc/v1/oci_pb.ts";
import { OptionsSchema as GenericOptions } from "../../../proto/gen/runtimeoptions/v1/api_pb.ts";
import { invalid, notFound } from "../../base/errors.ts";
import { findProgram, searchPath } from "../../base/program.ts";
import type { OciRuntime, RuntimeChoice } from "../types.ts";
import { unpackAny } from "../typeurl.ts";
import { foreignRuntime } from "./foreign.ts";
import { ownRuntime } from "./own.ts";
import { vmRuntime, vmRuntimeName } from "./vm.ts";

/**
 * Reads the options of `io.containerd.runc.v2`: a `binary_name` chooses another OCI runtime, none ours.
 * Docker asks for "runc" by name; on a machine without one that is us as well.
 */
export function chooseRuntime(options: Any | undefined, rootOf: (asked: string) => string): RuntimeChoice {
  const chosen = unpackAny(OptionsSchema, options);
  if (options && options.typeUrl !== "" && !chosen && !isEmptyGeneric(options))
    throw invalid(`unsupported option type "${options.typeUrl}": invalid argument`);
  const choice: RuntimeChoice = {
    root: rootOf(chosen?.root ?? ""),
    systemdCgroup: chosen?.systemdCgroup ?? false,
    noPivotRoot: chosen?.noPivotRoot ?? false,
    noNewKeyring: chosen?.noNewKeyring ?? false,
    ...(chosen?.criuPath ? { criu: chosen.criuPath } : {}),
  };
  const name = chosen?.binaryName ?? "";
  if (name === "") return choice;
  if (name === vmRuntimeName) return { ...choice, binary: vmRuntimeName };
  const binary = findProgram(name);
  if (binary) return { ...choice, binary };
  if (name === "runc") return choice;
  const places = name.includes("/") ? "" : ` (looked in ${searchPath().join(", ")})`;
  throw notFound(`exec: "${name}": executable file not found in $PATH${places}: not found`);
}

/** CRI sends these for runtimes whose options it does not know; without a configuration they say nothing. */
function isEmptyGeneric(options: Any): boolean {
  const generic = unpackAny(GenericOptions, options);
  return generic !== undefined && generic.configPath === "";
}

/** `discard` takes the state directories of removed containers away. */
export function openRuntime(choice: RuntimeChoice, discard: (path: string) => void): OciRuntime {
  if (choice.binary === undefined) return ownRuntime(choice, discard);
  return choice.binary === vmRuntimeName ? vmRuntime(choice, discard) : foreignRuntime(choice, choice.binary);
}
