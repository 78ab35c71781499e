/** rtnetlink requests of traffic control: all that comes in at one link goes out at another (kernel: include/uapi/linux/pkt_sched.h, pkt_cls.h, tc_act/tc_mirred.h). */
import {
  type MessageWriter,
  type NetlinkRequest,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
} from "../sys/netlink/message.ts";

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_NEWTFILTER = 44;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TC_H_INGRESS = 0xfffffff1;
const INGRESS_HANDLE = 0xffff0000;
const TCA_U32_SEL = 5;
const TCA_U32_ACT = 7;
const TC_U32_TERMINAL = 1;
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_MIRRED_PARMS = 2;
const TC_ACT_STOLEN = 4;
const TCA_EGRESS_REDIR = 1;
/** ETH_P_ALL in network order below priority 1. */
const everyProtocol = (1 << 16) | 0x0300;

function header(out: MessageWriter, link: number, handle: number, parent: number, info: number): void {
  out.u32(0); // family and padding
  out.u32(link);
  out.u32(handle);
  out.u32(parent);
  out.u32(info);
}

/** `tc qdisc add dev LINK ingress` */
export const addIngress = (link: number): NetlinkRequest => ({
  type: RTM_NEWQDISC,
  flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
  what: `add ingress to link ${link}`,
  body(out) {
    header(out, link, INGRESS_HANDLE, TC_H_INGRESS, 0);
    out.attributeString(TCA_KIND, "ingress");
  },
});

/** `tc qdisc del dev LINK ingress`, with its filters. */
export const removeIngress = (link: number): NetlinkRequest => ({
  type: RTM_DELQDISC,
  flags: NLM_F_ACK,
  what: `remove ingress of link ${link}`,
  body(out) {
    header(out, link, INGRESS_HANDLE, TC_H_INGRESS, 0);
    out.attributeString(TCA_KIND, "ingress");
  },
});

/** `tc filter add dev FROM parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev TO` */
export const redirect = (from: number, to: number): NetlinkRequest => ({
  type: RTM_NEWTFILTER,
  flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
  what: `redirect link ${from} to ${to}`,
  body(out) {
    header(out, from, 0, INGRESS_HANDLE, everyProtocol);
    out.attributeString(TCA_KIND, "u32");
    out.nest(TCA_OPTIONS, () => {
      // struct tc_u32_sel with one key that matches everything: flags, offset shift, number of keys, then zeros.
      const selector = new Uint8Array(32);
      selector[0] = TC_U32_TERMINAL;
      selector[2] = 1;
      out.attribute(TCA_U32_SEL, selector);
      out.nest(TCA_U32_ACT, () =>
        out.nest(1, () => {
          out.attributeString(TCA_ACT_KIND, "mirred");
          out.nest(TCA_ACT_OPTIONS, () => {
            // struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex.
            const fields = new Uint32Array([0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, to]);
            out.attribute(TCA_MIRRED_PARMS, new Uint8Array(fields.buffer));
          });
        }),
      );
    });
  },
});
