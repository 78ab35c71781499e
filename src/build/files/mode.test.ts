import { expect, test } from "bun:test";
import { parseMode } from "./mode.ts";

const cases: [text: string, from: number, to: number, isDirectory?: boolean][] = [
  ["755", 0o600, 0o755],
  ["4711", 0o600, 0o4711],
  ["u+x", 0o644, 0o744],
  ["+x", 0o644, 0o755],
  ["a-w", 0o666, 0o444],
  ["u=rwx,go=", 0o4775, 0o700],
  ["g=u", 0o740, 0o770],
  ["o=g-w", 0o760, 0o764],
  ["a+X", 0o644, 0o644],
  ["a+X", 0o744, 0o755],
  ["a+X", 0o644, 0o755, true],
  ["u+s,g+s,+t", 0o755, 0o7755],
  ["o+s", 0o755, 0o755],
  ["ug=rw", 0o777, 0o667],
  ["a=", 0o7777, 0],
];

for (const [text, from, to, isDirectory = false] of cases)
  test(`${text} makes ${to.toString(8)} of ${from.toString(8)}${isDirectory ? ", a directory's" : ""}`, () => {
    expect(parseMode(text)(from, isDirectory).toString(8)).toBe(to.toString(8));
  });

test("what is no mode is refused", () => {
  for (const text of ["", "8", "17777", "u", "u+q", "x+u", "u+x,", "u=ug"])
    expect(() => parseMode(text)).toThrow("invalid mode");
});

test("the same text as chmod does the same as chmod", () => {
  const { stdout, exitCode } = Bun.spawnSync([
    "sh",
    "-c",
    'umask 0; d=$(mktemp -d); for m in u+x a-w,u+s g=u,o= ug=rwX +t a=rX,u+w; do touch $d/f; chmod 640 $d/f; chmod "$m" $d/f; printf "%s %s\\n" "$m" $(stat -c %a $d/f); done; rm -r $d',
  ]);
  expect(exitCode).toBe(0);
  for (const line of stdout.toString().trim().split("\n")) {
    const [text = "", mode] = line.split(" ");
    expect(`${text} ${parseMode(text)(0o640, false).toString(8)}`).toBe(`${text} ${mode}`);
  }
});
