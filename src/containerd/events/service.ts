import type { ServiceImpl } from "@connectrpc/connect";
import type { Events } from "../../../proto/gen/containerd/services/events/v1/events_pb.ts";
import { invalid } from "../../base/errors.ts";
import { namespaceOf } from "../context.ts";
import { checkTopic, type Exchange } from "./exchange.ts";

export function eventsService(exchange: Exchange): ServiceImpl<typeof Events> {
  return {
    publish(request, context) {
      checkTopic(request.topic);
      if (!request.event) throw invalid("event is missing: invalid argument");
      const { event } = request;
      exchange.publishAny(namespaceOf(context), request.topic, () => event);
      return {};
    },
    forward(request) {
      if (!request.envelope) throw invalid("envelope is missing: invalid argument");
      exchange.forward(request.envelope);
      return {};
    },
    // Not a generator itself: the subscription begins with the call, not with the first read.
    subscribe: (request, context) => exchange.subscribe(request.filters, context.signal),
  };
}
