import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Status, StatusSchema } from "../../../proto/gen/google/rpc/status_pb.ts";
import { asCortenError } from "../../base/errors.ts";
import { statusNumbers } from "../../base/status.ts";

/** What a failed call is answered with. */
export function statusOf(error: unknown): MessageInitShape<typeof StatusSchema> {
  if (error instanceof ConnectError) return { code: error.code, message: error.rawMessage };
  const { code, message } = asCortenError(error);
  return { code: statusNumbers.get(code) ?? Code.Unknown, message };
}

/** The error in a response's status; undefined for "OK" and for none. */
export function errorOf(status: Status | undefined): ConnectError | undefined {
  if (!status || status.code === 0) return undefined;
  const known = status.code > 0 && status.code <= Code.Unauthenticated;
  const error = new ConnectError(status.message, known ? status.code : Code.Unknown);
  error.details = status.details.map(({ typeUrl, value }) => ({
    desc: AnySchema,
    value: create(AnySchema, { typeUrl, value }),
  }));
  return error;
}
