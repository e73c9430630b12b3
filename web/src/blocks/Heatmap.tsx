// A matrix as colours, with the cell under the pointer in words.
import { useRef, useState } from "preact/hooks";
import type { Chart } from "../charts/echarts";
import { heatmap, LEGEND, range } from "../charts/heat";
import type { Cell, Heatmap } from "../report";
import { number, shown } from "../words";
import { Drawing } from "./Drawing";

export function HeatmapBlock({ block, depth }: { block: Heatmap; depth: number }) {
  const [cell, point] = useState("");
  const chart = useRef<Chart | null>(null);
  const rows = block.values.length;
  const columns = block.values[0]?.length ?? 0;
  const height = Math.round(Math.min(Math.max(rows * 22, 240), 460)) + 58 + (block.series?.length ? LEGEND : 0);
  const place = (index: number, names: readonly string[] | undefined, ends: readonly [number, number], many: number) =>
    names?.[index] ?? number(ends[0] + ((index + 0.5) / many) * (ends[1] - ends[0]));
  const watch = (made: Chart) => {
    chart.current = made;
    made.getZr().on("mousemove", (event: { offsetX: number; offsetY: number }) => {
      const [x, y] = made.convertFromPixel({ gridIndex: 0 }, [event.offsetX, event.offsetY]) as [number, number];
      const j = Math.floor(((x - block.x_range[0]) / (block.x_range[1] - block.x_range[0])) * columns);
      const i = Math.floor(((y - block.y_range[0]) / (block.y_range[1] - block.y_range[0])) * rows);
      const value = block.values[i]?.[j];
      point(
        value === undefined
          ? ""
          : `${shown(block.y.label)} ${shown(place(i, block.y_names, block.y_range, rows))}, ${shown(block.x.label)} ${shown(place(j, block.x_names, block.x_range, columns))}: ${number(value)}`,
      );
    });
    made.getZr().on("globalout", () => point(""));
  };
  const numbers = () => ({
    columns: [block.y.label || "row", ...Array.from({ length: columns }, (_, j) => place(j, block.x_names, block.x_range, columns))],
    rows: block.values.map((row, i): Cell[] => [place(i, block.y_names, block.y_range, rows), ...row]),
  });
  const [low, high] = range(block);
  return (
    <Drawing
      title={block.title}
      caption={block.caption}
      depth={depth}
      height={height}
      option={(palette, width) => heatmap(block, palette, width, height)}
      numbers={numbers}
      said={`Heat map of ${rows} by ${columns} values, colours from ${number(low)} to ${number(high)}.`}
      ready={watch}
    >
      <p class="readout">{cell || (block.value ? `Colour: ${shown(block.value)}` : "\u00a0")}</p>
    </Drawing>
  );
}
