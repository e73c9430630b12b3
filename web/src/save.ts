// Files for the person in front of the page, and the clipboard.
import type { Cell } from "./report";
import { shown } from "./words";

/** A file name that every system takes. */
export function fileName(title: string, suffix: string): string {
  const name = title
    .normalize("NFKD")
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[-.]+|[-.]+$/g, "")
    .slice(0, 80);
  return `${name || "modescope"}.${suffix}`;
}

export function save(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function text(content: string, type: string): Blob {
  return new Blob([content], { type: `${type};charset=utf-8` });
}

/** The bytes behind a `data:` address; fetching it would need a permission that the page does not ask for. */
export function bytes(url: string): Blob {
  const [head = "", body = ""] = url.split(",", 2);
  const raw = atob(body);
  return new Blob([Uint8Array.from(raw, (character) => character.charCodeAt(0))], { type: head.slice(5).split(";")[0] ?? "" });
}

function field(value: Cell | undefined): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const safe = shown(value);
  const quoted = /^[=+\-@]/.test(safe) ? `'${safe}` : safe; // a spreadsheet would run it as a formula
  return /[",\n]/.test(quoted) ? `"${quoted.replaceAll('"', '""')}"` : quoted;
}

export function csv(columns: readonly string[], rows: readonly (readonly Cell[])[]): Blob {
  return text([columns, ...rows].map((row) => `${row.map(field).join(",")}\n`).join(""), "text/csv");
}

/** Whether it is in the clipboard now. */
export async function copied(content: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(content);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = content;
    area.className = "away";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
