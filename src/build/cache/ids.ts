const letters = "0123456789abcdefghijklmnopqrstuvwxyz";

/** An identifier as BuildKit makes them: 25 digits of base 36. */
export function newId(): string {
  let id = "";
  while (id.length < 25)
    for (const byte of crypto.getRandomValues(new Uint8Array(32)))
      if (byte < 252 && id.length < 25) id += letters[byte % 36];
  return id;
}
