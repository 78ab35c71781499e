import { expect, test } from "bun:test";
import { parseSize, terminalSizes } from "./sizes.ts";

async function* source(...parts: string[]) {
  for (const part of parts) {
    yield Buffer.from(part);
    // The reader sees each before the next.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const all = async (parts: string[]) => {
  const sizes: string[] = [];
  for await (const { width, height } of terminalSizes(source(...parts))) sizes.push(`${width}x${height}`);
  return sizes;
};

test("sizes come in pieces, with keys in any case", async () => {
  expect(await all(['{"Width":80,"Hei', 'ght":24}\n{"width"', ':1,"height":65535}'])).toEqual([
    "80x24",
    "1x65535",
  ]);
});

test("a reader that is late gets the newest size only", async () => {
  expect(await all(['{"Width":1,"Height":1}{"Width":2,"Height":2}{"Width":3,"Height":3}'])).toEqual(["3x3"]);
});

test("nonsense is no size", async () => {
  for (const text of [
    "{}",
    '{"Width":-1,"Height":2}',
    '{"Width":70000,"Height":2}',
    "{oh}",
    "null}",
    '{"Width":1.5,"Height":2}',
  ])
    expect(parseSize(text)).toBeUndefined();
  expect(await all(["x".repeat(5000), '{"Width":1,"Height":1}'])).toEqual([]);
});

test("without a terminal there are no sizes", async () => {
  for await (const size of terminalSizes(undefined)) expect(size).toBeUndefined();
});
