import { expect, test } from "bun:test";
import { parseLink, variables } from "./links.ts";

test("a link is a name, with an alias, or as inspect shows it", () => {
  expect(parseLink("db")).toEqual({ name: "db", alias: "db" });
  expect(parseLink("db:store")).toEqual({ name: "db", alias: "store" });
  expect(parseLink("/db:/web/store")).toEqual({ name: "db", alias: "store" });
  for (const bad of ["a:b:c", "", ":x", "x:"]) expect(() => parseLink(bad)).toThrow("bad format for links");
});

test("a link's variables tell address, ports and the other's environment", () => {
  expect(
    variables("/web/my-db", "172.17.0.2", ["53/udp", "81/tcp", "80/tcp"], ["PATH=/bin", "A=b=c"]),
  ).toEqual([
    "MY_DB_PORT=tcp://172.17.0.2:80",
    "MY_DB_PORT_80_TCP=tcp://172.17.0.2:80",
    "MY_DB_PORT_80_TCP_ADDR=172.17.0.2",
    "MY_DB_PORT_80_TCP_PORT=80",
    "MY_DB_PORT_80_TCP_PROTO=tcp",
    "MY_DB_PORT_81_TCP=tcp://172.17.0.2:81",
    "MY_DB_PORT_81_TCP_ADDR=172.17.0.2",
    "MY_DB_PORT_81_TCP_PORT=81",
    "MY_DB_PORT_81_TCP_PROTO=tcp",
    "MY_DB_PORT_53_UDP=udp://172.17.0.2:53",
    "MY_DB_PORT_53_UDP_ADDR=172.17.0.2",
    "MY_DB_PORT_53_UDP_PORT=53",
    "MY_DB_PORT_53_UDP_PROTO=udp",
    "MY_DB_PORT_80_TCP_START=tcp://172.17.0.2:80",
    "MY_DB_PORT_80_TCP_PORT_START=80",
    "MY_DB_PORT_80_TCP_END=tcp://172.17.0.2:81",
    "MY_DB_PORT_80_TCP_PORT_END=81",
    "MY_DB_NAME=/web/my-db",
    "MY_DB_ENV_A=b=c",
  ]);
});
