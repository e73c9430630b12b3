// Painting a graph: edges in batches of equal strength, so that ten thousand of them are a few hundred strokes.
import { at, css, extent, scale as stops } from "../colours";
import { shortened } from "../short";
import type { Palette } from "../theme";
import { number, shown, tick } from "../words";
import { FONT } from "./echarts";
import { ticks } from "./frame";
import type { Pen } from "./svg";
import { type Heights, type Lit, part, valueAt, type Wires } from "./wires";

/** The part of the drawing in the window: places from the left, shares from the top. */
export interface View {
  x0: number;
  x1: number;
  y0: number;
  y1: number;
}

export interface Scene {
  wires: Wires;
  heights: Heights;
  palette: Palette;
  view: View;
  width: number;
  height: number;
  left: number;
  right: number;
  top: number;
  bottom: number;
  /** Pixels per place. */
  step: number;
  /** Where every node is. */
  x: Float64Array;
  y: Float64Array;
  radius: number;
  names: readonly string[];
  slanted: boolean;
}

const BINS = 8; // strengths that are told apart
const BATCH = 128; // edges in one stroke: a longer path costs more than its parts
const SLANT = -0.65; // of headings that have no room side by side
const SLANTED = 76; // pixels to the right that slanted headings need
const HEADING = 64; // pixels between stands from which headings are level
const CLOSE = 13; // pixels between stands below which some go without a heading
const OWN = 96; // pixels that the name of a node may take under a heading
const LABELLED = 400; // nodes that are named beside themselves at most
const ruler = document.createElement("canvas").getContext("2d");

function wide(text: string, font = `11px ${FONT}`): number {
  if (!ruler) return text.length * 6;
  ruler.font = font;
  return ruler.measureText(text).width;
}

/** All of it. */
export function whole(wires: Wires): View {
  return { x0: 0, x1: Math.max(wires.stands.at(-1) ?? 0, 1e-9), y0: 0, y1: 1 };
}

export function margins(wires: Wires, heights: Heights, width: number, shownWidth = 1): { left: number; right: number; top: number; bottom: number } {
  const headed = Boolean(wires.block.columns?.length);
  const left = heights.range ? 58 : headed ? 24 : 14;
  const level = headed && (gap(wires) * (width - left - SLANTED)) / Math.max(shownWidth, 1e-9) >= HEADING;
  return {
    left,
    right: headed ? (level ? 40 : SLANTED) : Math.min(150, width / ((wires.stands.at(-1) ?? 0) + 2.2)),
    top: !headed ? 20 : level ? 36 : 92,
    bottom: coloured(wires) ? 52 : 14,
  };
}

/** The least distance of two stands. */
export function gap(wires: Wires): number {
  return wires.stands.reduce((least, place, index) => (index ? Math.min(least, place - (wires.stands[index - 1] ?? 0)) : least), 1);
}

function coloured(wires: Wires): [number, number] | null {
  return wires.block.value ? extent(wires.block.nodes.map((node) => node.value)) : null;
}

export function scene(wires: Wires, heights: Heights, palette: Palette, view: View, width: number, height: number): Scene {
  const { left, right, top, bottom } = margins(wires, heights, width, view.x1 - view.x0);
  const step = (width - left - right) / Math.max(view.x1 - view.x0, 1e-9);
  const tall = (height - top - bottom) / (view.y1 - view.y0);
  const room = gap(wires) * step;
  const slanted = right === SLANTED;
  const headings = (wires.block.columns ?? []).map(shown);
  return {
    wires,
    heights,
    palette,
    view,
    width,
    height,
    left,
    right: width - right,
    top,
    bottom: height - bottom,
    step,
    x: wires.x.map((place) => left + (wires.stands.length > 1 ? (place - view.x0) * step : 0)),
    y: heights.share.map((share) => top + (share - view.y0) * tall),
    radius: radiusOf(wires),
    names: shortened(headings, (text) => wide(text) <= (slanted ? 92 : room - 10)),
    slanted,
  };
}

function radiusOf(wires: Wires): number {
  if (wires.most > 200) return 2;
  return wires.most > 40 ? 3 : wires.most > 16 ? 4 : 6;
}

/** Bend of the curve of an edge, towards its start and towards its end. */
function bends(scene: Scene, x1: number, x2: number): [number, number] {
  if (x1 === x2) return [40, 40];
  const bend = Math.sign(x2 - x1) * Math.min(Math.abs(x2 - x1) * 0.45, scene.step * 0.8);
  return [bend, -bend];
}

function trace(pen: Pen, scene: Scene, edge: number): void {
  const { wires, x, y } = scene;
  const [from, to] = [wires.from[edge] ?? 0, wires.to[edge] ?? 0];
  const [x1, y1, x2, y2] = [x[from] ?? 0, y[from] ?? 0, x[to] ?? 0, y[to] ?? 0];
  const [out, into] = bends(scene, x1, x2);
  pen.moveTo(x1, y1);
  pen.bezierCurveTo(x1 + out, y1, x2 + into, y2, x2, y2);
}

function inside(scene: Scene, edge: number): boolean {
  const [a, b] = [scene.x[scene.wires.from[edge] ?? 0] ?? 0, scene.x[scene.wires.to[edge] ?? 0] ?? 0];
  return Math.max(a, b) >= scene.left - 20 && Math.min(a, b) <= scene.right + 20;
}

function framed(pen: Pen, scene: Scene, draw: () => void): void {
  const room = scene.radius + 3;
  pen.save();
  pen.beginPath();
  pen.rect(scene.left - room, scene.top - room, scene.right - scene.left + 2 * room + 40, scene.bottom - scene.top + 2 * room);
  pen.clip();
  draw();
  pen.restore();
}

/** The first `count` edges and all nodes, as strongly as asked for. */
export function paintAll(pen: Pen, scene: Scene, count: number, force = 1): void {
  paintStands(pen, scene);
  framed(pen, scene, () => {
    paintEdges(pen, scene, count, force);
    pen.globalAlpha = force;
    paintNodes(pen, scene);
    pen.globalAlpha = 1;
  });
}

function paintStands(pen: Pen, { wires, palette, names, left, right, top, bottom, view, step }: Scene): void {
  if (!names.length) return;
  pen.strokeStyle = palette.faint;
  pen.lineWidth = 1;
  pen.beginPath();
  for (const place of wires.stands) {
    const x = left + (place - view.x0) * step;
    if (x < left - 2 || x > right + 2) continue;
    pen.moveTo(x, top - 10);
    pen.lineTo(x, bottom + 6);
  }
  pen.stroke();
}

function paintEdges(pen: Pen, scene: Scene, count: number, force: number): void {
  const { wires, palette } = scene;
  const bins = new Map<string, number[]>();
  for (let edge = 0; edge < count; edge += 1) {
    if (!inside(scene, edge)) continue;
    const kind = edge >= wires.significant ? 0 : (wires.edges[edge]?.weight ?? 0) < 0 ? 1 : 2;
    const bin = Math.min(Math.floor((wires.strength[edge] ?? 0) * BINS), BINS - 1);
    const key = `${bin} ${kind}`;
    const told = bins.get(key);
    if (told) told.push(edge);
    else bins.set(key, [edge]);
  }
  const thin = Math.min(1, Math.max(Math.sqrt(500 / Math.max(count, 1)), 0.2));
  const sorted = [...bins].map(([key, edges]) => ({ bin: Number(key.split(" ")[0]), kind: Number(key.split(" ")[1]), edges })).toSorted((a, b) => Math.sign(a.kind) - Math.sign(b.kind) || a.bin - b.bin);
  for (const { bin, kind, edges } of sorted) {
    const share = (bin + 0.5) / BINS;
    pen.strokeStyle = kind === 0 ? palette.null : kind === 1 ? palette.law : (palette.data[0] ?? palette.ink);
    const many = thin ** (1 - share); // where there are many the weak ones step back, the strong ones stay
    pen.lineWidth = (0.8 + 3.4 * share * share) * Math.max(many, 0.5) * (kind === 0 ? 0.7 : 1);
    pen.globalAlpha = (kind === 0 ? 0.2 + 0.4 * share : 0.25 + 0.6 * share) * many * force;
    strokes(pen, scene, edges);
  }
}

function strokes(pen: Pen, scene: Scene, edges: Iterable<number>): void {
  let waiting = 0;
  pen.beginPath();
  for (const edge of edges) {
    trace(pen, scene, edge);
    waiting += 1;
    if (waiting === BATCH) {
      pen.stroke();
      pen.beginPath();
      waiting = 0;
    }
  }
  if (waiting) pen.stroke();
}

function paintNodes(pen: Pen, scene: Scene, only?: Iterable<number>): void {
  const { wires, palette, x, y, radius } = scene;
  const range = coloured(wires);
  const colours = stops(false, palette);
  const tint = (value: number | null | undefined) =>
    typeof value !== "number" || !range ? (palette.data[0] ?? palette.ink) : css(at(colours, range[1] > range[0] ? Math.round(((value - range[0]) / (range[1] - range[0])) * 32) / 32 : 0.5));
  const groups = new Map<string, { value: number; nodes: number[] }>();
  const lone = (node: number) => Boolean(wires.block.y?.label) && !wires.into[node]?.length && !wires.out[node]?.length;
  for (const node of only ?? wires.block.nodes.keys()) {
    const value = wires.block.nodes[node]?.value;
    const colour = lone(node) ? palette.null : tint(value);
    const told = groups.get(colour);
    if (told) told.nodes.push(node);
    else groups.set(colour, { value: lone(node) ? -Infinity : (value ?? -Infinity), nodes: [node] });
  }
  pen.lineWidth = radius > 3 ? 3 : 1.5;
  pen.strokeStyle = palette.ground;
  for (const [colour, { nodes }] of [...groups].toSorted((a, b) => Math.sign(a[1].value - b[1].value) || 0)) {
    const size = colour === palette.null ? radius * 0.7 : radius;
    pen.fillStyle = colour;
    pen.beginPath();
    for (const node of nodes) {
      const [a, b] = [x[node] ?? 0, y[node] ?? 0];
      pen.moveTo(a + size, b);
      pen.arc(a, b, size, 0, 2 * Math.PI);
    }
    pen.stroke();
    pen.fill();
  }
}

/** Axis, headings, the scale of the colours, and names beside nodes. */
export function paintFrame(pen: Pen, scene: Scene, lit: Lit | null): void {
  pen.globalAlpha = 1;
  pen.font = `11px ${FONT}`;
  paintAxis(pen, scene);
  paintHeadings(pen, scene);
  paintLegend(pen, scene);
  const { wires } = scene;
  if (lit && lit.nodes.size <= LABELLED) paintNames(pen, scene, lit.nodes);
  else if (!lit && !wires.block.columns?.length && wires.block.nodes.length <= LABELLED) paintNames(pen, scene, wires.block.nodes.keys());
}

function paintAxis(pen: Pen, { heights, palette, left, top, bottom, view }: Scene): void {
  const { range, axis, foot } = heights;
  if (!range) return;
  const tall = (bottom - top) / (view.y1 - view.y0);
  const place = (share: number) => top + (share - view.y0) * tall;
  const high = valueAt(range, axis, 1 - view.y0 / foot);
  const low = valueAt(range, axis, 1 - Math.min(view.y1 / foot, 1));
  pen.fillStyle = palette.quiet;
  pen.strokeStyle = palette.line;
  pen.lineWidth = 1;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  const row = left - 16;
  const told: number[] = [];
  const mark = (text: string, y: number) => {
    if (y < top - 1 || y > bottom + 1 || told.some((other) => Math.abs(other - y) < 13)) return;
    told.push(y);
    pen.fillText(text, row, y);
    pen.beginPath();
    pen.moveTo(row + 3, y);
    pen.lineTo(row + 7, y);
    pen.stroke();
  };
  for (const value of ticks({ low: Math.min(low, high), high }, Boolean(axis.log), Math.max(2, (bottom - top) / 60))) mark(tick(value), place(foot * (1 - part(range, axis, value))));
  if (foot < 1) mark("0", place(1 - (1 - foot) / 3));
  pen.beginPath();
  pen.moveTo(row + 7, top);
  pen.lineTo(row + 7, Math.min(place(foot), bottom));
  pen.stroke();
  pen.save();
  pen.translate(9, (top + bottom) / 2);
  pen.rotate(-Math.PI / 2);
  pen.textAlign = "center";
  pen.fillText(shown(axis.label), 0, 0);
  pen.restore();
}

function paintHeadings(pen: Pen, { wires, palette, names, slanted, left, right, top, view, step, width }: Scene): void {
  if (!names.length) return;
  pen.textBaseline = slanted ? "middle" : "alphabetic";
  let last = -Infinity;
  wires.stands.forEach((place, index) => {
    const x = left + (place - view.x0) * step;
    if (x < left - 2 || x > right + 2) return;
    if (x - last < CLOSE) return;
    last = x;
    pen.fillStyle = palette.ink;
    if (slanted) {
      pen.save();
      pen.translate(x, top - 14);
      pen.rotate(SLANT);
      pen.textAlign = "left";
      pen.fillText(names[index] ?? "", 0, 0);
      pen.restore();
    } else {
      pen.textAlign = "center";
      const half = wide(names[index] ?? "") / 2;
      pen.fillText(names[index] ?? "", Math.max(Math.min(x, width - half), half), top - 17);
    }
  });
}

function paintLegend(pen: Pen, { wires, palette, height, left }: Scene): void {
  const range = coloured(wires);
  if (!range) return;
  const y = height - 16;
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  pen.fillStyle = palette.quiet;
  const low = `${shown(wires.block.value ?? "")}  ${tick(Number(range[0].toPrecision(3)))}`;
  pen.fillText(low, left - 6, y);
  const x = left + wide(low) + 2;
  const colours = stops(false, palette);
  for (let k = 0; k < 40; k += 1) {
    pen.fillStyle = css(at(colours, k / 39));
    pen.fillRect(Math.round(x) + 3 * k, Math.round(y) - 5, k < 39 ? 4 : 3, 10);
  }
  pen.fillStyle = palette.quiet;
  pen.fillText(tick(Number(range[1].toPrecision(3))), x + 128, y);
}

/** Names beside nodes, where they overprint neither each other nor the next column. */
function paintNames(pen: Pen, scene: Scene, nodes: Iterable<number>): void {
  const { wires, palette, x, y, radius, step, left, right, top, bottom, width } = scene;
  const boxes: [number, number, number, number][] = [];
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  const last = (wires.stands.at(-1) ?? 0) - 1e-6;
  for (const node of nodes) {
    const headed = Boolean(wires.block.columns?.length);
    const beside = !headed && (wires.x[node] ?? 0) > last;
    if ((x[node] ?? 0) < left - 2 || (x[node] ?? 0) > right + 2 || (y[node] ?? 0) < top - 1 || (y[node] ?? 0) > bottom + 1) continue;
    const room = Math.max(step * gap(wires) - 12, headed ? OWN : 30);
    const text = cut(named(wires, node), beside ? width - (x[node] ?? 0) - radius - 9 : room);
    const a = Math.min((x[node] ?? 0) + (beside ? radius + 5 : 0), width - wide(text) - 2);
    const b = (y[node] ?? 0) - (beside ? 0 : radius + 8);
    const box: [number, number, number, number] = [a, b - 7, a + wide(text), b + 7];
    if (!text || boxes.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
    boxes.push(box);
    pen.strokeStyle = palette.ground;
    pen.lineWidth = 3;
    pen.strokeText(text, a, b);
    pen.fillStyle = palette.ink;
    pen.fillText(text, a, b);
  }
}

/** The text of a node without the name of its layer, where that stands above it. */
function named({ block, stand }: Wires, node: number): string {
  const text = block.nodes[node]?.text ?? "";
  const heading = ` of ${block.columns?.[stand[node] ?? 0] ?? ""}`;
  return shown(block.columns?.length && text.endsWith(heading) ? text.slice(0, -heading.length) : text);
}

function cut(text: string, room: number): string {
  if (wide(text) <= room) return text;
  const signs = [...text];
  let size = Math.max(Math.floor((signs.length * room) / wide(text)), 0);
  while (size > 0 && wide(`${signs.slice(0, size).join("")}\u2026`) > room) size -= 1;
  return size > 2 ? `${signs.slice(0, size).join("")}\u2026` : "";
}

/** A lit path, and what is under the pointer. */
export function paintOver(pen: Pen, scene: Scene, lit: Lit | null, over: { node: number; edge: number }): void {
  const { palette, x, y, radius, wires } = scene;
  framed(pen, scene, () => {
    if (lit) {
      const few = lit.edges.size <= 300;
      pen.strokeStyle = palette.data[0] ?? palette.ink;
      const bins: number[][] = Array.from({ length: BINS }, () => []);
      for (const edge of lit.edges) if (inside(scene, edge)) bins[Math.min(Math.floor((wires.strength[edge] ?? 0) * BINS), BINS - 1)]?.push(edge);
      bins.forEach((edges, bin) => {
        pen.lineWidth = few ? 1.2 + 2.8 * (bin / BINS) : 0.7 + 1.6 * (bin / BINS);
        pen.globalAlpha = few ? 0.9 : 0.45;
        strokes(pen, scene, edges);
      });
      pen.globalAlpha = 1;
      paintNodes(pen, scene, lit.nodes);
    }
    pen.strokeStyle = palette.law;
    if (over.edge >= 0) {
      pen.lineWidth = 2.5;
      strokes(pen, scene, [over.edge]);
      paintNodes(pen, scene, [wires.from[over.edge] ?? 0, wires.to[over.edge] ?? 0]);
    }
    if (over.node >= 0) {
      pen.lineWidth = 2;
      pen.strokeStyle = palette.law;
      pen.beginPath();
      pen.arc(x[over.node] ?? 0, y[over.node] ?? 0, radius + 3, 0, 2 * Math.PI);
      pen.stroke();
    }
  });
}

const CELL = 10; // pixels: edges are looked for in cells of this size
const REACH = 6; // pixels from which something is under the pointer

/** What is under a place: nodes before edges. */
export class Finder {
  private readonly columns: number;
  private readonly rows: number;
  private readonly first: Int32Array;
  private next = new Int32Array(1 << 15);
  private owner = new Int32Array(1 << 15);
  private used = 1;

  constructor(
    private readonly scene: Scene,
    count: number,
  ) {
    this.columns = Math.ceil(scene.width / CELL) + 1;
    this.rows = Math.ceil(scene.height / CELL) + 1;
    this.first = new Int32Array(this.columns * this.rows);
    for (let edge = count - 1; edge >= 0; edge -= 1) {
      if (!inside(scene, edge)) continue;
      let before = -1;
      this.along(edge, CELL / 2, (x, y) => {
        if (x < 0 || y < 0 || x >= scene.width || y >= scene.height) return;
        const cell = Math.floor(y / CELL) * this.columns + Math.floor(x / CELL);
        if (cell !== before) this.put(cell, edge);
        before = cell;
      });
    }
  }

  at(px: number, py: number): { node: number; edge: number } {
    const { scene } = this;
    const { x, y, wires } = scene;
    let node = -1;
    let least = (scene.radius + 3) ** 2;
    for (let index = 0; index < wires.block.nodes.length; index += 1) {
      const far = ((x[index] ?? 0) - px) ** 2 + ((y[index] ?? 0) - py) ** 2;
      if (far < least) [node, least] = [index, far];
    }
    if (node >= 0) return { node, edge: -1 };
    const found = new Set<number>();
    const [column, row] = [Math.floor(px / CELL), Math.floor(py / CELL)];
    for (let j = Math.max(row - 1, 0); j <= Math.min(row + 1, this.rows - 1); j += 1) {
      for (let i = Math.max(column - 1, 0); i <= Math.min(column + 1, this.columns - 1); i += 1) {
        for (let entry = this.first[j * this.columns + i] ?? 0; entry; entry = this.next[entry] ?? 0) found.add(this.owner[entry] ?? 0);
      }
    }
    let edge = -1;
    let near = REACH ** 2;
    for (const one of [...found].toSorted((a, b) => a - b)) {
      let far = Infinity;
      this.along(one, 2, (a, b) => {
        far = Math.min(far, (a - px) ** 2 + (b - py) ** 2);
      });
      if (far < near - 1) [edge, near] = [one, far]; // of two as near the more significant one, which comes first
    }
    return { node: -1, edge };
  }

  /** Points of the curve of an edge, at most about `step` apart. */
  private along(edge: number, step: number, visit: (x: number, y: number) => void): void {
    const { wires, x, y } = this.scene;
    const [from, to] = [wires.from[edge] ?? 0, wires.to[edge] ?? 0];
    const [x1, y1, x2, y2] = [x[from] ?? 0, y[from] ?? 0, x[to] ?? 0, y[to] ?? 0];
    const [out, into] = bends(this.scene, x1, x2);
    const count = Math.ceil((Math.abs(x2 - x1) + 1.5 * Math.abs(y2 - y1) + Math.abs(out)) / step) + 1;
    for (let k = 0; k <= count; k += 1) {
      const t = k / count;
      const s = 1 - t;
      visit(s * s * s * x1 + 3 * s * s * t * (x1 + out) + 3 * s * t * t * (x2 + into) + t * t * t * x2, (s * s * s + 3 * s * s * t) * y1 + (3 * s * t * t + t * t * t) * y2);
    }
  }

  private put(cell: number, edge: number): void {
    if (this.used === this.next.length) {
      [this.next, this.owner] = [this.next, this.owner].map((old) => {
        const longer = new Int32Array(old.length * 2);
        longer.set(old);
        return longer;
      }) as [Int32Array<ArrayBuffer>, Int32Array<ArrayBuffer>];
    }
    this.next[this.used] = this.first[cell] ?? 0;
    this.owner[this.used] = edge;
    this.first[cell] = this.used;
    this.used += 1;
  }
}

/** Text lines for a node. */
export function told(wires: Wires, node: number): string[] {
  const one = wires.block.nodes[node];
  if (!one) return [];
  const said = [shown(one.text)];
  if (typeof one.height === "number" && wires.block.y?.label) said.push(`${shown(wires.block.y.label)} ${number(one.height)}`);
  if (typeof one.value === "number") said.push(`${shown(wires.block.value ?? "") || "value"} ${number(one.value)}`);
  return said;
}
