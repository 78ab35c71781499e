import { expect, test } from "bun:test";
import { parseHead } from "../../../http/request.ts";
import { answerHandshake } from "./handshake.ts";

const supported = ["v5.channel.k8s.io", "v4.channel.k8s.io", ""];
const answer = (...lines: string[]) =>
  answerHandshake(
    parseHead(Buffer.from(["GET /exec/t HTTP/1.1", "Host: x", ...lines, "", ""].join("\r\n"))),
    supported,
  );
const version = "Sec-WebSocket-Version: 13";
const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

test("the key of the RFC's example gets its answer", () => {
  expect(answer(version, key)).toEqual({
    protocol: "",
    headers: { "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" },
  });
});

test("the client's first subprotocol that is spoken is chosen, also from several lines", () => {
  const lines = [
    "Sec-WebSocket-Protocol: v9.channel.k8s.io",
    "Sec-WebSocket-Protocol: v4.channel.k8s.io, v5.channel.k8s.io",
  ];
  expect(answer(version, key, ...lines)).toMatchObject({
    protocol: "v4.channel.k8s.io",
    headers: { "Sec-WebSocket-Protocol": "v4.channel.k8s.io" },
  });
});

test("other versions, keys and subprotocols are refused", () => {
  expect(answer(key)).toMatchObject({ status: 426 });
  expect(answer(version)).toMatchObject({ status: 400 });
  expect(answer(version, "Sec-WebSocket-Key: short")).toMatchObject({ status: 400 });
  expect(answer(version, key, "Sec-WebSocket-Protocol: chat")).toMatchObject({ status: 403 });
});
