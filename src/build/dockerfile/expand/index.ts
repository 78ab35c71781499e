export { type ExpandedInstruction, expandInstruction } from "./instruction.ts";
export { type Env, type Expanded, type ExpandOptions, expandWord, expandWords } from "./lex.ts";
