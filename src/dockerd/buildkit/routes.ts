/** The two places where BuildKit's clients connect: `POST /grpc` for the API, `POST /session` for their own services. */
import { invalid } from "../../base/errors.ts";
import type { Hijacked } from "../../http/reply.ts";
import type { Call, Handler } from "../daemon.ts";

const protocol = "h2c";

function checkUpgrade({ head }: Call): void {
  const wanted = head.headers.get("upgrade") ?? "";
  if (wanted === "") throw invalid("no upgrade proto in request");
  if (wanted !== protocol) throw invalid(`protocol ${wanted} not supported`);
}

/** BuildKit's control and gateway APIs, as HTTP/2 on the hijacked connection. */
export const grpc: Handler = async (call) => {
  checkUpgrade(call);
  const [{ serveControl }, { buildkitOf }] = await Promise.all([
    import("./control/serve.ts"),
    import("./buildkit.ts"),
  ]);
  const stream = await call.reply.hijack("application/grpc", protocol);
  await ended(serveControl(stream, buildkitOf(call.daemon)).closed);
};

/** The client serves what its build needs (directories, secrets, …) on the hijacked connection. */
export const session: Handler = async (call) => {
  checkUpgrade(call);
  const { buildkitOf } = await import("./buildkit.ts");
  const { sessions } = buildkitOf(call.daemon);
  const get = (name: string) => call.head.headers.get(`x-docker-expose-session-${name}`) ?? "";
  const headers = {
    id: get("uuid"),
    sharedKey: get("sharedkey"),
    methods: get("grpc-method")
      .split(",")
      .map((method) => method.trim())
      .filter(Boolean),
  };
  sessions.check(headers);
  const stream: Hijacked = await call.reply.hijack("application/grpc", protocol);
  await sessions.serve(stream, headers);
};

const ended = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
