import { expect, test } from "bun:test";
import { pipe } from "../http2/pipe.ts";
import { Sessions } from "./sessions.ts";

const never = new AbortController().signal;
const headers = (id: string) => ({ id, sharedKey: "", methods: ["/moby.filesync.v1.FileSync/diffcopy"] });

test("a build waits for its session, which ends with its connection", async () => {
  const sessions = new Sessions();
  const waiting = sessions.get("a", never);
  const [here, there] = pipe();
  const served = sessions.serve(here, headers("a"));
  expect((await waiting).id).toBe("a");
  there.destroy();
  await served;
  const abort = new AbortController();
  const late = sessions.get("a", abort.signal).catch((error) => String(error));
  abort.abort();
  expect(await late).toContain("canceled");
});

test("an id is there once", async () => {
  const sessions = new Sessions();
  const [here] = pipe();
  void sessions.serve(here, headers("a"));
  expect(() => sessions.check(headers("a"))).toThrow("already exists");
  expect(() => sessions.check(headers(""))).toThrow("needs an id");
  sessions.close();
});
