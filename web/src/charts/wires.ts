// Option for a graph: nodes in columns, edges as curves between them.
import { at, css, extent, scale } from "../colours";
import type { Edge, Graph, Node } from "../report";
import type { Palette } from "../theme";
import { number, shown, tick } from "../words";
import type { Option } from "./echarts";
import { base } from "./frame";

export interface Placed {
  node: Node;
  x: number;
  y: number;
}

/** Columns from left to right as equally spaced places, the nodes of each evenly down. */
export function placed(block: Graph): Map<string, Placed> {
  const columns = [...new Set(block.nodes.map((node) => node.column ?? 0))].toSorted((a, b) => a - b);
  const counts = columns.map((column) => block.nodes.filter((node) => (node.column ?? 0) === column).length);
  const most = Math.max(1, ...counts);
  const next = columns.map(() => 0);
  return new Map(
    block.nodes.map((node) => {
      const x = columns.indexOf(node.column ?? 0);
      const row = next[x] ?? 0;
      next[x] = row + 1;
      return [node.key, { node, x, y: row + (most - (counts[x] ?? 0)) / 2 }];
    }),
  );
}

/** Significant edges, then the others: the most surprising first, then the heaviest. */
export function ranked(block: Graph): { significant: Edge[]; rest: Edge[] } {
  const order = (a: Edge, b: Edge) => (a.p ?? 1) - (b.p ?? 1) || Math.abs(b.weight) - Math.abs(a.weight);
  const told = block.edges.toSorted(order);
  return { significant: told.filter((edge) => edge.significant !== false), rest: told.filter((edge) => edge.significant === false) };
}

export function graph(block: Graph, edges: readonly Edge[], palette: Palette, width: number): Option {
  const places = placed(block);
  const heaviest = Math.max(...edges.map((edge) => Math.abs(edge.weight)), 1e-300);
  const values = extent(block.nodes.map((node) => node.value));
  const stops = scale(false, palette);
  const last = Math.max(0, ...[...places.values()].map((place) => place.x));
  const rows = Math.max(1, ...[...places.values()].map((place) => place.y + 1));
  const room = Math.min(150, width / (last + 2.2));
  const tint = (node: Node) =>
    typeof node.value !== "number" || !values ? palette.data[0] : css(at(stops, values[1] > values[0] ? (node.value - values[0]) / (values[1] - values[0]) : 0.5));
  const option: Option = {
    ...base(palette),
    grid: { left: 14, right: room, top: 20, bottom: values && block.value ? 52 : 14 },
    xAxis: { type: "value", show: false, min: 0, max: Math.max(last, 1) },
    yAxis: { type: "value", show: false, inverse: true, min: -0.5, max: rows - 0.5 },
    series: [
      {
        type: "custom",
        name: "edges",
        z: 1,
        data: edges.map((edge, index) => ({ value: [places.get(edge.source)?.x ?? 0, places.get(edge.source)?.y ?? 0, index] })),
        encode: { x: 0, y: 1 },
        renderItem: (item: Option, api: Option) => {
          const edge = edges[item.dataIndex];
          const from = edge && places.get(edge.source);
          const to = edge && places.get(edge.target);
          if (!edge || !from || !to) return null;
          const [x1, y1] = api.coord([from.x, from.y]);
          const [x2, y2] = api.coord([to.x, to.y]);
          const share = Math.abs(edge.weight) / heaviest;
          const bend = from.x === to.x ? 40 : (x2 - x1) * 0.45;
          const shape = { x1, y1, x2, y2, cpx1: x1 + bend, cpy1: y1, cpx2: from.x === to.x ? x2 + bend : x2 - bend, cpy2: y2 };
          const stroke = edge.weight < 0 ? palette.law : palette.data[0];
          const style = { stroke, fill: "none", lineWidth: 0.8 + 4 * share, opacity: (edge.significant === false ? 0.12 : 0.3) + 0.45 * share };
          return { type: "bezierCurve", shape, style, emphasis: { style: { opacity: 1 } } };
        },
      },
      {
        type: "scatter",
        name: "nodes",
        z: 2,
        symbolSize: rows > 40 ? 7 : 12,
        data: [...places.values()].map(({ node, x, y }) => ({
          value: [x, y],
          itemStyle: { color: tint(node), borderColor: palette.ground, borderWidth: 1.5 },
          ...(x < last && { label: { position: [0, -9], align: "left", verticalAlign: "bottom", width: (width - room - 14) / last - 12 } }),
        })),
        label: {
          show: true,
          position: "right",
          distance: 6,
          color: palette.ink,
          fontSize: 11,
          textBorderColor: palette.ground,
          textBorderWidth: 3,
          width: room,
          overflow: "truncate",
          formatter: (item: Option) => shown(block.nodes[item.dataIndex]?.text ?? ""),
        },
        labelLayout: { hideOverlap: true },
      },
    ],
  };
  if (values && block.value) {
    option.visualMap = {
      type: "continuous",
      orient: "horizontal",
      min: values[0],
      max: values[1] > values[0] ? values[1] : values[0] + 1,
      left: 8,
      bottom: 0,
      itemWidth: 10,
      itemHeight: 120,
      calculable: false,
      hoverLink: false,
      text: [tick(Number(values[1].toPrecision(3))), `${shown(block.value)}  ${tick(Number(values[0].toPrecision(3)))}`],
      textStyle: { color: palette.quiet, fontSize: 11 },
      inRange: { color: [...stops] },
      seriesIndex: 9, // the colours are given with the nodes: this only draws the scale
    };
  }
  option.tooltip.trigger = "item";
  option.tooltip.formatter = (item: Option) => {
    if (item.seriesName === "nodes") {
      const node = block.nodes[item.dataIndex];
      return node ? [shown(node.text), ...(typeof node.value === "number" ? [`${shown(block.value ?? "") || "value"}  ${number(node.value)}`] : [])].join("\n") : "";
    }
    const edge = edges[item.dataIndex];
    return edge ? described(edge, places).join("\n") : "";
  };
  return option;
}

export function described(edge: Edge, places: Map<string, Placed>): string[] {
  const ends = [edge.source, edge.target].map((key) => shown(places.get(key)?.node.text ?? key)).join(" \u2192 ");
  const p = typeof edge.p === "number" ? `, p ${number(edge.p)}` : "";
  return [ends, `weight ${number(edge.weight)}${p}${edge.significant === false ? ", not significant" : ""}`, ...(edge.text ? [shown(edge.text)] : [])];
}
