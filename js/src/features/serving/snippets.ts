/** Programs that call a serving endpoint, ready to run. Pure. */

import { pretty } from "../versions/layout";
import { TOKEN_VARIABLE, pythonLiteral } from "../versions/snippets";

export interface Call {
  /** The address of the server. */
  host: string;
  endpoint: string;
  /** The body of a request, JSON. */
  body: string;
  /** Whether the server requires authentication. */
  auth: boolean;
}

const FIELDS = ["dataframe_records", "dataframe_split", "instances", "inputs", "input", "messages", "prompt"];

/** databricks-sdk. A body with other fields than the SDK knows goes through its plain client. */
export function sdk({ host, endpoint, body, auth }: Call): string {
  const fields = Object.entries(JSON.parse(body) as Record<string, unknown>);
  const known = fields.every(([field]) => FIELDS.includes(field));
  const split = known && fields.some(([field]) => field === "dataframe_split");
  const given = fields.map(([field, value]) => `    ${field}=${argument(field, literal(value)).replace(/\n/g, "\n    ")},`);
  const name = JSON.stringify(endpoint);
  return [
    ...(auth ? ["import os", ""] : []),
    "from databricks.sdk import WorkspaceClient",
    ...(split ? ["from databricks.sdk.service.serving import DataframeSplitInput"] : []),
    "",
    ...(auth ? [] : ["# The server asks for no token, but the client does."]),
    `w = WorkspaceClient(host=${JSON.stringify(host)}, token=${auth ? `os.environ["${TOKEN_VARIABLE}"]` : '"none"'}, auth_type="pat")`,
    ...(known
      ? ["response = w.serving_endpoints.query(", `    ${name},`, ...given, ")", "print(response.as_dict())"]
      : [`body = ${literal(JSON.parse(body))}`, `print(w.api_client.do("POST", f"/serving-endpoints/${endpoint}/invocations", body=body))`]),
  ].join("\n");
}

const literal = (value: unknown): string => pythonLiteral(pretty(JSON.stringify(value)));

const argument = (field: string, text: string): string =>
  field === "dataframe_split" ? `DataframeSplitInput.from_dict(${text})` : text;

/** `mlflow.deployments`, by the server's address. */
export function deployments({ host, endpoint, body, auth }: Call): string {
  return [
    ...(auth ? [`# Set ${TOKEN_VARIABLE} before.`] : []),
    "from mlflow.deployments import get_deploy_client",
    "",
    `client = get_deploy_client(${JSON.stringify(host)})`,
    `body = ${pythonLiteral(pretty(body))}`,
    `print(client.predict(endpoint=${JSON.stringify(endpoint)}, inputs=body))`,
  ].join("\n");
}
