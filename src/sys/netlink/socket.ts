import { rawSyscall, SyscallError, syscall } from "../libc.ts";
import {
  Attributes,
  MessageWriter,
  messagesIn,
  type NetlinkMessage,
  type NetlinkRequest,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
} from "./message.ts";

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

export const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
export const NETLINK_SOCKET_TYPE = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const NLM_F_ACK_TLVS = 0x200;
const NLM_F_CAPPED = 0x100;
const NLMSGERR_ATTR_MSG = 1;
const EAGAIN = 11;
const EINTR = 4;
const ENOBUFS = 105;

const BUFFER_SIZE = 4 << 20;
/** Larger than any datagram of the kernel's dumps, which are at most 32 KiB. */
const RECEIVE_SIZE = 64 << 10;
let receiveBuffer: Uint8Array | undefined;

/** A request the kernel refused, with its own explanation (extended ack) when it gave one. */
export class NetlinkError extends SyscallError {
  constructor(what: string, errno: number, explanation: string | undefined) {
    super("netlink", errno, what);
    if (explanation) this.message += ` (${explanation})`;
  }
}

const int = (value: number) => new Uint8Array(new Int32Array([value]).buffer);

/**
 * A netlink socket, bound for its life to the network namespace it was opened in.
 *
 * All calls are synchronous: rtnetlink and nf_tables do their work inside `sendto`, so that every answer
 * is in the socket's queue when it returns, and reading never has to wait. The socket is non-blocking
 * all the same, so that a missing answer is an error and not a hung engine.
 */
export class NetlinkSocket implements Disposable {
  readonly fd: number;
  #sequence = 0;
  #closed = false;

  /** Opens in the namespace of the calling thread, or takes a socket that netns.ts opened in another one. */
  constructor(protocol: number, fd?: number) {
    this.fd = fd ?? syscall("socket", [AF_NETLINK, NETLINK_SOCKET_TYPE, protocol], "netlink");
    try {
      syscall("bind", [this.fd, Uint8Array.of(AF_NETLINK, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 12], "netlink");
      this.#option(SOL_NETLINK, NETLINK_EXT_ACK, 1);
      this.#option(SOL_NETLINK, NETLINK_CAP_ACK, 1);
      this.#option(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    } catch (error) {
      rawSyscall("close", this.fd);
      throw error;
    }
  }

  #option(level: number, name: number, value: number): void {
    // Every option here is an improvement only; an old kernel without one still works.
    rawSyscall("setsockopt", this.fd, level, name, int(value), 4);
  }

  /** Joins a multicast group, whose messages `receive` then returns. */
  subscribe(group: number): void {
    syscall("setsockopt", [this.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, int(group), 4], "netlink group");
  }

  /** Allows batches above the default of about 200 KiB. */
  enlargeBuffers(): void {
    this.#option(SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_SIZE);
    this.#option(SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_SIZE);
  }

  /**
   * Sends all requests in one call and throws the first refusal. rtnetlink goes on with the later requests
   * after a refused one; a batch of nf_tables is all or nothing.
   */
  transact(requests: readonly NetlinkRequest[]): void {
    for (const error of this.attempt(requests)) if (error) throw error;
  }

  /** As `transact`, but returns each request's refusal in its place. */
  attempt(requests: readonly NetlinkRequest[]): Array<NetlinkError | undefined> {
    if (requests.length === 0) return [];
    const last = requests.length - 1;
    // Where all ask for an answer, that of the last says that all are done: refusals are answered in any case.
    const lastAnswers = requests.every(({ flags }) => flags & NLM_F_ACK);
    const first = this.#send(requests, NLM_F_REQUEST, lastAnswers ? last : undefined);
    const results = new Array<NetlinkError | undefined>(requests.length);
    let pending = lastAnswers ? 1 : requests.filter(({ flags }) => flags & NLM_F_ACK).length;
    for (const message of this.receive()) {
      if (message.type !== NLMSG_ERROR) continue;
      const index = message.sequence - first;
      const request = requests[index];
      if (!request) continue;
      if (lastAnswers ? index === last : request.flags & NLM_F_ACK) pending--;
      results[index] ??= errorIn(message, request.what);
      // One read less: nothing follows the last answer.
      if (lastAnswers && pending === 0) break;
    }
    // An aborted nf_tables batch answers for the refused requests only.
    if (pending > 0 && !results.some(Boolean))
      throw new NetlinkError(`${requests[0]?.what ?? "batch"}: no answer from the kernel`, EAGAIN, undefined);
    return results;
  }

  /** Runs a request that is answered with one message or with many (NLM_F_DUMP). */
  query(request: NetlinkRequest): NetlinkMessage[] {
    const first = this.#send([request], NLM_F_REQUEST);
    const found: NetlinkMessage[] = [];
    for (const message of this.receive()) {
      if (message.sequence !== first) continue;
      if (message.type === NLMSG_DONE) break;
      if (message.type === NLMSG_ERROR) {
        const error = errorIn(message, request.what);
        if (error) throw error;
        break;
      }
      // Copied: the buffer is reused by the next receive.
      found.push({ ...message, payload: message.payload.slice() });
      if (!(request.flags & NLM_F_DUMP)) break;
    }
    return found;
  }

  /**
   * What a request that failed half way left in the queue has an older number, and is skipped with the answers.
   * With `answering`, only the request at that place asks for an answer.
   */
  #send(requests: readonly NetlinkRequest[], flags: number, answering?: number): number {
    const out = new MessageWriter();
    const first = this.#sequence + 1;
    for (const [index, request] of requests.entries()) {
      const silent = answering !== undefined && index !== answering ? NLM_F_ACK : 0;
      out.message(
        { ...request, flags: (request.flags | flags) & ~silent, body: request.body },
        ++this.#sequence,
      );
    }
    const bytes = out.bytes;
    if (bytes.length > 128 << 10) this.enlargeBuffers();
    syscall("sendto", [this.fd, bytes, bytes.length, 0, null, 0], requests[0]?.what ?? "netlink");
    return first;
  }

  /** What is in the queue now. Payloads are valid until the next call. */
  *receive(): Generator<NetlinkMessage> {
    receiveBuffer ??= new Uint8Array(RECEIVE_SIZE);
    for (;;) {
      const length = rawSyscall("recvfrom", this.fd, receiveBuffer, RECEIVE_SIZE, 0, null, null);
      if (length === -EINTR || length === -ENOBUFS) continue;
      if (length === -EAGAIN || length === 0) return;
      if (length < 0) throw new SyscallError("recvfrom", -length, "netlink");
      yield* messagesIn(receiveBuffer.subarray(0, length));
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    rawSyscall("close", this.fd);
  }
  [Symbol.dispose](): void {
    this.close();
  }
}

/** A NLMSG_ERROR message is also the acknowledgement: error 0. */
function errorIn(message: NetlinkMessage, what: string): NetlinkError | undefined {
  const view = new DataView(message.payload.buffer, message.payload.byteOffset, message.payload.byteLength);
  const errno = -view.getInt32(0, true);
  if (errno === 0) return undefined;
  let explanation: string | undefined;
  if (message.flags & NLM_F_ACK_TLVS) {
    const echoed = message.flags & NLM_F_CAPPED ? 16 : view.getUint32(4, true);
    explanation = new Attributes(message.payload.subarray(4 + ((echoed + 3) & ~3))).string(NLMSGERR_ATTR_MSG);
  }
  return new NetlinkError(what, errno, explanation);
}
