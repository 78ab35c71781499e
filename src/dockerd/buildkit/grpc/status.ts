/** How calls end: gRPC's status in the trailers, and our errors. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { StatusSchema } from "../../../../proto/gen/google/rpc/status_pb.ts";
import { asCortenError, CortenError } from "../../../base/errors.ts";
import { errorCodes, statusNumbers } from "../../../base/status.ts";
import type { Field } from "../http2/hpack.ts";

/** A typed error as BuildKit's clients know them: JSON under a type's name. */
export interface Detail {
  type: string;
  value: unknown;
}

/** The numeric code and the text of an error. */
export function statusOf(error: unknown): { code: number; message: string } {
  const { code, message } = asCortenError(error);
  return { code: statusNumbers.get(code) ?? 2, message };
}

/** The trailers of a call that failed, or that did not. */
export function statusFields(error: unknown, details: readonly Detail[] = []): Field[] {
  if (error === undefined) return [["grpc-status", "0"]];
  const { code, message } = statusOf(error);
  const fields: Field[] = [
    ["grpc-status", String(code)],
    ["grpc-message", encodeMessage(message)],
  ];
  if (details.length > 0) {
    const status = create(StatusSchema, {
      code,
      message,
      details: details.map(({ type, value }) =>
        create(AnySchema, { typeUrl: type, value: Buffer.from(JSON.stringify(value)) }),
      ),
    });
    const bytes = Buffer.from(toBinary(StatusSchema, status)).toString("base64");
    fields.push(["grpc-status-details-bin", bytes.replace(/=+$/, "")]);
  }
  return fields;
}

/** An error by its number. */
export const errorFrom = (code: number, message: string): CortenError =>
  new CortenError(errorCodes.get(code) ?? "unknown", message);

/** What the trailers of an answer say; undefined is success. */
export function errorOf(fields: readonly Field[], what: string): CortenError | undefined {
  const get = (name: string) => fields.find((field) => field[0] === name)?.[1];
  const status = get("grpc-status");
  if (status === undefined) {
    const http = get(":status");
    if (http === undefined || http === "200")
      return new CortenError("unavailable", `${what}: the answer was cut short`);
    return new CortenError("unavailable", `${what}: unexpected HTTP status ${http}`);
  }
  if (status === "0") return undefined;
  const code = errorCodes.get(Number(status)) ?? "unknown";
  const details = get("grpc-status-details-bin");
  let message = decodeMessage(get("grpc-message") ?? "");
  if (message === "" && details !== undefined)
    message = fromBinary(StatusSchema, Buffer.from(details, "base64")).message;
  return new CortenError(code, message || `${what}: ${code}`);
}

/** The protocol's percent-encoding: printable ASCII stays. */
const encodeMessage = (text: string): string =>
  Buffer.from(text)
    .toString("latin1")
    .replace(/[^ -$&-~]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);

const decodeMessage = (text: string): string =>
  Buffer.from(
    text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    "latin1",
  ).toString("utf8");
