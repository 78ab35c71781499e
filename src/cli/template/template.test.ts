import { describe, expect, test } from "bun:test";
import { Template } from "./execute.ts";
import { TemplateError } from "./lex.ts";
import { Row } from "./value.ts";

const render = (source: string, data: unknown = {}) => new Template(source).execute(data);

describe("templates", () => {
  const cases: Array<[string, unknown, string]> = [
    ["a{{.X}}b", { X: 1 }, "a1b"],
    ["{{.A.B.C}}", { A: { B: { C: "deep" } } }, "deep"],
    ["{{if .A}}yes{{else if .B}}b{{else}}no{{end}}", { A: 0, B: "x" }, "b"],
    ["{{range .L}}<{{.}}>{{else}}empty{{end}}", { L: [1, 2] }, "<1><2>"],
    ["{{range .L}}<{{.}}>{{else}}empty{{end}}", { L: [] }, "empty"],
    ["{{range $k, $v := .M}}{{$k}}={{$v}};{{end}}", { M: { b: 2, a: 1 } }, "a=1;b=2;"],
    [
      "{{range .L}}{{if eq . 2}}{{continue}}{{end}}{{if eq . 4}}{{break}}{{end}}{{.}}{{end}}",
      { L: [1, 2, 3, 4, 5] },
      "13",
    ],
    ["{{with .A}}{{.B}}{{$.C}}{{end}}", { A: { B: 1 }, C: 2 }, "12"],
    ["{{$x := 1}}{{range .L}}{{$x = .}}{{end}}{{$x}}", { L: [7, 8] }, "8"],
    ['{{printf "%05d|%-4s|%.2f|%q|%v" 42 "ab" 1.5 "x" .L}}', { L: [1, "a"] }, '00042|ab  |1.50|"x"|[1 a]'],
    ['{{len .S}} {{index .M "k"}} {{slice .S 1 3}}', { S: "hello", M: { k: "v" } }, "5 v el"],
    ['{{.S | upper | printf "%s!"}}', { S: "a" }, "A!"],
    ['{{- /* gone */ -}}  x  {{- " y" -}}  ', {}, "x y"],
    ["{{json .}}", { a: "<b>", n: null }, '{"a":"<b>","n":null}'],
    ["{{.Missing}}", {}, "<no value>"],
    ['{{join (split "a,b" ",") "-"}}{{title "ab cd"}}', {}, "a-bAb Cd"],
    ['{{and 1 0 2}}{{or 0 "" 3}}{{not 1}}', {}, "03false"],
    ["{{`raw \"x\"`}}{{'a'}}", {}, 'raw "x"97'],
    ["{{(index .L 1).N}}", { L: [0, { N: 5 }] }, "5"],
  ];
  for (const [source, data, expected] of cases)
    test(`${source} gives ${expected}`, () => expect(render(source, data)).toBe(expected));

  test("a row is JSON with sorted keys and HTML escaped, its methods left out", () => {
    const row = new Row("*x", { B: "<", A: 1, Label: (name: string) => name });
    expect(render('{{json .}} {{.Label "z"}}', row)).toBe('{"A":1,"B":"\\u003c"} z');
  });

  test("an error says where it is", () => {
    expect(() => render("line\n{{.A.B}}", { A: "text" })).toThrow(
      'template: :2:4: executing "" at <.A.B>: can\'t evaluate field B',
    );
    expect(() => render("{{nope}}")).toThrow('template: :1: function "nope" not defined');
    expect(() => render("{{if .A}}")).toThrow("template: :1: unexpected EOF");
  });

  test("any text is rendered or refused with a TemplateError, in bounded time", () => {
    const parts = [
      "{{",
      "}}",
      "{{-",
      "-}}",
      ".",
      ".A",
      "$",
      "$x",
      ":=",
      "=",
      "|",
      "(",
      ")",
      '"s"',
      "`r`",
      "1",
      "-2.5",
      "if",
      "else",
      "end",
      "range",
      "with",
      "break",
      "index",
      "printf",
      "json",
      " ",
      "\n",
      ",",
      "/*",
      "*/",
      "'c'",
      "text",
      "\\",
      "é",
    ];
    let seed = 1;
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed % below;
    };
    let rendered = 0;
    for (let round = 0; round < 20_000; round++) {
      const source = Array.from({ length: random(14) }, () => parts[random(parts.length)]).join("");
      try {
        render(source, { A: [1, { A: "x" }] });
        rendered++;
      } catch (error) {
        if (!(error instanceof TemplateError)) throw new Error(`${JSON.stringify(source)}: ${error}`);
      }
    }
    expect(rendered).toBeGreaterThan(100);
  });

  test("nesting without end is refused", () => {
    expect(() => render("{{".concat("(".repeat(5000), "1", ")".repeat(5000), "}}"))).toThrow(
      "max expression depth",
    );
  });
});
