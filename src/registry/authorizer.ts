/** Answers a registry's challenges: basic, and bearer tokens (distribution's token and OAuth2 specifications). */
import { CortenError } from "../base/errors.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import { errorOf } from "./errors.ts";
import { describe, exchange, type HttpRequest, readBody } from "./http.ts";
import type { Credentials, TlsOptions } from "./types.ts";

export interface AuthorizerOptions {
  /** Asked once, when the registry first challenges. */
  credentials: () => Promise<Credentials | undefined>;
  /** TLS settings for the token server. */
  tlsFor: (host: string) => Promise<TlsOptions>;
  userAgent: string;
  /** Ask token servers for a refresh token, too. */
  offline?: boolean;
  signal?: AbortSignal;
}

interface Token {
  value: string;
  /** Milliseconds since 1970. */
  expires: number;
}

const maxTokenAnswer = 1024 * 1024;
/** Tokens without a lifetime, or with less, live this long (token specification: at least 60 seconds). */
const minimumLifetime = 60;
/** A token is renewed this long before it ends. */
const margin = 10_000;
const clientId = "corten";

/** Keeps what one host asked for, and its tokens by scope. Nothing is sent before the host asked. */
export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #tokens = new Map<string, Promise<Token>>();
  #challenge: Challenge | undefined;
  #credentials: Promise<Credentials | undefined> | undefined;

  /** The refresh token that came with a token, for who may keep one in place of the password. */
  identitytoken: string | undefined;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  /** The Authorization header for a request on these scopes, or undefined when none was asked for. */
  async header(request: HttpRequest, scopes: readonly string[]): Promise<string | undefined> {
    const challenge = this.#challenge;
    if (!challenge) return undefined;
    this.#credentials ??= this.#options.credentials();
    const credentials = await this.#credentials;
    if (challenge.scheme === "basic") {
      if (!credentials?.username)
        throw new CortenError("unauthenticated", `${describe(request)}: no basic auth credentials`);
      return basic(credentials);
    }
    if (credentials?.registrytoken) return `Bearer ${credentials.registrytoken}`;
    return `Bearer ${(await this.#token(request, challenge, credentials, scopes)).value}`;
  }

  /**
   * Takes the challenge of a 401. False when there is none that can be answered, or when it was answered
   * already and refused, so that asking again would not help.
   */
  accept(response: Response, sent: string | undefined, scopes: readonly string[]): boolean {
    const offered = parseChallenges(response.headers.get("www-authenticate") ?? "");
    const challenge =
      offered.find(({ scheme, parameters }) => scheme === "bearer" && parameters["realm"] !== undefined) ??
      offered.find(({ scheme }) => scheme === "basic");
    if (!challenge) return false;
    if (sent !== undefined) {
      // A token may have ended before its time or been made for other scopes; basic credentials are just wrong.
      if (challenge.scheme === "basic" || challenge.parameters["error"] === "insufficient_scope")
        return false;
      this.#tokens.delete(keyOf(this.#challenge ?? challenge, scopes));
    }
    this.#challenge = challenge;
    return true;
  }

  #token(
    request: HttpRequest,
    challenge: Challenge,
    credentials: Credentials | undefined,
    scopes: readonly string[],
  ) {
    const key = keyOf(challenge, scopes);
    const make = () => {
      const fresh = this.#requestToken(request, challenge, credentials, scopes);
      this.#tokens.set(key, fresh);
      fresh.catch(() => {
        if (this.#tokens.get(key) === fresh) this.#tokens.delete(key);
      });
      return fresh;
    };
    const cached = this.#tokens.get(key);
    return cached ? cached.then((token) => (token.expires > Date.now() + margin ? token : make())) : make();
  }

  async #requestToken(
    cause: HttpRequest,
    challenge: Challenge,
    credentials: Credentials | undefined,
    scopes: readonly string[],
  ): Promise<Token> {
    const realm = challenge.parameters["realm"] ?? "";
    const url = URL.canParse(realm) ? new URL(realm) : undefined;
    if (!url || !/^https?:$/.test(url.protocol))
      throw new CortenError("unauthenticated", `${describe(cause)}: invalid token auth challenge realm`);
    const secret = credentials?.identitytoken || credentials?.password;
    if (secret && url.protocol === "http:" && cause.url.protocol === "https:")
      throw new CortenError(
        "unauthenticated",
        `${describe(cause)}: refusing to send credentials to ${url.origin} without TLS`,
      );
    const request: HttpRequest = {
      method: "GET",
      url,
      headers: { accept: "application/json", "user-agent": this.#options.userAgent },
      ...(this.#options.signal && { signal: this.#options.signal }),
    };
    if (url.protocol === "https:") request.tls = await this.#options.tlsFor(url.host);
    const service = challenge.parameters["service"];
    if (credentials?.identitytoken) {
      const form = new URLSearchParams({
        grant_type: "refresh_token",
        refresh_token: credentials.identitytoken,
      });
      form.set("client_id", clientId);
      if (service !== undefined) form.set("service", service);
      if (scopes.length > 0) form.set("scope", scopes.join(" "));
      request.method = "POST";
      request.headers["content-type"] = "application/x-www-form-urlencoded";
      request.body = form.toString();
    } else {
      if (service !== undefined) url.searchParams.set("service", service);
      for (const scope of scopes) url.searchParams.append("scope", scope);
      if (credentials?.username && credentials.password) {
        url.searchParams.set("account", credentials.username);
        url.searchParams.set("client_id", clientId);
        if (this.#options.offline) url.searchParams.set("offline_token", "true");
        request.headers["authorization"] = basic(credentials);
      }
    }
    const response = await exchange(request);
    if (!response.ok) throw await errorOf(request, response);
    const body = await readBody(request, response, maxTokenAnswer);
    if (this.#options.offline) this.identitytoken = readRefreshToken(body);
    return readToken(request, body);
  }
}

function readRefreshToken(body: Uint8Array): string | undefined {
  try {
    const { refresh_token } = JSON.parse(new TextDecoder().decode(body)) as Record<string, unknown>;
    return typeof refresh_token === "string" && refresh_token !== "" ? refresh_token : undefined;
  } catch {
    return undefined;
  }
}

function readToken(request: HttpRequest, body: Uint8Array): Token {
  let answer: unknown;
  try {
    answer = JSON.parse(new TextDecoder().decode(body));
  } catch {
    answer = undefined;
  }
  const { token, access_token, expires_in, issued_at } = (answer ?? {}) as Record<string, unknown>;
  const value = typeof token === "string" && token !== "" ? token : access_token;
  if (typeof value !== "string" || value === "" || /[^\x21-\x7e]/.test(value))
    throw new CortenError(
      "unauthenticated",
      `${describe(request)}: authorization server did not include a token in the response`,
    );
  const lifetime = Math.max(typeof expires_in === "number" ? expires_in : 0, minimumLifetime);
  const issued = typeof issued_at === "string" ? Date.parse(issued_at) : Number.NaN;
  // A token server whose clock is ahead must not make its tokens last longer here.
  return {
    value,
    expires: Math.min(Number.isNaN(issued) ? Date.now() : issued, Date.now()) + lifetime * 1000,
  };
}

const basic = (credentials: Credentials): string =>
  `Basic ${Buffer.from(`${credentials.username ?? ""}:${credentials.password ?? ""}`).toString("base64")}`;

const keyOf = (challenge: Challenge, scopes: readonly string[]): string =>
  JSON.stringify([challenge.parameters["realm"], challenge.parameters["service"], [...scopes].sort()]);
