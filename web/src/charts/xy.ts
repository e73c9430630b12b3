// Options for curves, and for histograms with curves over them.
import type { Axis, Counts, Curve, Histogram, Mark, Series } from "../report";
import type { Palette } from "../theme";
import { number, shown } from "../words";
import type { Option } from "./echarts";
import { axis, base, colours, counting, legend, legendHeight, line, listed, marks, names, on, span, type Span } from "./frame";

const FORMS = ["circle", "diamond", "triangle", "rect"];
const LEFT = 62;
const RIGHT = 18;
const BOTTOM = 46;
const LINES = 12; // of a tooltip, which is drawn inside the chart

export function curve(block: Curve, palette: Palette, width: number, height: number): Option {
  const xs = span(block.x, [...block.series.flatMap((series) => [...series.x]), ...places(block.marks, "x")]);
  const ys = span(block.y, [
    ...block.series.flatMap((series) => [...series.y, ...(series.low ?? []), ...(series.high ?? [])]),
    ...places(block.marks, "y"),
  ]);
  const titles = names(block.series);
  const tints = colours(block.series, palette);
  const drawn = block.series.flatMap((series, index) => lines(series, titles[index] ?? "", tints[index] ?? "", block.x, block.y, palette, width));
  const entries = legendOf(block.series, titles, tints, palette).filter((_, index) => valued(block.series[index]));
  const whole = { x: counting(block.series.flatMap((series) => [...series.x])), y: counting(block.series.flatMap((series) => [...series.y])) };
  const option = frame(block, xs, ys, whole, entries, drawn, palette, width, height);
  option.tooltip.trigger = "axis";
  option.tooltip.formatter = (found: Option[]) => {
    const told = found.filter((item) => titles.includes(item.seriesName) && Array.isArray(item.value) && item.value[1] !== null);
    if (!told.length) return "";
    if (!listed(entries.length)) told.sort((a, b) => Number(b.value[1]) - Number(a.value[1])); // as they lie above each other
    const values = told.map((item) => line(item.seriesName, item.value[1]));
    const beside = Math.ceil(values.length / LINES);
    const rows = values.flatMap((_, index) => (index % beside ? [] : [values.slice(index, index + beside).join("  \u00b7  ")]));
    const named = told.map((item) => block.series[titles.indexOf(item.seriesName)]?.texts?.[item.dataIndex] ?? "").filter(Boolean);
    return [...new Set(named.map(shown)), line(shown(block.x.label), told[0]?.value[0]), ...rows].join("\n");
  };
  return option;
}

export function histogram(block: Histogram, palette: Palette, width: number, height: number): Option {
  const curves = block.curves ?? [];
  const xs = span(block.x, [...block.edges, ...places(block.marks, "x"), ...curves.flatMap((series) => [...series.x])]);
  const heights = [...block.counts.flatMap((counts) => [...counts.values]), ...curves.flatMap((series) => [...series.y]), ...places(block.marks, "y")];
  const ys = span(block.y, block.y.log ? heights : [0, ...heights]);
  const series = [...block.counts, ...curves];
  const titles = names(series);
  const tints = colours(series, palette);
  const floor = block.y.log ? ys.low : 0;
  const bars = block.counts.map((counts, index) => {
    const quiet = counts.role === "null";
    const tint = tints[index] ?? palette.ink;
    return {
      type: "custom",
      name: titles[index],
      z: quiet ? 1 : 2,
      clip: true,
      color: tint,
      encode: { x: [0, 1], y: 2 },
      data: counts.values.flatMap((value, bin) => {
        const [left, right] = [on(block.x, block.edges[bin]) ?? xs.low, on(block.x, block.edges[bin + 1])];
        return on(block.y, value) === null || right === null ? [] : [[left, right, value]];
      }),
      renderItem: (_: Option, api: Option) => {
        const [left, top] = api.coord([api.value(0), api.value(2)]);
        const [right, bottom] = api.coord([api.value(1), floor]);
        const gap = right - left > 6 ? 1 : 0;
        const shape = { x: left, y: top, width: Math.max(right - left - gap, 0.5), height: Math.max(bottom - top, 0) };
        return { type: "rect", shape, style: quiet ? { fill: tint, opacity: 0.45 } : { fill: tint, opacity: 0.82 }, emphasis: { style: { opacity: 1 } } };
      },
    };
  });
  // A null lies behind what was measured; its outline stays visible where it is the lower of the two.
  const outlines = block.counts.flatMap((counts, index) =>
    counts.role === "null"
      ? [
          {
            type: "line",
            name: titles[index],
            z: 3,
            step: "end",
            silent: true,
            showSymbol: false,
            tooltip: { show: false },
            emphasis: { disabled: true },
            lineStyle: { color: palette.quiet, width: 1.2 },
            itemStyle: { color: tints[index] },
            data: block.edges.map((edge, bin) => [on(block.x, edge) ?? xs.low, on(block.y, counts.values[Math.min(bin, counts.values.length - 1)])]),
          },
        ]
      : [],
  );
  const over = curves.flatMap((told, index) => {
    const at = block.counts.length + index;
    return lines(told, titles[at] ?? "", tints[at] ?? "", block.x, block.y, palette, width);
  });
  const whole = { x: counting(block.edges), y: counting(block.counts.flatMap((counts) => [...counts.values])) };
  const option = frame(block, xs, ys, whole, legendOf(series, titles, tints, palette, block.counts.length), [...bars, ...outlines, ...over], palette, width, height);
  option.tooltip.trigger = "item";
  option.tooltip.formatter = (item: Option) =>
    item.seriesType === "custom" && Array.isArray(item.value)
      ? [`${number(item.value[0])} to ${number(item.value[1])}`, line(item.seriesName, item.value[2])].join("\n")
      : String(item.seriesName ?? "");
  return option;
}

function places(told: readonly Mark[] | undefined, which: "x" | "y"): number[] {
  return (told ?? []).filter((mark) => (mark.axis ?? "x") === which).map((mark) => mark.at);
}

function legendOf(series: readonly (Series | Counts)[], titles: readonly string[], tints: readonly string[], palette: Palette, bars = 0): Option[] {
  return titles.map((name, index) => {
    const told = series[index];
    const dot = told !== undefined && "drawn" in told && told.drawn === "points";
    const icon = index < bars ? "roundRect" : dot ? symbol(tints[index] ?? "", palette) : "path://M0,3.5 L16,3.5 L16,4.9 L0,4.9 Z";
    return { name, icon, itemStyle: { color: tints[index], borderWidth: 0 } };
  });
}

/** A series without a number keeps its place among the colours, and is not spoken of. */
export function valued(series: Series | undefined): boolean {
  return series?.y.some((value) => value !== null) ?? false;
}

/** Names stand above their points, beside them near the ends of the x axis, and give way to those before them. */
function beside(width: number): (item: Option) => Option {
  return ({ rect, labelRect }) => {
    const y = rect.y + rect.height / 2;
    if (labelRect.x < LEFT) return { x: rect.x + rect.width + 4, y, align: "left", verticalAlign: "middle", hideOverlap: true };
    if (labelRect.x + labelRect.width > width) return { x: rect.x - 4, y, align: "right", verticalAlign: "middle", hideOverlap: true };
    return { hideOverlap: true };
  };
}

export function lines(series: Series, name: string, tint: string, x: Axis, y: Axis, palette: Palette, width: number): Option[] {
  const role = series.role ?? "data";
  const z = { null: 1, data: 3, law: 4, fit: 5 }[role];
  const named = (series.texts ?? []).some(Boolean);
  const data = series.x.map((at, index) => {
    const here = on(x, at);
    const value = [here, here === null ? null : on(y, series.y[index])];
    return series.texts?.[index] ? { value, label: { show: true } } : value; // an empty name would take room, too
  });
  const label = named && {
    label: {
      show: false,
      position: "top",
      distance: 5,
      color: palette.ink,
      fontSize: 11,
      minMargin: 5,
      formatter: (item: Option) => shown(series.texts?.[item.dataIndex] ?? ""),
    },
    labelLayout: beside(width),
  };
  const band = series.low?.length && series.high?.length ? [area(series, name, tint, x, y, z)] : [];
  if (series.drawn === "points") {
    const size = data.length > 300 ? 3 : data.length > 60 ? 5 : 7;
    const item = role === "null" ? { color: "transparent", borderColor: tint, borderWidth: 1.2 } : { color: tint, opacity: 0.88 };
    return [...band, { type: "scatter", name, z, data, symbol: symbol(tint, palette), symbolSize: size, itemStyle: item, clip: false, ...label }];
  }
  const dash = role === "fit" ? [6, 4] : "solid";
  return [
    ...band,
    {
      type: "line",
      name,
      z,
      data,
      step: series.drawn === "steps" ? "end" : false,
      showSymbol: named || data.length === 1,
      symbol: "circle",
      symbolSize: 4,
      connectNulls: false,
      lineStyle: { color: tint, width: role === "null" ? 1.4 : 2, type: dash },
      itemStyle: { color: tint },
      emphasis: { disabled: true },
      clip: true,
      ...label,
    },
  ];
}

/** Measured series differ in form as well as in colour. */
function symbol(tint: string, palette: Palette): string {
  return FORMS[Math.max(0, palette.data.indexOf(tint)) % FORMS.length] ?? "circle";
}

function area(series: Series, name: string, tint: string, x: Axis, y: Axis, z: number): Option {
  return {
    type: "custom",
    name,
    z: z - 0.5,
    silent: true,
    clip: true,
    tooltip: { show: false },
    data: [[series.x.find((at) => on(x, at) !== null) ?? 1, series.y.find((at) => on(y, at) !== null) ?? 1]],
    renderItem: (_: Option, api: Option) => {
      const side = (ends: Series["y"]) =>
        series.x.flatMap((at, index) => (on(x, at) === null || on(y, ends[index]) === null ? [] : [api.coord([at, ends[index]])]));
      const points = [...side(series.high ?? []), ...side(series.low ?? []).toReversed()];
      return { type: "polygon", shape: { points }, style: { fill: tint, opacity: 0.16 } };
    },
  };
}

function frame(
  block: { x: Axis; y: Axis; marks?: readonly Mark[] },
  xs: Span,
  ys: Span,
  whole: { x: boolean; y: boolean },
  entries: Option[],
  series: Option[],
  palette: Palette,
  width: number,
  height: number,
): Option {
  const inner = Math.max(width - LEFT - RIGHT, 80);
  const told = marks(block.marks ?? [], block.x, xs, inner, palette);
  const top = legendHeight(entries.map((entry) => entry.name), width) + told.lines * 15 + 4;
  return {
    ...base(palette),
    grid: { left: LEFT, right: RIGHT, top, bottom: BOTTOM, containLabel: false },
    legend: legend(entries as { name: string; icon: string }[], palette),
    xAxis: axis(block.x, xs, palette, Math.max(2, Math.floor(inner / 80)), "x", whole.x),
    yAxis: axis(block.y, ys, palette, Math.max(2, Math.floor((height - top - BOTTOM) / 44)), "y", whole.y),
    series: [...series, { type: "line", name: "\u200b", data: [], silent: true, tooltip: { show: false }, markLine: told.option }],
  };
}
