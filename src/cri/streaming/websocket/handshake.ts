import { createHash } from "node:crypto";
import type { RequestHead } from "../../../http/request.ts";

/** RFC 6455 section 1.3. */
const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export function isWebSocket(head: RequestHead): boolean {
  return head.headers.get("upgrade")?.trim().toLowerCase() === "websocket";
}

/** What the client's handshake (section 4.2.1) comes to: the headers to answer with, or why it is refused. */
export type Handshake =
  | { readonly headers: Record<string, string>; readonly protocol: string }
  | { readonly status: number; readonly reason: string; readonly headers?: Record<string, string> };

/** Chooses the first of the client's subprotocols that is in `supported`; a client that names none gets "". */
export function answerHandshake(head: RequestHead, supported: readonly string[]): Handshake {
  if (head.method !== "GET") return { status: 405, reason: "a WebSocket begins with GET" };
  if (head.headers.get("sec-websocket-version") !== "13")
    return {
      status: 426,
      reason: "only version 13 of WebSocket is spoken",
      headers: { "Sec-WebSocket-Version": "13" },
    };
  const key = head.headers.get("sec-websocket-key") ?? "";
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key)) return { status: 400, reason: "bad Sec-WebSocket-Key" };
  const named = head.headers.get("sec-websocket-protocol");
  const wanted = named === undefined ? [""] : named.split(",").map((name) => name.trim());
  const protocol = wanted.find((name) => supported.includes(name));
  if (protocol === undefined)
    return {
      status: 403,
      reason: `none of the subprotocols ${wanted.join(", ")} is supported; supported are ${supported.filter(Boolean).join(", ")}`,
    };
  const accept = createHash("sha1").update(key).update(guid).digest("base64");
  return {
    protocol,
    headers: {
      "Sec-WebSocket-Accept": accept,
      ...(protocol === "" ? {} : { "Sec-WebSocket-Protocol": protocol }),
    },
  };
}
