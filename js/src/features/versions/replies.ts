/** Predictions as a table, where they have that shape. Pure. */

import { numbersAsWritten } from "./layout";

export interface Table {
  columns: string[];
  rows: string[][];
}

/** The predictions in a reply as rows and columns; null when they do not form a table. */
export function asTable(text: string): Table | null {
  const reply = parse(text);
  const predictions = isObject(reply) && "predictions" in reply ? reply.predictions : reply;
  if (!Array.isArray(predictions) || predictions.length === 0) return null;
  if (predictions.every(isObject)) {
    const columns = [...new Set(predictions.flatMap((row) => Object.keys(row)))];
    return { columns, rows: predictions.map((row) => columns.map((column) => show(row[column]))) };
  }
  if (predictions.every(Array.isArray)) {
    const width = Math.max(...predictions.map((row) => row.length));
    const columns = Array.from({ length: width }, (_, index) => String(index));
    return { columns, rows: predictions.map((row: unknown[]) => columns.map((_, index) => show(row[index]))) };
  }
  return { columns: ["prediction"], rows: predictions.map((value) => [show(value)]) };
}

/** What is wrong with a request body; null when it is JSON. */
export function complaint(text: string): string | null {
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : "This is not JSON.";
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text, numbersAsWritten) as unknown;
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function show(value: unknown): string {
  if (value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
