/** One host of a registry: requests with authentication, redirects, and attempts again on what may pass. */
import { sleep } from "../base/async.ts";
import { CortenError, isCode, messageOf } from "../base/errors.ts";
import { span } from "../base/trace.ts";
import type { Authorizer } from "./authorizer.ts";
import { errorOf } from "./errors.ts";
import { describe, discard, exchange, type HttpRequest } from "./http.ts";
import type { Host, RegistryEvent, TlsOptions } from "./types.ts";

export interface EndpointOptions {
  host: Host;
  authorizer: Authorizer;
  /** TLS settings for hosts that answers redirect to. */
  tlsFor: (host: string) => Promise<TlsOptions>;
  userAgent: string;
  attempts: number;
  retryDelay: number;
  onEvent: (event: RegistryEvent) => void;
  signal?: AbortSignal;
}

export interface Call {
  method: HttpRequest["method"];
  /** Below the API's root (`library/nginx/manifests/latest`), or a URL the registry gave. */
  target: string | URL;
  headers?: Record<string, string>;
  body?: HttpRequest["body"];
  scopes: readonly string[];
  /** Statuses that are answers; others are thrown as errors. */
  accept: readonly number[];
}

export interface Answer {
  request: HttpRequest;
  response: Response;
}

const maxRedirects = 10;
const maxRetryAfter = 60_000;

export class Endpoint {
  readonly host: Host;
  readonly #options: EndpointOptions;
  /** Something answered here before: a broken connection is bad luck then, not a wrong address. */
  #answered = false;

  constructor(options: EndpointOptions) {
    this.host = options.host;
    this.#options = options;
  }

  can(capability: "pull" | "resolve" | "push"): boolean {
    return this.host.capabilities?.includes(capability) ?? true;
  }

  url(path: string): URL {
    return new URL(`${this.host.scheme}://${this.host.host}${this.host.path ?? "/v2"}/${path}`);
  }

  /** The refresh token that logging in has brought. */
  identity(): { identitytoken?: string } {
    const { identitytoken } = this.#options.authorizer;
    return identitytoken === undefined ? {} : { identitytoken };
  }

  /** Sends a call until it has an answer that is accepted, or one that trying again would not change. */
  async call(call: Call): Promise<Answer> {
    const url = typeof call.target === "string" ? this.url(call.target) : call.target;
    return span("registry", `${call.method} ${url.pathname}`, async () => {
      for (let attempt = 1; ; attempt++) {
        let wait: number | undefined;
        let failure: CortenError;
        try {
          const answer = await this.#authorized(call, url);
          this.#answered = true;
          if (call.accept.includes(answer.response.status)) return answer;
          wait = retryDelayOf(answer.response);
          failure = await errorOf(answer.request, answer.response);
        } catch (error) {
          if (!isCode(error, "unavailable") || !this.#answered) throw error;
          failure = error as CortenError;
          wait = 0;
        }
        if (wait === undefined || wait > maxRetryAfter || attempt >= this.#options.attempts) throw failure;
        // A streamed body belongs to an upload that has to begin anew: its caller does that.
        if (typeof call.body === "function") throw failure;
        await this.pause(attempt, messageOf(failure), wait);
      }
    });
  }

  /** Waits before attempt number `attempt + 1`, at least `minimum` milliseconds. */
  async pause(attempt: number, reason: string, minimum = 0): Promise<void> {
    const { retryDelay, onEvent, signal } = this.#options;
    onEvent({ kind: "retry", host: this.host.host, attempt, reason });
    const backoff = retryDelay * 2 ** (attempt - 1);
    await sleep(Math.max(minimum, backoff * (0.75 + Math.random() / 2)));
    if (signal?.aborted) throw new CortenError("canceled", `${reason}; canceled`);
  }

  async #authorized(call: Call, url: URL): Promise<Answer> {
    const { authorizer } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const request = this.#request(call, url);
      // The upload location may be on another host, which must not see the credentials.
      const own = url.host === this.host.host && url.protocol === `${this.host.scheme}:`;
      const authorization = own ? await authorizer.header(request, call.scopes) : undefined;
      if (authorization !== undefined) request.headers["authorization"] = authorization;
      await this.#setTls(request);
      const answer = await this.#redirected(request);
      const { response } = answer;
      if (response.status !== 401 || attempt > 2 || answer.request.url.host !== this.host.host) return answer;
      if (!authorizer.accept(response, authorization, call.scopes)) return answer;
      await discard(response);
    }
  }

  #request(call: Call, url: URL): HttpRequest {
    const { userAgent, signal } = this.#options;
    const request: HttpRequest = {
      method: call.method,
      url,
      headers: {
        "user-agent": userAgent,
        ...(url.host === this.host.host ? this.host.headers : {}),
        ...call.headers,
      },
    };
    if (call.body !== undefined) request.body = call.body;
    if (signal) request.signal = signal;
    return request;
  }

  async #setTls(request: HttpRequest): Promise<void> {
    delete request.tls;
    if (request.url.protocol !== "https:") return;
    const own = request.url.host === this.host.host ? this.host.tls : undefined;
    request.tls = own ?? (await this.#options.tlsFor(request.url.host));
  }

  async #redirected(request: HttpRequest): Promise<Answer> {
    let current = request;
    for (let hop = 0; ; hop++) {
      const response = await exchange(current);
      const location = response.headers.get("location");
      const { status } = response;
      const reading = current.method === "GET" || current.method === "HEAD";
      const redirect = (reading && [301, 302, 303].includes(status)) || status === 307 || status === 308;
      if (!redirect || location === null) return { request: current, response };
      await discard(response);
      if (hop >= maxRedirects)
        throw new CortenError("unknown", `${describe(request)}: stopped after ${maxRedirects} redirects`);
      const url = URL.canParse(location, current.url.href) ? new URL(location, current.url) : undefined;
      if (!url || !/^https?:$/.test(url.protocol))
        throw new CortenError("unknown", `${describe(request)}: redirected to an invalid location`);
      // What a tag names must not be told over a connection anybody can write to.
      if (current.url.protocol === "https:" && url.protocol === "http:" && !this.host.tls?.insecureSkipVerify)
        throw new CortenError(
          "permission_denied",
          `${describe(request)}: redirected to ${url.origin} without TLS`,
        );
      const { authorization, ...headers } = current.headers;
      const same = url.origin === current.url.origin;
      if (!same) for (const name of Object.keys(this.host.headers ?? {})) delete headers[name];
      if (same && authorization !== undefined) headers["authorization"] = authorization;
      current = { ...current, url, headers };
      await this.#setTls(current);
    }
  }
}

/** How long to wait before trying again, or undefined when the answer is final. */
function retryDelayOf(response: Response): number | undefined {
  const { status } = response;
  const passing = status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
  if (!passing) return undefined;
  const after = response.headers.get("retry-after");
  if (after === null) return 0;
  if (/^\d{1,9}$/.test(after)) return Number(after) * 1000;
  const date = Date.parse(after);
  return Number.isNaN(date) ? 0 : Math.max(0, date - Date.now());
}
