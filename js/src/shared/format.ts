/** Numbers, times and names for people. Pure. */

/** A text that another sentence follows: "no such file" becomes "no such file.". */
export const sentence = (text: string): string => (/[.!?:…]$/.test(text.trimEnd()) ? text : `${text.trimEnd()}.`);

/** A date with time in the reader's locale. `timestamp`: milliseconds since 1970. */
export const dateTime = (timestamp: number): string => new Date(timestamp).toLocaleString();

/** A length of time: "8 s", "3 min 5 s", "2 h 10 min", "3 d 4 h". A clock that runs ahead counts as none. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return both(`${minutes} min`, seconds % 60, "s");
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? both(`${hours} h`, minutes % 60, "min") : both(`${Math.floor(hours / 24)} d`, hours % 24, "h");
}

/** How long ago, in one unit: "3 min ago". */
export const ago = (milliseconds: number): string => `${duration(milliseconds).split(" ").slice(0, 2).join(" ")} ago`;

const both = (first: string, second: number, unit: string): string => (second ? `${first} ${second} ${unit}` : first);

// The escape character is what terminals take for the beginning of a colour.
const COLOURS = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, "g");

/** A text without the colours that programs write for terminals. */
export const withoutColours = (text: string): string => text.replace(COLOURS, "");

/** Milliseconds with significant digits only. */
export const milliseconds = (value: number): string =>
  `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString()} ms`;

/** A size: "12 kB", "4.1 MB", "1.5 GB". */
export function bytes(value: number): string {
  if (value < 1000) return `${value} bytes`;
  if (value < 1e6) return `${Math.round(value / 1000)} kB`;
  return value < 1e9 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e9).toFixed(1)} GB`;
}

/** A text of at most so many characters, cut in its middle: names often differ at their ends. */
export function middle(text: string, longest: number): string {
  const half = Math.floor((longest - 1) / 2);
  return text.length <= longest ? text : `${text.slice(0, half)}…${text.slice(-half)}`;
}

/** "VERSION_READY" → "Version ready". */
export function words(constant: string): string {
  const text = constant.toLowerCase().replace(/_/g, " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export interface Step {
  name: string;
  milliseconds: number;
}

/** The steps of a `Server-Timing` header, in its order. */
export function serverTiming(header: string | null): Step[] {
  return (header ?? "").split(",").flatMap((part) => {
    const [name = "", ...options] = part.trim().split(";");
    const length = options.map((option) => /^\s*dur=([\d.]+)\s*$/.exec(option)?.[1]).find(Boolean);
    return name && length ? [{ name, milliseconds: Number(length) }] : [];
  });
}
