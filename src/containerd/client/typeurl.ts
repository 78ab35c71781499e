/** Any and its type URLs are the shim's business as well, which may not import from here. */
export {
  bareName,
  packAny,
  packOptions,
  packProcess,
  packRuntimeOptions,
  packSpec,
  unpackAny,
  unpackProcess,
  unpackSpec,
} from "../../shim/typeurl.ts";
