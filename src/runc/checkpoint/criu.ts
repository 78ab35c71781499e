/**
 * Talking to CRIU: `criu swrk FD` answers one request over a socket of messages (criu.org/RPC). The calls block: this is for
 * a process of its own, `corten runc checkpoint` or `restore`.
 */
import { spawnSync } from "node:child_process";
import { closeSync, readFileSync } from "node:fs";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type Answer,
  AnswerSchema,
  type Notification,
  RequestSchema,
  RequestType,
} from "../../../proto/gen/criu/rpc_pb.ts";
import { CortenError, conflict, messageOf } from "../../base/errors.ts";
import { findProgram } from "../../base/program.ts";
import { messagePair, receiveMessage } from "../../sys/descriptors.ts";
import { rawSyscall, SyscallError, syscall } from "../../sys/libc.ts";

/** External namespaces of processes came with this one. */
const oldest = 31500;

export interface Criu {
  path: string;
  /** Major, minor and third number: 31701 for 3.17.1. */
  version: number;
}

export type Request = MessageInitShape<typeof RequestSchema>;

/** Finds the program, or says in one text what is missing. */
export function findCriu(program = "criu"): Criu {
  const path = findProgram(program);
  if (!path)
    throw conflict(
      `checkpoint and restore need the program ${program}, which is not in $PATH (${process.env["PATH"] ?? ""}): install the package criu`,
    );
  const { stdout, stderr, error } = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 10_000 });
  const [, major, minor, third = "0"] = /Version: (\d+)\.(\d+)(?:\.(\d+))?/.exec(stdout ?? "") ?? [];
  if (major === undefined || minor === undefined)
    throw conflict(`${path} does not tell its version: ${(error ? messageOf(error) : stderr).trim()}`);
  const version = Number(major) * 10000 + Number(minor) * 100 + Number(third);
  if (version < oldest) throw conflict(`CRIU version ${version} must be ${oldest} or higher`);
  return { path, version };
}

export interface Exchange {
  /** Descriptors 4… of CRIU. */
  fds?: readonly number[];
  /** CRIU's stdio is what restored processes get as theirs. */
  stdio?: "inherit" | "ignore";
  /** Called with CRIU's pid before it gets the request, which may then be completed. */
  started?(pid: number): void | Promise<void>;
  /** A step that CRIU waits at; `fd` comes with some and is the callee's to close. */
  notified?(notification: Notification, fd: number | undefined): void | Promise<void>;
  /** Where CRIU writes its log, for the error. */
  log: string;
}

/** Sends one request, answers the notifications, and gives CRIU's answer; throws when that is a failure. */
export async function askCriu(criu: Criu, request: Request, exchange: Exchange): Promise<Answer> {
  const [ours, theirs] = messagePair();
  const copies: number[] = [];
  const fds = exchange.fds ?? [];
  // The child's table is built by dup2 in order: a source below the highest target could be overwritten first.
  const safe = (fd: number) => {
    const copy = syscall("fcntl", [fd, 1030, fds.length + 16], "F_DUPFD_CLOEXEC");
    copies.push(copy);
    return copy;
  };
  let child: Bun.Subprocess;
  try {
    const stdio = exchange.stdio ?? "ignore";
    child = Bun.spawn([criu.path, "swrk", "3"], {
      stdio: [stdio, stdio, stdio, safe(theirs), ...fds.map(safe)],
    });
  } catch (error) {
    closeSync(ours);
    throw error;
  } finally {
    // Ours to close at once: the end of CRIU must be the end of the socket.
    for (const fd of [theirs, ...copies]) closeSync(fd);
  }
  let open = true;
  const hangUp = () => {
    if (open) closeSync(ours);
    open = false;
  };
  try {
    await exchange.started?.(child.pid);
    send(ours, request);
    const answer = await converse(ours, exchange);
    hangUp();
    const status = await child.exited;
    // A single pre-dump leaves CRIU waiting for the next one: that we hang up is its failure, not ours.
    if (status !== 0 && request.type !== RequestType.PRE_DUMP)
      throw conflict(`criu failed: exit status ${status}${quote(exchange.log)}`);
    return answer;
  } finally {
    hangUp();
    await child.exited;
  }
}

async function converse(socket: number, exchange: Exchange): Promise<Answer> {
  for (;;) {
    const { bytes, fd } = receiveMessage(socket, 1 << 16);
    if (bytes.length === 0) throw conflict(`criu ended without an answer${quote(exchange.log)}`);
    const answer = fromBinary(AnswerSchema, bytes);
    if (!answer.success) {
      const what = RequestType[answer.type] ?? String(answer.type);
      const words = answer.crErrmsg ? `: ${answer.crErrmsg}` : "";
      throw conflict(`criu failed: type ${what} errno ${answer.crErrno}${words}${quote(exchange.log)}`);
    }
    if (answer.type !== RequestType.NOTIFY) return answer;
    if (answer.notify) await exchange.notified?.(answer.notify, fd);
    else if (fd !== undefined) closeSync(fd);
    send(socket, { type: RequestType.NOTIFY, notifySuccess: true });
  }
}

function send(socket: number, request: Request): void {
  const bytes = toBinary(RequestSchema, create(RequestSchema, request));
  const sent = rawSyscall("sendto", socket, bytes, bytes.length, 0x4000 /* MSG_NOSIGNAL */, null, 0);
  // What is wrong with a CRIU that has left is in its answer or its log.
  if (sent < 0 && sent !== -32) throw new SyscallError("sendto", -sent, "criu");
}

/** The first errors of CRIU's log: what comes after them are their consequences. */
export function quote(log: string): string {
  let text: string;
  try {
    text = readFileSync(log, "utf8");
  } catch {
    return "";
  }
  const errors = firstErrors(text);
  return `${errors.map((line) => `: ${line}`).join("")} (log file: ${log})`;
}

/** Of a log: without time stamps, and without what CRIU itself goes on after. */
export function firstErrors(text: string, most = 2): string[] {
  return text
    .split("\n")
    .filter(
      (line) =>
        /\bError \(/.test(line) &&
        !/RLIMIT_NOFILE|exited, status=|Diag module missing|Dumping FAILED|Restoring FAILED/.test(line),
    )
    .map((line) => line.replace(/^\([\d.]+\)\s*/, "").trim())
    .slice(0, most);
}

/** Fails when CRIU or the kernel has not what is asked for. */
export async function requireFeature(criu: Criu, feature: "memTrack" | "lazyPages"): Promise<void> {
  const { features } = await askCriu(
    criu,
    { type: RequestType.FEATURE_CHECK, features: { [feature]: true } },
    { log: "" },
  );
  if (!features?.[feature])
    throw new CortenError(
      "failed_precondition",
      `criu is missing features: ${feature} (CRIU or this kernel)`,
    );
}
