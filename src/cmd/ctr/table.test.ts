import { expect, test } from "bun:test";
import { binarySize, decimalSize, narrow, tabs, tabulate, wide } from "./table.ts";

test("columns are as wide as their longest cell, and the header of a cut row stands alone", () => {
  expect(tabulate(["TASK\tPID\tSTATUS\t", "web\t22930\tRUNNING"], wide)).toBe(
    "TASK    PID      STATUS    \nweb     22930    RUNNING\n",
  );
  expect(tabulate(["NAME\tLABELS\t"], narrow)).toBe("NAME LABELS \n");
});

test("an empty column has no width", () => {
  expect(tabulate(["a\t\tb\t", "c\t\td\t"], narrow)).toBe("a b \nc d \n");
});

test("tab padding goes to multiples of eight", () => {
  expect(tabulate(["DIGEST\tSIZE\tL", `sha256:${"a".repeat(64)}\t1kB\tx=y`], tabs)).toBe(
    `DIGEST\t\t\t\t\t\t\t\t\tSIZE\tL\nsha256:${"a".repeat(64)}\t1kB\tx=y\n`,
  );
});

test("sizes and ages read as Go's", () => {
  expect(binarySize(1_101_878)).toBe("1.1 MiB");
  expect(binarySize(405)).toBe("405.0 B");
  expect(decimalSize(1_101_878)).toBe("1.102MB");
  expect(decimalSize(358)).toBe("358B");
});
