import { endingVerb } from "./ending.ts";

export default endingVerb((client, name, options) => client.containers.restart(name, options));
