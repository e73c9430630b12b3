// Series over common axes.
import { listed } from "../charts/frame";
import { curve, valued } from "../charts/xy";
import type { Cell, Curve, Series } from "../report";
import { shown } from "../words";
import type { Numbers } from "./Card";
import { Drawing } from "./Drawing";

export function CurveBlock({ block, depth }: { block: Curve; depth: number }) {
  const height = 320;
  const there = block.series.filter(valued);
  const unnamed = there.length > 1 && !listed(there.length) ? `${there.length} series: the pointer and the numbers name them.` : "";
  return (
    <Drawing
      title={block.title}
      caption={[block.caption, unnamed].filter(Boolean).join(" ")}
      depth={depth}
      height={height}
      option={(palette, width) => curve(block, palette, width, height)}
      numbers={() => points(block.series, block.x.label, block.y.label)}
      said={`${shown(block.y.label)} over ${shown(block.x.label)}: ${there.map((series) => shown(series.name)).join(", ")}.`}
    />
  );
}

export function points(series: readonly Series[], x: string, y: string): Numbers {
  const texts = series.some((one) => one.texts?.length);
  const band = series.some((one) => one.low?.length || one.high?.length);
  const columns = ["series", ...(texts ? ["name"] : []), x, y, ...(band ? ["low", "high"] : [])];
  const rows = series.flatMap((one) =>
    one.x.map((at, index): Cell[] => [
      one.name,
      ...(texts ? [one.texts?.[index] ?? ""] : []),
      at,
      one.y[index] ?? null,
      ...(band ? [one.low?.[index] ?? null, one.high?.[index] ?? null] : []),
    ]),
  );
  return { columns, rows };
}
