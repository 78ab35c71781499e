/** What a Dockerfile says, before any variable is expanded. */

/** Lines count from 1; characters from 0, and 0 where the whole line is meant (as BuildKit's ranges). */
export interface Position {
  line: number;
  character: number;
}

export interface SourceRange {
  start: Position;
  end: Position;
}

export interface Directive {
  name: "syntax" | "escape" | "check";
  value: string;
  ranges: readonly SourceRange[];
}

export interface Dockerfile {
  filename: string;
  /** The file as it was given, for excerpts. */
  text: string;
  /** Character that continues lines and quotes: `\` or `` ` ``. */
  escape: "\\" | "`";
  /** Value of `# syntax=`, also in its `//` and JSON forms. */
  syntax?: string;
  directives: readonly Directive[];
  check: CheckOptions;
  /** ARG instructions before the first FROM. */
  metaArgs: readonly ArgInstruction[];
  stages: readonly Stage[];
  /** Lines at which a continuation ran through an empty line (lint: NoEmptyContinuation). */
  emptyContinuations: readonly (readonly SourceRange[])[];
}

/** `# check=skip=A,B;error=true;experimental=all` */
export interface CheckOptions {
  skip: readonly string[] | "all";
  experimental: readonly string[] | "all";
  error: boolean;
}

export interface Stage {
  index: number;
  /** Lower case; absent: the stage has only its number. */
  name?: string;
  /** As written: may hold variables. */
  baseName: string;
  /** As written after `AS`: for the lint of casing. */
  nameAsWritten?: string;
  /** `AS`, as written. */
  asKeyword?: string;
  /** --platform as written: may hold variables. */
  platform?: string;
  /** `FROM`, as written. */
  keyword: string;
  /** The FROM instruction on one line. */
  source: string;
  ranges: readonly SourceRange[];
  comments: readonly string[];
  /** `# name description` directly above; empty when there is none. */
  docComment: string;
  instructions: readonly Instruction[];
}

export interface Heredoc {
  name: string;
  fileDescriptor: number;
  /** False when the name was quoted: variables stay. */
  expand: boolean;
  /** `<<-`: leading tabs go. */
  chomp: boolean;
  content: string;
}

interface Common {
  /** The instruction's word as written. */
  keyword: string;
  /** The instruction on one line, continuations joined, trimmed: what progress and errors show. */
  source: string;
  /** One per line of the file. */
  ranges: readonly SourceRange[];
  /** Comment lines directly above, without `#`. */
  comments: readonly string[];
}

export interface KeyValue {
  key: string;
  value: string;
  /** Written as `KEY value` (lint: LegacyKeyValueFormat). */
  legacy: boolean;
}

/** Shell form: one element and `shell: true`. */
export interface CommandLine {
  args: readonly string[];
  shell: boolean;
}

/** Content of a heredoc among COPY's or ADD's sources; tabs are already chomped. */
export interface InlineSource {
  /** Name of the file. */
  path: string;
  data: string;
  expand: boolean;
}

interface SourcesAndDestination {
  /** Paths and URLs in order; inline ones are apart, as in BuildKit. */
  sources: readonly string[];
  inlineSources: readonly InlineSource[];
  destination: string;
  /** Empty when absent. */
  chown: string;
  chmod: string;
  link: boolean;
  exclude: readonly string[];
}

/** --mount of RUN whose values may still hold variables; `parseMount` makes it typed. */
export interface RawMount {
  text: string;
  /** Never holds a variable: known before expansion. */
  from?: string;
}

export interface RunInstruction extends Common, CommandLine {
  kind: "run";
  mounts: readonly RawMount[];
  network: "default" | "none" | "host";
  security: "sandbox" | "insecure";
  /** --device, in the order given. */
  devices: readonly Device[];
  /** Files of heredocs; in shell form the shell reads the first (`RUN <<EOF`), as BuildKit does. */
  files: readonly Heredoc[];
  /** Names of the flags used, sorted. */
  flagsUsed: readonly string[];
}

export interface Device {
  name: string;
  required: boolean;
}

export interface CopyInstruction extends Common, SourcesAndDestination {
  kind: "copy";
  /** Stage, number, image or named context; empty when absent. Holds no variable. */
  from: string;
  parents: boolean;
}

export interface AddInstruction extends Common, SourcesAndDestination {
  kind: "add";
  checksum: string;
  /** Absent: not said. */
  keepGitDir?: boolean;
  unpack?: boolean;
}

export interface EnvInstruction extends Common {
  kind: "env";
  env: readonly KeyValue[];
}

export interface LabelInstruction extends Common {
  kind: "label";
  labels: readonly KeyValue[];
}

export interface ArgDefinition {
  key: string;
  /** Absent: declared without a default. */
  value?: string;
  docComment: string;
}

export interface ArgInstruction extends Common {
  kind: "arg";
  args: readonly ArgDefinition[];
}

export interface ExposeInstruction extends Common {
  kind: "expose";
  /** Sorted, as BuildKit keeps them; see `parsePorts`. */
  ports: readonly string[];
}

export interface UserInstruction extends Common {
  kind: "user";
  user: string;
}

export interface WorkdirInstruction extends Common {
  kind: "workdir";
  path: string;
}

export interface VolumeInstruction extends Common {
  kind: "volume";
  volumes: readonly string[];
}

export interface ShellInstruction extends Common {
  kind: "shell";
  shell: readonly string[];
}

export interface StopSignalInstruction extends Common {
  kind: "stopsignal";
  signal: string;
}

/** Durations are nanoseconds, as in the image's config; 0 is not said. */
export interface Healthcheck {
  /** `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", text]`. */
  test: readonly string[];
  interval: number;
  timeout: number;
  startPeriod: number;
  startInterval: number;
  retries: number;
}

export interface HealthcheckInstruction extends Common {
  kind: "healthcheck";
  healthcheck: Healthcheck;
}

export interface OnbuildInstruction extends Common {
  kind: "onbuild";
  /** What goes into the image's OnBuild: the trigger with its heredocs. */
  trigger: string;
  /** The trigger parsed; absent when it would fail (it fails where it is used). */
  instruction?: Instruction;
}

export interface CmdInstruction extends Common, CommandLine {
  kind: "cmd";
}

export interface EntrypointInstruction extends Common, CommandLine {
  kind: "entrypoint";
}

export interface MaintainerInstruction extends Common {
  kind: "maintainer";
  maintainer: string;
}

export type Instruction =
  | RunInstruction
  | CopyInstruction
  | AddInstruction
  | EnvInstruction
  | LabelInstruction
  | ArgInstruction
  | ExposeInstruction
  | UserInstruction
  | WorkdirInstruction
  | VolumeInstruction
  | ShellInstruction
  | StopSignalInstruction
  | HealthcheckInstruction
  | OnbuildInstruction
  | CmdInstruction
  | EntrypointInstruction
  | MaintainerInstruction;

export type InstructionKind = Instruction["kind"];

/** A --mount after its variables were expanded. */
export interface Mount {
  type: "bind" | "cache" | "tmpfs" | "secret" | "ssh";
  /** Empty where absent. */
  from: string;
  source: string;
  target: string;
  readonly: boolean;
  /** Bytes; 0 is not said. */
  size: number;
  /** `id=` of cache, secret and ssh. */
  id: string;
  sharing?: "shared" | "private" | "locked";
  required: boolean;
  /** Of a secret: the variable's name; an empty one means the default. */
  env?: string;
  mode?: number;
  uid?: number;
  gid?: number;
}

/** A finding as BuildKit words it. */
export interface LintWarning {
  rule: string;
  description: string;
  /** Absent for InvalidBaseImagePlatform, which has no page. */
  url: string;
  text: string;
  ranges: readonly SourceRange[];
}
