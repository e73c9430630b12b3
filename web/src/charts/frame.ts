// What all charts share: axes, legend, tooltip, places with a name.
import type { Axis, Mark, Series } from "../report";
import type { Palette } from "../theme";
import { number, shown, tick } from "../words";
import { FONT, type Option } from "./echarts";

export function base(palette: Palette): Option {
  return {
    animation: false,
    backgroundColor: "transparent",
    color: [...palette.data],
    textStyle: { fontFamily: FONT, color: palette.ink, fontSize: 12 },
    tooltip: tooltip(palette),
  };
}

function tooltip(palette: Palette): Option {
  return {
    renderMode: "richText",
    confine: true,
    backgroundColor: palette.dark ? "#0d1219" : "#ffffff",
    borderColor: palette.line,
    borderWidth: 1,
    padding: [6, 10],
    textStyle: { color: palette.ink, fontSize: 12, fontFamily: FONT },
    axisPointer: { type: "line", lineStyle: { color: palette.line, type: "solid" }, label: { show: false } },
  };
}

const NAMED = 8; // series: more of them make no legend that a person reads

/** Whether so many series are named above a drawing. */
export function listed(count: number): boolean {
  return count > 1 && count <= NAMED;
}

export function legend(names: readonly { name: string; icon: string }[], palette: Palette): Option {
  return {
    show: listed(names.length),
    data: names,
    top: 0,
    left: 0,
    itemWidth: 16,
    itemHeight: 8,
    itemGap: 14,
    textStyle: { color: palette.quiet, fontSize: 12, overflow: "truncate", width: 270 },
    inactiveColor: palette.faint,
  };
}

/** Lines that a legend takes in a drawing of that width. */
export function legendHeight(names: readonly string[], width: number): number {
  if (!listed(names.length)) return 6;
  let lines = 1;
  let used = 0;
  for (const name of names) {
    const wide = 44 + Math.min(name.length * 6.4, 270);
    if (used && used + wide > width) {
      lines += 1;
      used = 0;
    }
    used += wide;
  }
  return lines * 22 + 8;
}

/** Numbers that an axis can show: on a logarithmic one only those above zero. */
export function on(axis: Axis, value: number | null | undefined): number | null {
  return typeof value !== "number" || !Number.isFinite(value) || (axis.log && value <= 0) ? null : value;
}

export interface Span {
  low: number;
  high: number;
}

export function span(axis: Axis, values: Iterable<number | null | undefined>): Span {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    const there = on(axis, value);
    if (there === null) continue;
    low = Math.min(low, there);
    high = Math.max(high, there);
  }
  if (low > high) return axis.log ? { low: 0.1, high: 10 } : { low: 0, high: 1 };
  if (axis.log) {
    const room = Math.max((high / low) ** 0.04, 1.05);
    return { low: low / room, high: high * room };
  }
  // values that differ by rounding alone are equal: no round number lies between them
  if (high - low <= 1e-12 * Math.max(Math.abs(low), Math.abs(high))) return { low: low - (Math.abs(low) || 1) * 0.5, high: high + (Math.abs(high) || 1) * 0.5 };
  const room = (high - low) * 0.04;
  return { low: low >= 0 && low - room < 0 ? Math.min(low, 0) : low - room, high: high + room };
}

/** Round numbers on an axis, about as many as asked for. */
export function ticks({ low, high }: Span, log: boolean, many: number, whole = false): number[] {
  return log ? logarithmic(low, high, many, whole) : even(low, high, many, whole);
}

/** Whether all numbers that are there count something: between them an axis has nothing to name. */
export function counting(values: readonly (number | null | undefined)[]): boolean {
  const there = values.filter((value) => typeof value === "number");
  return there.length > 0 && there.every(Number.isInteger);
}

function even(low: number, high: number, many: number, whole: boolean): number[] {
  const rough = (high - low) / Math.max(many, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const round = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough && !(whole && factor * power === 2.5)) ?? 10);
  const step = whole ? Math.max(1, round) : round;
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.min(Math.floor((high - low) / step + 2), 4 * many + 4); // a count that ends, whatever the numbers are
  const found = Array.from({ length: Math.max(count, 0) }, (_, n) => Number(((first + n) * step).toPrecision(12)));
  return found.filter((value) => value <= high + step * 1e-9);
}

function logarithmic(low: number, high: number, many: number, whole: boolean): number[] {
  const decades = Math.log10(high / low);
  if (decades < 0.7) return even(low, high, many, whole).filter((value) => value > 0);
  const factors = decades * 3 <= many * 1.4 ? [1, 2, 5] : [1];
  const every = factors.length > 1 ? 1 : Math.max(1, Math.ceil(decades / many));
  const found: number[] = [];
  for (let k = Math.floor(Math.log10(low)); k <= Math.ceil(Math.log10(high)); k += 1) {
    if (k % every) continue;
    for (const factor of factors) {
      const value = Number((factor * 10 ** k).toPrecision(12));
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) found.push(value);
    }
  }
  return found.length > 1 ? found : even(low, high, many, whole).filter((value) => value > 0);
}

export function axis(told: Axis, range: Span, palette: Palette, many: number, which: "x" | "y", whole = false): Option {
  const values = ticks(range, Boolean(told.log), many, whole);
  return {
    type: told.log ? "log" : "value",
    min: range.low,
    max: range.high,
    name: shown(told.label),
    nameLocation: "middle",
    nameGap: which === "x" ? 28 : 46,
    nameTextStyle: { color: palette.quiet, fontSize: 12 },
    axisLine: { show: which === "x", onZero: false, lineStyle: { color: palette.line } },
    axisTick: { show: which === "x", customValues: values, lineStyle: { color: palette.line } },
    axisLabel: { color: palette.quiet, fontSize: 11, customValues: values, formatter: tick, hideOverlap: true },
    splitLine: { show: which === "y", customValues: values, lineStyle: { color: palette.faint } },
    minorTick: { show: false },
  };
}

/** Straight lines with a name across a drawing; names that would touch stand on different lines. */
export function marks(told: readonly Mark[], x: Axis, range: Span, width: number, palette: Palette): { option: Option; lines: number } {
  const share = (value: number) =>
    x.log ? Math.log(value / range.low) / Math.log(range.high / range.low) : (value - range.low) / (range.high - range.low);
  const ends: number[] = [];
  const data: Option[] = [];
  const upright = told
    .filter((mark) => mark.axis !== "y" && on(x, mark.at) !== null)
    .toSorted((a, b) => a.at - b.at);
  for (const mark of upright) {
    const text = label(mark);
    const half = (text.length * 6) / 2;
    const middle = share(mark.at) * width;
    const free = ends.findIndex((end) => end < middle - half);
    const level = free < 0 ? ends.length : free;
    ends[level] = middle + half + 8;
    data.push({
      xAxis: mark.at,
      label: { formatter: text, position: "end", distance: 4 + level * 15, color: palette.ink },
    });
  }
  for (const mark of told) {
    if (mark.axis === "y") data.push({ yAxis: mark.at, label: { formatter: label(mark), position: "insideEndTop", color: palette.ink } });
  }
  const option = {
    silent: true,
    symbol: "none",
    animation: false,
    precision: -1, // a mark stands where it is; by default it is drawn at two decimals
    lineStyle: { color: palette.quiet, type: [3, 3], width: 1 },
    label: { fontSize: 11, fontFamily: FONT },
    data,
  };
  return { option, lines: ends.length };
}

function label(mark: Mark): string {
  const text = shown(mark.text);
  return text.length > 34 ? `${text.slice(0, 33)}\u2026` : text;
}

export function colours(series: readonly { role?: Series["role"] }[], palette: Palette): string[] {
  let data = 0;
  return series.map(({ role = "data" }) => {
    if (role === "data") return palette.data[data++ % palette.data.length] ?? palette.ink;
    return palette[role];
  });
}

/** Names for the legend: visible, and told apart where two series have the same. */
export function names(series: readonly { name: string }[], taken: readonly string[] = []): string[] {
  const used = new Set(taken);
  return series.map(({ name }) => {
    const plain = shown(name) || "series";
    let unique = plain;
    for (let k = 2; used.has(unique); k += 1) unique = `${plain} (${k})`;
    used.add(unique);
    return unique;
  });
}

export function line(name: string, value: number | null | undefined): string {
  return `${name}  ${number(value)}`;
}
