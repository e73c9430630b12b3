// A graph as arrays: where its nodes stand, which edges come first, and what is joined to what.
import { extent } from "../colours";
import type { Axis, Edge, Graph } from "../report";
import { number, shown } from "../words";
import { on, type Span, span } from "./frame";

const LANE = 0.6; // distance of layers that stand side by side, where that of columns is 1

/** What the height of a node says: its value, its value on a logarithmic scale, or its place among the others. */
export type Scale = "value" | "log" | "order";

export interface Wires {
  block: Graph;
  /** Significant edges, then the others, each the most surprising first. */
  edges: readonly Edge[];
  significant: number;
  from: Int32Array;
  to: Int32Array;
  /** Of every edge its weight over the largest one. */
  strength: Float64Array;
  /** Of every node its place from the left; columns are 1 apart. */
  x: Float64Array;
  /** Places of the stands, columns or lanes of one, and the stand of every node. */
  stands: readonly number[];
  stand: Int32Array;
  /** Significant edges that enter and that leave every node. */
  into: readonly (readonly number[])[];
  out: readonly (readonly number[])[];
  /** Most nodes in one stand. */
  most: number;
}

export function wired(block: Graph): Wires {
  const index = new Map(block.nodes.map((node, place) => [node.key, place]));
  const order = (a: Edge, b: Edge) => (a.p ?? 1) - (b.p ?? 1) || Math.abs(b.weight) - Math.abs(a.weight);
  const told = block.edges.toSorted(order);
  const first = told.filter((edge) => edge.significant !== false);
  const edges = [...first, ...told.filter((edge) => edge.significant === false)];
  const end = (key: string) => {
    const place = index.get(key);
    if (place === undefined) throw new Error(`An edge has the end ${JSON.stringify(key)}, which is no node.`);
    return place;
  };
  const from = Int32Array.from(edges, (edge) => end(edge.source));
  const to = Int32Array.from(edges, (edge) => end(edge.target));
  const heaviest = edges.reduce((most, edge) => Math.max(most, Math.abs(edge.weight)), 1e-300);
  const into: number[][] = block.nodes.map(() => []);
  const out: number[][] = block.nodes.map(() => []);
  for (let edge = 0; edge < first.length; edge += 1) {
    out[from[edge] ?? 0]?.push(edge);
    into[to[edge] ?? 0]?.push(edge);
  }
  const keys = block.nodes.map((node) => [node.column ?? 0, node.lane ?? 0] as const);
  const sorted = [...new Map(keys.map((key) => [key.join(), key])).values()].toSorted((a, b) => a[0] - b[0] || a[1] - b[1]);
  const stands: number[] = [];
  sorted.forEach((key, place) => stands.push(place === 0 ? 0 : (stands[place - 1] ?? 0) + (key[0] === sorted[place - 1]?.[0] ? LANE : 1)));
  const names = new Map(sorted.map((key, place) => [key.join(), place]));
  const stand = Int32Array.from(keys, (key) => names.get(key.join()) ?? 0);
  const counts = sorted.map(() => 0);
  for (const one of stand) counts[one] = (counts[one] ?? 0) + 1;
  return {
    block,
    edges,
    significant: first.length,
    from,
    to,
    strength: Float64Array.from(edges, (edge) => Math.abs(edge.weight) / heaviest),
    x: Float64Array.from(stand, (one) => stands[one] ?? 0),
    stands,
    stand,
    into,
    out,
    most: Math.max(1, ...counts),
  };
}

/** The scales that a graph can be drawn on, the one it asks for first. */
export function scales(block: Graph): Scale[] {
  if (!block.y?.label || !block.nodes.some((node) => typeof node.height === "number")) return ["order"];
  const values: Scale[] = extent(block.nodes.map((node) => on({ label: "", log: true }, node.height))) ? (block.y.log ? ["log", "value"] : ["value", "log"]) : ["value"];
  return [...values, "order"];
}

export interface Heights {
  /** From the top, between 0 and 1; what the scale cannot show is at 1. */
  share: Float64Array;
  /** What the top and the bottom of the scale stand for, or null. */
  range: Span | null;
  /** Share of the drawing above what the scale cannot show. */
  foot: number;
  axis: Axis;
}

const FOOT = 0.95; // where the scale ends if there are nodes that it cannot show

export function heights(wires: Wires, scale: Scale): Heights {
  const { block, stand, most } = wires;
  const axis: Axis = { label: block.y?.label ?? "", log: scale === "log" };
  if (scale === "order") {
    const next = wires.stands.map(() => 0);
    const sizes = wires.stands.map(() => 0);
    for (const one of stand) sizes[one] = (sizes[one] ?? 0) + 1;
    const share = Float64Array.from(block.nodes, (node, index) => {
      const own = stand[index] ?? 0;
      const size = sizes[own] ?? 1;
      const row = next[own] ?? 0;
      next[own] = row + 1;
      return typeof node.rank === "number" ? (node.rank + 0.5) / Math.max(size, node.rank + 1) : (row + (most - size) / 2 + 0.5) / most;
    });
    return { share, range: null, foot: 1, axis };
  }
  const values = block.nodes.map((node) => on(axis, node.height));
  const range = span(axis, values);
  const foot = values.includes(null) ? FOOT : 1;
  return { share: Float64Array.from(values, (value) => (value === null ? 1 - (1 - FOOT) / 3 : foot * (1 - part(range, axis, value)))), range, foot, axis };
}

/** How far up on a scale a value lies. */
export function part({ low, high }: Span, axis: Axis, value: number): number {
  return axis.log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
}

/** The value at a part of a scale. */
export function valueAt({ low, high }: Span, axis: Axis, share: number): number {
  return axis.log ? low * (high / low) ** share : low + share * (high - low);
}

export type Start = { node: number } | { edge: number };

export interface Lit {
  nodes: ReadonlySet<number>;
  edges: ReadonlySet<number>;
}

/** All significant edges that lead to the start and from it, through as many columns as they do. */
export function path(wires: Wires, start: Start): Lit {
  const edges = new Set<number>("edge" in start ? [start.edge] : []);
  const nodes = new Set<number>();
  const walk = (begin: number, next: Wires["into"], ends: Int32Array) => {
    const seen = new Set<number>([begin]);
    const waiting = [begin];
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      for (const edge of next[at] ?? []) {
        edges.add(edge);
        const end = ends[edge] ?? 0;
        if (seen.has(end)) continue;
        seen.add(end);
        waiting.push(end);
      }
    }
    for (const node of seen) nodes.add(node);
  };
  walk("edge" in start ? (wires.from[start.edge] ?? 0) : start.node, wires.into, wires.from);
  walk("edge" in start ? (wires.to[start.edge] ?? 0) : start.node, wires.out, wires.to);
  return { nodes, edges };
}

/** Of every node the heaviest of the first `count` edges, or -1. */
export function heaviest(wires: Wires, count: number): Int32Array {
  const found = new Int32Array(wires.block.nodes.length).fill(-1);
  for (let edge = 0; edge < count; edge += 1) {
    for (const end of [wires.from[edge] ?? 0, wires.to[edge] ?? 0]) {
      const known = found[end] ?? -1;
      if (known < 0 || (wires.strength[edge] ?? 0) > (wires.strength[known] ?? 0)) found[end] = edge;
    }
  }
  return found;
}

export function described(wires: Wires, index: number): string[] {
  const edge = wires.edges[index];
  if (!edge) return [];
  const ends = [wires.from, wires.to].map((side) => shown(wires.block.nodes[side[index] ?? 0]?.text ?? "")).join(" \u2192 ");
  const p = typeof edge.p === "number" ? `, p ${edge.p > 0 ? number(edge.p) : "below 10\u207b\u00b3\u2070\u2070"}` : "";
  return [ends, `weight ${number(edge.weight)}${p}${edge.significant === false ? ", not significant" : ""}`, ...(edge.text ? [shown(edge.text)] : [])];
}
