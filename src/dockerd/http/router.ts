import { CortenError, invalid } from "../../base/errors.ts";
import { assumedApiVersion } from "../../engine/version.ts";
import type { Reply } from "../../http/reply.ts";
import type { RequestBody, RequestHead } from "../../http/request.ts";
import type { Incoming } from "../../http/server.ts";
import type { Shape } from "./decode.ts";
import { decode } from "./decode.ts";
import { Query } from "./query.ts";

export const apiVersion = assumedApiVersion;
export const minApiVersion = "1.24";

export type Method = "GET" | "POST" | "PUT" | "DELETE" | "HEAD";

/** A client older than JSON errors: it is answered in plain text. */
export class TooOld extends CortenError {
  constructor(message: string) {
    super("invalid_argument", message);
  }
}

/** Everything a handler knows of its request. */
export interface Call<D> {
  daemon: D;
  head: RequestHead;
  body: RequestBody;
  reply: Reply;
  readonly signal: AbortSignal;
  /** Named parts of the path, decoded. */
  params: Record<string, string>;
  query: Query;
  /** The version of the path, or the newest. */
  version: string;
}

export type Handler<D> = (call: Call<D>) => Promise<void> | void;

/** `METHOD /path/{name}`; a name that ends in `...` takes slashes too. */
export type Route<D> = readonly [pattern: `${Method} /${string}`, handler: Handler<D>];

/** Bodies of JSON are bounded; streams (archives, images) are not read through this. */
export const jsonLimit = 8 << 20;

/** The JSON body of a call; absent is `{}`. */
export async function bodyOf<T>(call: Call<unknown>, shape: Shape): Promise<T> {
  const text = await call.body.text(jsonLimit);
  if (text.trim() === "") return {} as T;
  const type = call.head.headers.get("content-type")?.split(";")[0]?.trim();
  if (type !== undefined && type !== "" && type !== "application/json")
    throw invalid(`unsupported Content-Type header (${type}): must be 'application/json'`);
  return decode<T>(shape, text);
}

export function compareVersions(a: string, b: string): number {
  const [majorA, minorA] = a.split(".").map(Number) as [number, number];
  const [majorB, minorB] = b.split(".").map(Number) as [number, number];
  return majorA - majorB || minorA - minorB;
}

/** True when the client speaks at least `version`. */
export const atLeast = (call: Call<unknown>, version: string): boolean =>
  compareVersions(call.version, version) >= 0;

interface Compiled<D> {
  /** The path's parts; a name is in braces. */
  parts: readonly string[];
  /** Only where a part takes slashes: then the parts are not compared one by one. */
  pattern: RegExp | undefined;
  names: string[];
  handler: Handler<D>;
  text: string;
}

/** The values of a route's names in a path that fits it, in their order. */
function fit<D>(route: Compiled<D>, path: string, parts: readonly string[]): string[] | undefined {
  if (route.pattern) return route.pattern.exec(path)?.slice(1);
  const wanted = route.parts;
  if (wanted.length !== parts.length) return undefined;
  const values: string[] = [];
  for (let index = wanted.length - 1; index > 0; index--) {
    const part = parts[index]!;
    if (wanted[index]!.startsWith("{")) {
      if (part === "") return undefined;
      values.unshift(part);
    } else if (wanted[index] !== part) return undefined;
  }
  return values;
}

/** Finds the handler of a request by method and first path segment, then pattern. */
export class Router<D> {
  readonly #daemon: D;
  readonly #routes = new Map<string, Compiled<D>[]>();
  readonly #serverName: string;
  readonly #experimental: boolean;

  constructor(daemon: D, routes: readonly Route<D>[], serverName: string, experimental = false) {
    this.#daemon = daemon;
    this.#serverName = serverName;
    this.#experimental = experimental;
    for (const [text, handler] of routes) {
      const [method, path] = text.split(" ") as [Method, string];
      const names: string[] = [];
      const source = path.replace(/\{(\w+)(\.\.\.)?\}|[.]/g, (found, name?: string, rest?: string) => {
        if (found === ".") return "\\.";
        names.push(name!);
        return rest ? "(.+)" : "([^/]+)";
      });
      const key = `${method} ${path.split("/")[1]}`;
      const list = this.#routes.get(key) ?? [];
      const pattern = path.includes("...}") ? new RegExp(`^${source}/?$`) : undefined;
      list.push({ parts: path.split("/"), pattern, names, handler, text });
      this.#routes.set(key, list);
    }
  }

  /** The route of a request and its call; throws not_found for a page that does not exist. */
  find(incoming: Incoming): { call: Call<D>; handler: Handler<D>; route: string } {
    const { head, body, reply } = incoming;
    reply.header("Server", this.#serverName);
    reply.header("Api-Version", apiVersion);
    reply.header("Docker-Experimental", String(this.#experimental));
    reply.header("Ostype", "linux");
    // Clients may send the absolute form.
    const target = head.target.replace(/^https?:\/\/[^/]*/, "");
    const mark = target.indexOf("?");
    let path = mark < 0 ? target : target.slice(0, mark);
    let version = apiVersion;
    const versioned = /^\/v(\d+\.\d+)(\/.*)$/.exec(path);
    if (versioned) {
      version = versioned[1]!;
      path = versioned[2]!;
      if (version !== apiVersion && compareVersions(version, apiVersion) > 0)
        throw invalid(`client version ${version} is too new. Maximum supported API version is ${apiVersion}`);
      if (compareVersions(version, minApiVersion) < 0)
        throw new TooOld(
          `client version ${version} is too old. Minimum supported API version is ${minApiVersion}, please upgrade your client to a newer version`,
        );
    }
    const parts = path.split("/");
    if (parts.length > 2 && parts.at(-1) === "") parts.pop();
    for (const route of this.#routes.get(`${head.method} ${parts[1]}`) ?? []) {
      const values = fit(route, path, parts);
      if (!values) continue;
      const params: Record<string, string> = {};
      for (const [index, name] of route.names.entries()) params[name] = decodePart(values[index]!);
      const query = new Query(mark < 0 ? "" : target.slice(mark + 1));
      const call = {
        daemon: this.#daemon,
        head,
        body,
        reply,
        get signal() {
          return incoming.signal;
        },
        params,
        query,
        version,
      };
      return { call, handler: route.handler, route: route.text };
    }
    throw new CortenError("not_found", "page not found");
  }
}

function decodePart(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid(`invalid URL escape in ${JSON.stringify(text)}`);
  }
}
