import { rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { log } from "../base/log.ts";
import type { CrioConfig } from "./config/types.ts";
import type { Metrics } from "./metrics.ts";

/** `/metrics` on TCP and, where one is configured, on a socket. */
export async function serveMetrics(
  { metrics: config }: CrioConfig,
  metrics: Metrics,
): Promise<{ close(): Promise<void> } | undefined> {
  if (!config.enable_metrics) return undefined;
  const servers: Server[] = [];
  const open = (listen: (server: Server, done: () => void) => void) =>
    new Promise<void>((resolve, reject) => {
      const server = createServer((request, response) => {
        if (request.url?.split("?")[0] !== "/metrics") {
          response.writeHead(404).end("404 page not found\n");
          return;
        }
        response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
        response.end(metrics.print(config.metrics_collectors));
      });
      server.once("error", reject);
      listen(server, () => resolve());
      servers.push(server);
    });
  await open((server, done) => server.listen(config.metrics_port, config.metrics_host, done));
  if (config.metrics_socket !== "") {
    rmSync(config.metrics_socket, { force: true });
    await open((server, done) => server.listen(config.metrics_socket, done));
  }
  log.info("metrics", { address: `${config.metrics_host}:${config.metrics_port}` });
  return {
    async close() {
      for (const server of servers) {
        server.closeAllConnections();
        await new Promise<void>((resolve) => server.close(() => resolve()));
      }
    },
  };
}
