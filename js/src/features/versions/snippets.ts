/** Programs that call a model, ready to run. Pure. */

import { pretty } from "./layout";

export interface Call {
  url: string;
  /** The body of a request, JSON. */
  body: string;
  /** Whether the server requires authentication. */
  auth: boolean;
}

/** MLflow's own clients read their token from this variable too. */
export const TOKEN_VARIABLE = "MLFLOW_TRACKING_TOKEN";

/** A line for a POSIX shell. */
export function curl({ url, body, auth }: Call): string {
  return [
    `curl ${shell(url)}`,
    ...(auth ? [`  -H "Authorization: Bearer $${TOKEN_VARIABLE}"`] : []),
    "  -H 'Content-Type: application/json'",
    `  -d ${shell(body)}`,
  ].join(" \\\n");
}

const shell = (text: string): string => `'${text.replace(/'/g, "'\\''")}'`;

/** A Python program that needs `requests`. */
export function python({ url, body, auth }: Call): string {
  return [
    ...(auth ? ["import os", ""] : []),
    "import requests",
    "",
    `url = ${JSON.stringify(url)}`,
    `body = ${pythonLiteral(pretty(body))}`,
    ...(auth ? [`headers = {"Authorization": f"Bearer {os.environ['${TOKEN_VARIABLE}']}"}`] : []),
    "",
    `response = requests.post(url, json=body, ${auth ? "headers=headers, " : ""}timeout=60)`,
    "if not response.ok:",
    "    raise SystemExit(response.text)",
    "print(response.json())",
  ].join("\n");
}

const WORDS: Record<string, string> = { null: "None", true: "True", false: "False" };

/** JSON as a literal of Python: other words, and strings without the one escape that Python lacks. */
export const pythonLiteral = (json: string): string =>
  json.replace(/"(?:[^"\\]|\\.)*"|\b(?:null|true|false)\b/g, (token) => WORDS[token] ?? JSON.stringify(JSON.parse(token)));

/** A Power Query function that adds a column of predictions to a table. */
export function powerBi({ url, auth }: Call): string {
  const headers = [
    '#"Content-Type" = "application/json; format=pandas-records"',
    ...(auth ? ['Authorization = "Bearer " & Token'] : []),
  ];
  return [
    "(dataset as table) as table =>",
    "let",
    `    Url = "${url.replace(/"/g, '""')}",`,
    ...(auth ? ['    Token = "put your token here",'] : []),
    "    Score = (rows as table) as list =>",
    "        Json.Document(Web.Contents(Url, [",
    `            Headers = [${headers.join(", ")}],`,
    "            Content = Json.FromValue(rows)",
    "        ])),",
    "    Predictions = List.Combine(List.Transform(Table.Split(dataset, 256), Score)),",
    "    Result = Table.FromColumns(",
    "        Table.ToColumns(dataset) & {Predictions},",
    '        Table.ColumnNames(dataset) & {"Prediction"}',
    "    )",
    "in",
    "    Result",
  ].join("\n");
}
