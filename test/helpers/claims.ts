/**
 * What is the machine's and there once (a port, a subnet) is claimed before it is used, until this process has ended: tests
 * of other processes would choose the same. A claim is an abstract socket's name, which the kernel gives to one alone.
 */
export function claim(what: string): boolean {
  try {
    Bun.listen({ unix: `\0corten-test/${what}`, socket: { data() {} } }).unref();
    return true;
  } catch {
    return false;
  }
}

/** One of `from` up to `to` that nobody else has claimed. */
export async function claimOne(
  kind: string,
  from: number,
  to: number,
  usable: (number: number) => boolean | Promise<boolean> = () => true,
): Promise<number> {
  const first = Math.floor(Math.random() * (to - from));
  for (let at = 0; at < to - from; at++) {
    const number = from + ((first + at) % (to - from));
    if (claim(`${kind}/${number}`) && (await usable(number))) return number;
  }
  throw new Error(`no ${kind} of ${from} to ${to} is free`);
}

/** The first three numbers of a subnet of 256 addresses that no other test has, of those that CRI's servers take theirs from. */
export async function claimSubnet(): Promise<string> {
  const slot = await claimOne("subnet", 0, 16_000);
  return `10.${192 + (slot >> 8)}.${slot & 255}`;
}
