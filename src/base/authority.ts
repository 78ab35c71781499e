/**
 * Gives a gRPC request a host's name for its authority. Go's clients send the path of a unix socket there, escaped or not,
 * with which connect can make no URL; nobody here looks at it.
 */
export function nameHost({ headers }: { readonly headers: object }): void {
  Object.assign(headers, { ":authority": "localhost" });
}
