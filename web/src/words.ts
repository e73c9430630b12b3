// Text that shows what is in it, and numbers at a readable precision.

const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;

/** Control characters, bidirectional overrides and other invisible characters become visible escapes. */
export function shown(text: string): string {
  return String(text).replace(INVISIBLE, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (character === "\n") return "\\n";
    if (character === "\t") return "\\t";
    if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
  });
}

const MINUS = "\u2212";

/** Four significant digits; whole numbers as they are. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "\u2013";
  const size = Math.abs(value);
  let text: string;
  if (Number.isInteger(value) && size < 1e9) text = String(size);
  else if (size < 1e-4 || size >= 1e6) {
    const [digits, power] = size.toExponential(3).split("e");
    text = `${Number(digits)}\u00d710${raised(Number(power))}`;
  } else text = String(Number(size.toPrecision(4)));
  return value < 0 ? MINUS + text : text;
}

/** A short number for an axis. */
export function tick(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) {
    const [digits, power] = size.toExponential(2).split("e");
    const factor = Number(digits);
    return (value < 0 ? MINUS : "") + (factor === 1 ? "" : `${factor}\u00b7`) + `10${raised(Number(power))}`;
  }
  const text = String(Number(size.toPrecision(6)));
  return value < 0 ? MINUS + text : text;
}

function raised(power: number): string {
  const digits = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079";
  return (power < 0 ? "\u207b" : "") + [...String(Math.abs(power))].map((digit) => digits[Number(digit)]).join("");
}

export const MEANINGLESS = "means nothing here";

/** "1 row", "3 rows". */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}
