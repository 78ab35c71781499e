/* rtnetlink, for what a container's network namespace needs from inside. */
#include "plan.h"
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

struct request {
	struct nlmsghdr header;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg address;
		struct rtmsg route;
	};
	char attributes[512];
};

static void begin(struct request *r, uint16_t type, uint16_t flags, size_t body)
{
	*r = (struct request){0};
	r->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
	r->header.nlmsg_type = type;
	r->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
}

static int add(struct request *r, uint16_t type, const void *data, size_t size)
{
	size_t at = NLMSG_ALIGN(r->header.nlmsg_len), end = at + RTA_ALIGN(RTA_LENGTH(size));
	if (end > sizeof *r)
		return -EMSGSIZE;
	struct rtattr *a = (struct rtattr *)((char *)r + at);
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(size);
	if (size > 0)
		memcpy(RTA_DATA(a), data, size);
	r->header.nlmsg_len = (uint32_t)end;
	return 0;
}

/* Sends one request and returns the kernel's answer to it. */
static int ask(struct request *r)
{
	auto_fd sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (sock < 0 || send(sock, r, r->header.nlmsg_len, 0) < 0)
		return -errno;
	union {
		struct nlmsghdr header;
		char space[4096];
	} answer;
	ssize_t n = recv(sock, &answer, sizeof answer, 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < NLMSG_LENGTH(sizeof(int)) || answer.header.nlmsg_type != NLMSG_ERROR)
		return -EBADMSG;
	return ((struct nlmsgerr *)NLMSG_DATA(&answer.header))->error;
}

static int link_index(const char *name)
{
	unsigned index = if_nametoindex(name);
	return index ? (int)index : errno ? -errno : -ENODEV;
}

static int begin_link(struct request *r, const char *name)
{
	int index = link_index(name);
	if (index < 0)
		return index;
	begin(r, RTM_NEWLINK, 0, sizeof r->link);
	r->link.ifi_index = index;
	return 0;
}

static int op_link_up(struct machine *m, const struct arg *args)
{
	(void)m;
	const struct op_link_up *o = (const void *)args;
	struct request r;
	int error = begin_link(&r, o->name.s);
	if (error < 0)
		return error;
	r.link.ifi_flags = r.link.ifi_change = IFF_UP;
	return ask(&r);
}

static int op_link_rename(struct machine *m, const struct arg *args)
{
	(void)m;
	const struct op_link_rename *o = (const void *)args;
	struct request r;
	int error = begin_link(&r, o->name.s);
	if (error == 0)
		error = add(&r, IFLA_IFNAME, o->new_name.s, o->new_name.n + 1);
	return error < 0 ? error : ask(&r);
}

static int op_link_move(struct machine *m, const struct arg *args)
{
	const struct op_link_move *o = (const void *)args;
	struct request r;
	uint32_t pid = (uint32_t)m->pid;
	int error = begin_link(&r, o->name.s);
	if (error == 0)
		error = add(&r, IFLA_NET_NS_PID, &pid, sizeof pid);
	if (error == 0 && o->new_name.n > 0)
		error = add(&r, IFLA_IFNAME, o->new_name.s, o->new_name.n + 1);
	return error < 0 ? error : ask(&r);
}

static int family(const struct arg *bytes)
{
	return bytes->n == 4 ? AF_INET : bytes->n == 16 ? AF_INET6 : -EINVAL;
}

static int op_address(struct machine *m, const struct arg *args)
{
	(void)m;
	const struct op_address *o = (const void *)args;
	struct request r;
	int index = link_index(o->name.s), f = family(&o->address);
	if (index < 0 || f < 0)
		return index < 0 ? index : f;
	const struct arg *peer = o->peer.n == o->address.n ? &o->peer : &o->address;
	begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof r.address);
	r.address.ifa_family = (uint8_t)f;
	r.address.ifa_prefixlen = (uint8_t)o->prefix.u;
	r.address.ifa_scope = (uint8_t)o->scope.u;
	r.address.ifa_index = (uint32_t)index;
	int error = add(&r, IFA_LOCAL, o->address.s, o->address.n);
	if (error == 0)
		error = add(&r, IFA_ADDRESS, peer->s, peer->n);
	return error < 0 ? error : ask(&r);
}

static int op_route(struct machine *m, const struct arg *args)
{
	(void)m;
	const struct op_route *o = (const void *)args;
	struct request r;
	int f = family(o->destination.n ? &o->destination : &o->gateway);
	if (f < 0)
		return f;
	begin(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof r.route);
	r.route.rtm_family = (uint8_t)f;
	r.route.rtm_dst_len = (uint8_t)o->prefix.u;
	r.route.rtm_table = RT_TABLE_MAIN;
	r.route.rtm_protocol = RTPROT_STATIC;
	r.route.rtm_type = RTN_UNICAST;
	r.route.rtm_scope = (uint8_t)o->scope.u;
	int error = 0, index = 0;
	if (o->destination.n > 0)
		error = add(&r, RTA_DST, o->destination.s, o->destination.n);
	if (error == 0 && o->gateway.n > 0)
		error = add(&r, RTA_GATEWAY, o->gateway.s, o->gateway.n);
	if (error == 0 && o->name.n > 0) {
		index = link_index(o->name.s);
		error = index < 0 ? index : add(&r, RTA_OIF, &index, sizeof index);
	}
	if (error == 0 && o->metric.u > 0)
		error = add(&r, RTA_PRIORITY, &(uint32_t){(uint32_t)o->metric.u}, sizeof(uint32_t));
	return error < 0 ? error : ask(&r);
}

op_function network_operation(uint16_t number)
{
	switch (number) {
	case OP_LINK_UP: return op_link_up;
	case OP_LINK_RENAME: return op_link_rename;
	case OP_LINK_MOVE: return op_link_move;
	case OP_ADDRESS: return op_address;
	case OP_ROUTE: return op_route;
	default: return NULL;
	}
}
