// Heights over common bins.
import { histogram } from "../charts/xy";
import type { Cell, Histogram } from "../report";
import { shown } from "../words";
import { Drawing } from "./Drawing";

export function HistogramBlock({ block, depth }: { block: Histogram; depth: number }) {
  const height = 320;
  const numbers = () => ({
    columns: ["from", "to", ...block.counts.map((counts) => counts.name)],
    rows: block.edges.slice(0, -1).map((edge, bin): Cell[] => [edge, block.edges[bin + 1] ?? null, ...block.counts.map((counts) => counts.values[bin] ?? null)]),
  });
  return (
    <Drawing
      title={block.title}
      caption={block.caption}
      depth={depth}
      height={height}
      option={(palette, width) => histogram(block, palette, width, height)}
      numbers={numbers}
      said={`Histogram of ${shown(block.x.label)}: ${block.counts.map((counts) => shown(counts.name)).join(", ")}.`}
    />
  );
}
