// What a person types above a table: words that a row must contain, and conditions such as `alpha > 4`.
import type { Cell } from "./report";
import { shown } from "./words";

type Row = readonly Cell[];
type Test = (row: Row) => boolean;

export interface Filter {
  holds: Test;
  /** What could not be understood, or empty. */
  fault: string;
}

const CONDITION = /^(.+?)\s*(<=|>=|!=|==|=|<|>|\u2264|\u2265|\u2260)\s*(.*)$/;

export function filter(typed: string, columns: readonly string[]): Filter {
  const faults: string[] = [];
  const tests = typed
    .split(/,|&|\band\b/i)
    .map((part) => part.trim())
    .filter(Boolean)
    .map((part) => test(part, columns, faults));
  return { holds: (row) => tests.every((holds) => holds(row)), fault: faults.join(" ") };
}

function test(part: string, columns: readonly string[], faults: string[]): Test {
  const found = CONDITION.exec(part);
  if (!found) {
    const words = part.toLowerCase().split(/\s+/);
    return (row) => {
      const all = row.map((cell) => (cell === null ? "" : shown(String(cell)).toLowerCase())).join("\n");
      return words.every((word) => all.includes(word));
    };
  }
  const [, name = "", sign = "", value = ""] = found;
  const index = column(name, columns);
  if (index < 0) {
    faults.push(`No column is called \u201c${name}\u201d.`);
    return () => true;
  }
  if (!value) return () => true; // still being typed
  const compare = COMPARE[sign] ?? COMPARE["="];
  const wanted = Number(value);
  return (row) => {
    const cell = row[index];
    if (cell === null || cell === undefined || !compare) return false; // what means nothing meets no condition
    if (typeof cell === "number") return Number.isNaN(wanted) ? false : compare(cell, wanted);
    return compare(cell.toLowerCase(), value.replace(/^["']|["']$/g, "").toLowerCase());
  };
}

function column(name: string, columns: readonly string[]): number {
  const wanted = name.replace(/^["']|["']$/g, "").toLowerCase();
  const names = columns.map((label) => shown(label).toLowerCase());
  const exact = names.indexOf(wanted);
  if (exact >= 0) return exact;
  const close = names.flatMap((label, index) => (label.startsWith(wanted) ? [index] : []));
  return close.length === 1 ? (close[0] ?? -1) : -1;
}

const COMPARE: Record<string, (a: number | string, b: number | string) => boolean> = {
  "<": (a, b) => a < b,
  ">": (a, b) => a > b,
  "<=": (a, b) => a <= b,
  "\u2264": (a, b) => a <= b,
  ">=": (a, b) => a >= b,
  "\u2265": (a, b) => a >= b,
  "=": (a, b) => a === b,
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  "\u2260": (a, b) => a !== b,
};
