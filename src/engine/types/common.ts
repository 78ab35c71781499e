/**
 * The Engine API's JSON, as of API 1.50 (https://docs.docker.com/reference/api/engine/version/v1.50/), written
 * with the field names of the wire. Both ends use it: the client in this folder and the server in `dockerd/`.
 *
 * Go writes empty slices and maps as `null` in many places and reads `null` everywhere; fields that real
 * servers send as null say so. Bodies that clients send are `Sent<T>`: every field optional and nullable.
 */

/** A body as clients send it: any field may be absent or null. */
export type Sent<T> = { [K in keyof T]?: T[K] | null };

/** Go's `map[string]struct{}`. */
export type StringSet = Record<string, Record<string, never>>;

/** Every error answer. */
export interface ErrorResponse {
  message: string;
}

export interface IdResponse {
  Id: string;
}
