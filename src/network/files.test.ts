import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostnameFile, hostsFile, readHostResolvConf, resolvConf } from "./files.ts";

const dir = mkdtempSync(join(tmpdir(), "corten-files-"));
afterAll(() => rmSync(dir, { recursive: true }));

test("hosts has Docker's lines, the extra hosts, then the container's own", () => {
  const text = hostsFile({
    hostname: "web",
    addresses: ["172.17.0.2", "172.18.0.2"],
    extraHosts: ["db:10.0.0.5", "six=[2001:db8::1]", "host.docker.internal:host-gateway"],
    hostGateway: "172.17.0.1",
  });
  expect(text).toBe(
    "127.0.0.1\tlocalhost\n" +
      "::1\tlocalhost ip6-localhost ip6-loopback\n" +
      "fe00::\tip6-localnet\n" +
      "ff00::\tip6-mcastprefix\n" +
      "ff02::1\tip6-allnodes\n" +
      "ff02::2\tip6-allrouters\n" +
      "10.0.0.5\tdb\n" +
      "2001:db8::1\tsix\n" +
      "172.17.0.1\thost.docker.internal\n" +
      "172.17.0.2\tweb\n" +
      "172.18.0.2\tweb\n",
  );
});

test("a domain name makes the full name the first; the host network starts from the host's file", () => {
  expect(hostsFile({ hostname: "a", domainname: "b.c", addresses: ["10.0.0.1"], base: "127.0.0.1 me" })).toBe(
    "127.0.0.1 me\n10.0.0.1\ta.b.c a\n",
  );
});

test("extra hosts that make no sense are refused", () => {
  const bad = (extra: string) => () => hostsFile({ hostname: "x", addresses: [], extraHosts: [extra] });
  expect(bad("nothing")).toThrow('bad format for add-host: "nothing"');
  expect(bad("a:b")).toThrow('invalid IP address in add-host: "b"');
  expect(bad("a:host-gateway")).toThrow("unable to derive the IP value for host-gateway");
});

const host =
  "# comment\nnameserver 127.0.0.53\nnameserver 10.0.0.53 # inline\nnameserver fe80::1%2\nsearch a.example b.example\noptions ndots:2 edns0\n";

test("resolv.conf is the host's without the nameservers a container cannot reach", () => {
  expect(resolvConf({ base: host })).toBe(
    "search a.example b.example\nnameserver 10.0.0.53\noptions ndots:2 edns0\n",
  );
  expect(resolvConf({ base: host, hostNetwork: true })).toBe(host);
});

test("without a usable nameserver the public ones are taken", () => {
  expect(resolvConf({ base: "nameserver ::1\n" })).toBe("nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
  expect(resolvConf({ base: "" })).toBe("nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
});

test("what the user gives replaces the host's lines of its kind only", () => {
  expect(resolvConf({ base: host, nameservers: ["127.0.0.1"] })).toBe(
    "search a.example b.example\nnameserver 127.0.0.1\noptions ndots:2 edns0\n",
  );
  expect(resolvConf({ base: host, search: ["."], options: ["timeout:1"] })).toBe(
    "nameserver 10.0.0.53\noptions timeout:1\n",
  );
});

test("behind systemd-resolved the servers it asks are taken", () => {
  const [stub, real] = [join(dir, "stub"), join(dir, "real")];
  writeFileSync(stub, "nameserver 127.0.0.53\n");
  writeFileSync(real, "nameserver 192.0.2.53\n");
  expect(readHostResolvConf(stub, real)).toBe("nameserver 192.0.2.53\n");
  expect(readHostResolvConf(stub, join(dir, "absent"))).toBe("nameserver 127.0.0.53\n");
  expect(readHostResolvConf(join(dir, "absent"))).toBe("");
});

test("hostname is a line", () => {
  expect(hostnameFile("web")).toBe("web\n");
});
