/** Formats JSON for reading without changing a value: 1.0 stays 1.0, and long numbers keep all digits. Pure. */

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const CLOSING: Record<string, string> = { "[": "]", "{": "}" };

/** JSON with line breaks, a list of plain values on one line; anything else as it is. */
export function pretty(text: string): string {
  try {
    JSON.parse(text);
    return layOut((text.match(TOKENS) ?? []).values(), "");
  } catch {
    return text;
  }
}

/** The value that starts at the next token, or the closing bracket that stands there. */
function layOut(tokens: Iterator<string>, indent: string): string {
  const first = take(tokens);
  const end = CLOSING[first];
  if (end === undefined) return first;
  const deeper = `${indent}  `;
  const items: string[] = [];
  for (let separator = ","; separator === ","; separator = take(tokens)) {
    let item = layOut(tokens, deeper);
    if (item === end) return first + end;
    if (first === "{") item += `${take(tokens)} ${layOut(tokens, deeper)}`;
    items.push(item);
  }
  // Whatever has brackets of its own begins with one.
  const plain = first === "[" && !items.some((item) => /^[[{]/.test(item));
  return plain ? `[${items.join(", ")}]` : `${first}\n${deeper}${items.join(`,\n${deeper}`)}\n${indent}${end}`;
}

const take = (tokens: Iterator<string>): string => tokens.next().value as string;

/** For JSON.parse: numbers as the text they were, in browsers that hand it over. */
export function numbersAsWritten(this: unknown, _key: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === "number" ? (context?.source ?? value) : value;
}
