import { expect, test } from "bun:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type BytesMessage,
  BytesMessageSchema,
  Control,
} from "../../../../proto/gen/moby/buildkit/control_pb.ts";
import { Secrets } from "../../../../proto/gen/moby/session/secrets_pb.ts";
import { GrpcClient } from "../grpc/client.ts";
import { serveGrpc, streaming, unary } from "../grpc/server.ts";
import { Http2Connection } from "../http2/connection.ts";
import { pipe } from "../http2/pipe.ts";
import { Sessions } from "../session/sessions.ts";
import { SessionBytes } from "./session-bytes.ts";

test("a session lies inside a call of another connection", async () => {
  const sessions = new Sessions();
  const [here, there] = pipe();
  const daemon = serveGrpc(there, {
    services: [
      [
        Control,
        {
          Session: streaming(async function* (input: AsyncIterable<BytesMessage>, { signal }) {
            const bytes = new SessionBytes(input, signal);
            const served = sessions.serve(bytes, {
              id: "inside",
              sharedKey: "",
              methods: ["/moby.buildkit.secrets.v1.Secrets/GetSecret"],
            });
            yield* bytes.outgoing();
            await served;
          }),
        },
      ],
    ],
  });
  // The client: its own server, on the bytes of the call.
  const connection = new Http2Connection(here, { role: "client" });
  const call = new GrpcClient(connection).open(Control.method.session, {});
  const messages = call.messages();
  const client = serveGrpc(
    {
      read: async () => {
        const next = await messages.next().catch(() => ({ done: true, value: undefined }));
        return next.done || !next.value ? undefined : fromBinary(BytesMessageSchema, next.value).data;
      },
      write: async (data) => {
        await call.send(toBinary(BytesMessageSchema, create(BytesMessageSchema, { data })));
        return true;
      },
      destroy: () => call.cancel(),
    },
    { services: [[Secrets, { GetSecret: unary(() => ({ data: Buffer.alloc(300_000, "s") })) }]] },
  );
  const session = await sessions.get("inside", new AbortController().signal);
  const { data } = await session.client.unary(Secrets.method.getSecret, { ID: "x" });
  expect(data.length).toBe(300_000);
  client.close();
  connection.close();
  daemon.close();
});
