import { messagesIn, type NetlinkMessage } from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

/**
 * Calls `onMessages` with what arrives on a subscribed socket, from the event loop, until the returned
 * function is called. An empty list says that messages were lost (the queue was full).
 *
 * The one place that uses Bun's file streams: `net.Socket` refuses netlink descriptors, and `fs.read` would
 * keep a thread of the pool busy for ever.
 */
export function follow(socket: NetlinkSocket, onMessages: (messages: NetlinkMessage[]) => void): () => void {
  let stopped = false;
  let reader: ReturnType<typeof open> | undefined;
  const open = () => Bun.file(socket.fd).stream().getReader();
  const run = async () => {
    while (!stopped) {
      reader ??= open();
      try {
        const { value, done } = await reader.read();
        if (stopped) return;
        if (value) onMessages([...messagesIn(value)]);
        if (done) reader = undefined;
      } catch {
        // ENOBUFS: the kernel dropped messages; the stream is spent, the socket is not.
        if (stopped) return;
        reader = undefined;
        onMessages([]);
      }
      // A stream that ends at once, again and again, must not keep the loop busy.
      if (!reader) await new Promise((resume) => setTimeout(resume, 100));
    }
  };
  void run();
  return () => {
    stopped = true;
    reader?.cancel().catch(() => {});
  };
}
