import { endingVerb } from "./ending.ts";

export default endingVerb((client, name, options) => client.containers.stop(name, options));
