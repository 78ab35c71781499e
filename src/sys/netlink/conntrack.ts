/** Connection tracking over netlink (kernel: include/uapi/linux/netfilter/nfnetlink_conntrack.h). */
import { Attributes, type NetlinkRequest, NLM_F_ACK, NLM_F_DUMP } from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const AF_INET = 2;
const CTA_TUPLE_ORIG = 1;
const CTA_FILTER = 25;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
const CTA_TUPLE_PROTO = 2;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_DST_PORT = 3;
/** Bits of the filter's flags: compare the protocol's number, and the destination port. */
const BY_PROTOCOL = 1 << 3;
const BY_DESTINATION_PORT = 1 << 5;

const portBytes = (port: number) => Uint8Array.of(port >> 8, port & 255);

/** Forgets the IPv4 flows to a port, as their sender sees it (before any translation). Linux 5.8 and later. */
export function deleteFlowsTo(protocol: number, port: number): NetlinkRequest {
  return {
    type: (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE,
    flags: NLM_F_ACK,
    what: `delete tracked flows to port ${port}`,
    body(out) {
      out.u8(AF_INET);
      out.u8(0);
      out.u16be(0);
      out.nest(CTA_TUPLE_ORIG, () =>
        out.nest(CTA_TUPLE_PROTO, () => {
          out.attributeU8(CTA_PROTO_NUM, protocol);
          out.attribute(CTA_PROTO_DST_PORT, portBytes(port));
        }),
      );
      out.nest(CTA_FILTER, () => {
        out.attributeU32(CTA_FILTER_ORIG_FLAGS, BY_PROTOCOL | BY_DESTINATION_PORT);
        out.attributeU32(CTA_FILTER_REPLY_FLAGS, 0);
      });
    },
  };
}

/** Protocol and original destination port of each tracked IPv4 flow. */
export function listFlows(socket: NetlinkSocket): Array<{ protocol: number; port: number }> {
  return socket
    .query({
      type: (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET,
      flags: NLM_F_DUMP,
      what: "list tracked flows",
      body(out) {
        out.u8(AF_INET);
        out.u8(0);
        out.u16be(0);
      },
    })
    .map(({ payload }) => {
      const tuple = new Attributes(payload.subarray(4)).nested(CTA_TUPLE_ORIG)?.nested(CTA_TUPLE_PROTO);
      const port = tuple?.get(CTA_PROTO_DST_PORT);
      return { protocol: tuple?.get(CTA_PROTO_NUM)?.[0] ?? 0, port: port ? (port[0]! << 8) | port[1]! : 0 };
    });
}
