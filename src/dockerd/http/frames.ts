/** Docker's multiplexed stream: 8 bytes of header (stream, 0, 0, 0, length big-endian) before each piece. */
export const streams = { stdin: 0, stdout: 1, stderr: 2, status: 4 } as const;
export type OutputStream = "stdout" | "stderr";

export const multiplexedType = "application/vnd.docker.multiplexed-stream";
export const rawType = "application/vnd.docker.raw-stream";

/** `status` is for our own command line: an exit code (`POST /containers/{id}/exec` with `Corten-Start`). */
export function frame(stream: keyof typeof streams, data: Uint8Array): Uint8Array {
  const out = Buffer.allocUnsafe(8 + data.length);
  out.writeUInt32BE(streams[stream] << 24, 0);
  out.writeUInt32BE(data.length, 4);
  out.set(data, 8);
  return out;
}
