/** `org.systemd.property.NAME` annotations: properties of the unit in GVariant's text format. */
import { invalid, messageOf } from "../../../base/errors.ts";
import type { DbusValue, Variant } from "../../../sys/dbus/message.ts";
import { type Property, property } from "./properties.ts";

const prefix = "org.systemd.property.";

export function annotatedProperties(annotations: Readonly<Record<string, string>> | undefined): Property[] {
  return Object.entries(annotations ?? {}).flatMap(([key, text]) => {
    if (!key.startsWith(prefix)) return [];
    const name = key.slice(prefix.length);
    if (name.length < 3) throw invalid(`annotation ${key} name incorrect: too short`);
    if (!/^[a-zA-Z]+$/.test(name))
      throw invalid(`annotation ${key} name incorrect: contains non-alphabetic character`);
    try {
      const { signature, value } = parseVariant(text);
      // The manual writes TimeoutStopSec=; on the bus it is TimeoutStopUSec, in microseconds.
      if (!/[a-z]Sec$/.test(name)) return [property(name, signature, value)];
      if (typeof value !== "number" && typeof value !== "bigint") throw invalid("not a number");
      return [property(`${name.slice(0, -"Sec".length)}USec`, "t", BigInt(value) * 1_000_000n)];
    } catch (error) {
      throw invalid(`annotation ${key}=${text} value parse error: ${messageOf(error)}`);
    }
  });
}

const numberTypes: Record<string, [signature: string, least: bigint, most: bigint]> = {
  byte: ["y", 0n, 255n],
  int16: ["n", -(2n ** 15n), 2n ** 15n - 1n],
  uint16: ["q", 0n, 2n ** 16n - 1n],
  int32: ["i", -(2n ** 31n), 2n ** 31n - 1n],
  uint32: ["u", 0n, 2n ** 32n - 1n],
  int64: ["x", -(2n ** 63n), 2n ** 63n - 1n],
  uint64: ["t", 0n, 2n ** 64n - 1n],
};

/** Booleans, integers, strings and lists of one of them, with or without a type before them. */
export function parseVariant(text: string): Variant {
  const tokens =
    text.match(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|@?[a-z][a-z0-9]*|[-+]?\d[\da-fx]*|[[\],]|\S/gi) ?? [];
  let at = 0;
  const one = (): Variant => {
    const token = tokens[at++];
    if (token === undefined) throw invalid("unexpected end");
    if (token === "[") return list("");
    // "@as []": the type of a list that may be empty.
    if (token.startsWith("@a") && tokens[at] === "[") {
      at++;
      return list(token.slice(2));
    }
    if (token === "true" || token === "false") return { signature: "b", value: token === "true" };
    if (token.startsWith("'") || token.startsWith('"'))
      return { signature: "s", value: token.slice(1, -1).replace(/\\(.)/g, "$1") };
    if (token === "string") return one();
    const type = numberTypes[token];
    if (type) return number(tokens[at++] ?? "", type);
    return number(token, numberTypes["int32"]!);
  };
  const list = (item: string): Variant => {
    const values: DbusValue[] = [];
    let signature = item;
    while (tokens[at] !== "]") {
      if (values.length > 0 && tokens[at++] !== ",") throw invalid("a list without a comma");
      const next = one();
      signature ||= next.signature;
      if (next.signature !== signature) throw invalid("a list of different types");
      values.push(next.value);
    }
    at++;
    if (!signature) throw invalid("a list of unknown type");
    return { signature: `a${signature}`, value: values };
  };
  const result = one();
  if (at < tokens.length) throw invalid(`unexpected ${tokens[at]}`);
  return result;
}

function number(token: string, [signature, least, most]: [string, bigint, bigint]): Variant {
  const [, sign, digits = ""] = token.match(/^([-+]?)(0x[\da-f]+|\d+)$/i) ?? [];
  if (!digits) throw invalid(`unexpected ${JSON.stringify(token)}`);
  const value = sign === "-" ? -BigInt(digits) : BigInt(digits);
  if (value < least || value > most) throw invalid(`${token} is out of range`);
  return { signature, value: signature === "x" || signature === "t" ? value : Number(value) };
}
