/** Instructions that change the image's config only. */
import { invalid } from "../../base/errors.ts";
import { type Instruction, parsePorts } from "../dockerfile/index.ts";
import { assign } from "./arguments.ts";
import { healthcheckText, plainList, quotedList } from "./go-format.ts";
import { setEnv, withLabels } from "./image.ts";
import type { Scope } from "./scope.ts";
import { commandLine } from "./shell.ts";
import { isSignal } from "./signals.ts";
import type { StageState } from "./stage.ts";

type ConfigInstruction = Exclude<
  Instruction,
  { kind: "run" | "copy" | "add" | "workdir" | "arg" | "onbuild" }
>;

/** Applies the instruction; returns its line in the history. */
export function configure(scope: Scope, state: StageState, instruction: ConfigInstruction): string {
  const { image } = state;
  const { config } = image;
  switch (instruction.kind) {
    case "env":
      for (const { key, value } of instruction.env) {
        assign(state.environment, key, value);
        setEnv(config, key, value);
      }
      return `ENV ${instruction.env.map(({ key, value }) => `${key}=${value}`).join(" ")}`;
    case "label":
      config.Labels = withLabels(config.Labels, instruction.labels);
      return `LABEL ${instruction.labels.map(({ key, value }) => `${key}=${value}`).join(" ")}`;
    case "maintainer":
      image.author = instruction.maintainer;
      return `MAINTAINER ${instruction.maintainer}`;
    case "cmd":
      config.Cmd = commandLine(state, instruction);
      config.ArgsEscaped = true;
      state.commandSet = true;
      return `CMD ${quotedList(config.Cmd)}`;
    case "entrypoint":
      config.Entrypoint = commandLine(state, instruction);
      // The base image's arguments mean nothing to another program.
      if (!state.commandSet) delete config.Cmd;
      return `ENTRYPOINT ${quotedList(config.Entrypoint)}`;
    case "healthcheck": {
      const { test, interval, timeout, startPeriod, startInterval, retries } = instruction.healthcheck;
      config.Healthcheck = {
        ...(test.length > 0 && { Test: [...test] }),
        ...(interval !== 0 && { Interval: interval }),
        ...(timeout !== 0 && { Timeout: timeout }),
        ...(startPeriod !== 0 && { StartPeriod: startPeriod }),
        ...(startInterval !== 0 && { StartInterval: startInterval }),
        ...(retries !== 0 && { Retries: retries }),
      };
      return `HEALTHCHECK ${healthcheckText(config.Healthcheck)}`;
    }
    case "expose": {
      const linter = scope.linter.withComments(instruction.comments);
      const ports = parsePorts(instruction.ports, { linter, ranges: instruction.ranges });
      config.ExposedPorts = { ...config.ExposedPorts };
      for (const port of ports) config.ExposedPorts[port] = {};
      return `EXPOSE ${plainList(ports)}`;
    }
    case "user":
      config.User = instruction.user;
      return `USER ${instruction.user}`;
    case "volume":
      config.Volumes = { ...config.Volumes };
      for (const path of instruction.volumes) {
        if (path === "") throw invalid("VOLUME specified can not be an empty string");
        config.Volumes[path] = {};
      }
      return `VOLUME ${plainList(instruction.volumes)}`;
    case "stopsignal":
      if (!isSignal(instruction.signal)) throw invalid(`invalid signal: ${instruction.signal}`);
      config.StopSignal = instruction.signal;
      return `STOPSIGNAL ${instruction.signal}`;
    case "shell":
      config.Shell = [...instruction.shell];
      return `SHELL ${plainList(instruction.shell)}`;
  }
}
