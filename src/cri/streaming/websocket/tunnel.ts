import { Inbound, InboundBudget } from "../inbound.ts";
import type { Wire } from "../wire.ts";
import { badMessage, type WebSocketConnection } from "./connection.ts";

/**
 * A byte stream through binary messages, in which another protocol is spoken: KEP-4006's tunnelling of SPDY.
 * Where one message ends means nothing.
 */
export function tunnel(socket: WebSocketConnection): Wire {
  const budget = new InboundBudget(() => socket.probe());
  const inbound = new Inbound(budget);
  socket.signal.addEventListener("abort", () => inbound.end(), { once: true });
  void socket
    .run(async (piece) => {
      if (piece.text) throw badMessage("the tunnel takes binary messages");
      inbound.push(piece.bytes);
      await budget.room(inbound);
    })
    .then(() => inbound.end());
  return {
    read: () => inbound.next(),
    write: (bytes) => socket.send(false, bytes),
    end: () => {
      inbound.discard();
      socket.close();
    },
    destroy: () => socket.destroy(),
    signal: socket.signal,
  };
}
