/** The help of `--format`. */
export const formatHelp = `Format of the output:
'table':            columns with headers (default)
'table TEMPLATE':   the same with other columns
'json':             one JSON object per line
'TEMPLATE':         a Go template per line`;

export const inspectFormatHelp = `Format of the output:
'json':             JSON without spaces
'TEMPLATE':         a Go template`;
