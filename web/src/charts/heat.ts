// Option for a heat map: its cells are one picture, so that a hundred thousand of them cost no more than one.
import { at, extent, scale } from "../colours";
import type { Axis, Heatmap } from "../report";
import { LIGHT, type Palette } from "../theme";
import { shown, tick } from "../words";
import type { Option } from "./echarts";
import { axis, base, colours, legend, names, type Span } from "./frame";
import { lines } from "./xy";

const PIXELS = 900; // sides of the picture are enlarged to about this, without smoothing
export const LEGEND = 26; // height of the names of what is drawn over the colours
export const EDGES = { left: 74, right: 86, top: 10, bottom: 48 };

export function range(block: Heatmap): [number, number] {
  const [low, high] = extent(block.values.flat()) ?? [0, 1];
  if (!block.centred) return low === high ? [low - 0.5, high + 0.5] : [low, high];
  const size = Math.max(Math.abs(low), Math.abs(high)) || 1;
  return [-size, size];
}

export function heatmap(block: Heatmap, palette: Palette, width: number, height: number): Option {
  const [low, high] = range(block);
  const picture = painted(block, palette, low, high);
  const xs = ordered(block.x_range);
  const ys = ordered(block.y_range);
  const longest = Math.max(0, ...(block.y_names ?? []).map((name) => shown(name).length));
  const left = Math.min(Math.max(EDGES.left, longest * 6 + 34), width * 0.4);
  const series = block.series ?? [];
  const titles = names(series);
  const ink = block.centred ? palette : LIGHT; // one scale of colours is the same in the dark
  const tints = colours(series, ink);
  const top = EDGES.top + (series.length ? LEGEND : 0);
  const across = named(block.x, xs, block.x_range, block.x_names, palette, Math.max(2, Math.floor((width - left - EDGES.right) / 70)), "x", block.values[0]?.length ?? 0);
  const down = named(block.y, ys, block.y_range, block.y_names, palette, Math.max(2, Math.floor((height - top - EDGES.bottom) / (block.y_names?.length ? 16 : 26))), "y", block.values.length);
  return {
    ...base(palette),
    tooltip: { show: false },
    legend: { ...legend(titles.map((name, index) => ({ name, icon: "circle", itemStyle: { color: tints[index] } })), palette), show: series.length > 0 },
    grid: { ...EDGES, left, top },
    xAxis: { ...across, inverse: block.x_range[0] > block.x_range[1] },
    yAxis: { ...down, inverse: block.y_range[0] < block.y_range[1], nameGap: left - 22 },
    visualMap: {
      type: "continuous",
      min: low,
      max: high,
      calculable: false,
      hoverLink: false,
      right: 0,
      top,
      itemWidth: 12,
      itemHeight: Math.max(60, height - top - EDGES.bottom - 44),
      text: [tick(Number(high.toPrecision(3))), tick(Number(low.toPrecision(3)))],
      textStyle: { color: palette.quiet, fontSize: 11 },
      inRange: { color: [...scale(Boolean(block.centred), palette)] },
      seriesIndex: 1,
      dimension: 1,
    },
    series: [
      {
        type: "custom",
        silent: true,
        data: [[xs.low, ys.low]],
        renderItem: (_: Option, api: Option) => {
          const one = api.coord([block.x_range[0], block.y_range[0]]);
          const two = api.coord([block.x_range[1], block.y_range[1]]);
          const style = { image: picture, x: Math.min(one[0], two[0]), y: Math.min(one[1], two[1]), width: Math.abs(two[0] - one[0]), height: Math.abs(two[1] - one[1]) };
          return { type: "image", style };
        },
      },
      { type: "scatter", silent: true, symbolSize: 0, data: [] },
      ...series.flatMap((told, index) => lines(told, titles[index] ?? "", tints[index] ?? "", block.x, block.y, ink, width).flatMap((one) => lifted(one, ink))),
    ],
  };
}

/** What is drawn over colours, with a rim around it. */
function lifted(one: Option, palette: Palette): Option[] {
  const quiet = { ...one, silent: true, clip: true };
  if (one.type === "scatter") return [{ ...quiet, itemStyle: { ...one.itemStyle, borderColor: palette.ground, borderWidth: 1, opacity: 1 } }];
  const rim = { ...quiet, name: undefined, z: one.z - 0.5, showSymbol: false, lineStyle: { color: palette.ground, width: 4.5, type: "solid" } };
  return [rim, { ...quiet, lineStyle: { ...one.lineStyle, type: "solid" } }];
}

function ordered([first, last]: readonly [number, number]): Span {
  return first === last ? { low: first - 0.5, high: last + 0.5 } : { low: Math.min(first, last), high: Math.max(first, last) };
}

function named(
  told: Axis,
  span: Span,
  ends: readonly [number, number],
  names: readonly string[] | undefined,
  palette: Palette,
  many: number,
  which: "x" | "y",
  cells: number,
): Option {
  const option = axis({ label: told.label }, span, palette, many, which, span.high - span.low === cells);
  option.splitLine = { show: false };
  if (!names?.length) return option;
  const step = (ends[1] - ends[0]) / names.length;
  const centre = (index: number) => ends[0] + (index + 0.5) * step;
  const every = Math.max(1, Math.ceil(names.length / many));
  const values = names.flatMap((_, index) => (index % every ? [] : [centre(index)]));
  const limit = which === "x" ? 12 : 26;
  option.axisTick = { show: false };
  option.axisLabel = {
    ...option.axisLabel,
    customValues: values,
    formatter: (value: number) => {
      const text = shown(names[Math.round((value - ends[0]) / step - 0.5)] ?? "");
      return text.length > limit ? `${text.slice(0, limit - 1)}\u2026` : text;
    },
  };
  return option;
}

function painted(block: Heatmap, palette: Palette, low: number, high: number): HTMLCanvasElement {
  const rows = block.values.length;
  const columns = block.values[0]?.length ?? 0;
  const small = document.createElement("canvas");
  small.width = Math.max(columns, 1);
  small.height = Math.max(rows, 1);
  const pen = small.getContext("2d");
  const stops = scale(Boolean(block.centred), palette);
  const gap = at([palette.null, palette.null], 0);
  if (pen) {
    const pixels = pen.createImageData(small.width, small.height);
    block.values.forEach((row, i) =>
      row.forEach((value, j) => {
        const tint = value === null ? gap : at(stops, (value - low) / (high - low));
        pixels.data.set([...tint, 255], (i * columns + j) * 4);
      }),
    );
    pen.putImageData(pixels, 0, 0);
  }
  const factor = Math.max(1, Math.ceil(PIXELS / Math.max(small.width, small.height)));
  const large = document.createElement("canvas");
  large.width = small.width * factor;
  large.height = small.height * factor;
  const brush = large.getContext("2d");
  if (brush) {
    brush.imageSmoothingEnabled = false;
    brush.drawImage(small, 0, 0, large.width, large.height);
  }
  return large;
}
