// The saved form of a report, `modescope.report/1`: fields that have their default are left out.

export type Cell = string | number | null;
export type Numbers = readonly (number | null)[];
export type Role = "data" | "null" | "law" | "fit";

export interface Table {
  type: "table";
  title: string;
  columns: readonly string[];
  rows: readonly (readonly Cell[])[];
  about?: readonly string[];
  links?: readonly string[];
  pictures?: readonly Numbers[];
  picture?: string;
}

export interface Axis {
  label: string;
  log?: boolean;
}

export interface Series {
  name: string;
  x: Numbers;
  y: Numbers;
  role?: Role;
  drawn?: "line" | "points" | "steps";
  low?: Numbers;
  high?: Numbers;
  texts?: readonly string[];
}

export interface Mark {
  at: number;
  text: string;
  axis?: "x" | "y";
}

export interface Curve {
  type: "curve";
  title: string;
  x: Axis;
  y: Axis;
  series: readonly Series[];
  marks?: readonly Mark[];
  caption?: string;
}

export interface Counts {
  name: string;
  values: Numbers;
  role?: Role;
}

export interface Histogram {
  type: "histogram";
  title: string;
  x: Axis;
  y: Axis;
  edges: readonly number[];
  counts: readonly Counts[];
  curves?: readonly Series[];
  marks?: readonly Mark[];
  caption?: string;
}

export interface Heatmap {
  type: "heatmap";
  title: string;
  x: Axis;
  y: Axis;
  values: readonly Numbers[];
  x_range: readonly [number, number];
  y_range: readonly [number, number];
  x_names?: readonly string[];
  y_names?: readonly string[];
  value?: string;
  centred?: boolean;
  caption?: string;
  series?: readonly Series[];
}

export interface Node {
  key: string;
  text: string;
  column?: number;
  value?: number | null;
  link?: string;
  height?: number | null;
  rank?: number | null;
  lane?: number;
}

export interface Edge {
  source: string;
  target: string;
  weight: number;
  p?: number | null;
  significant?: boolean;
  text?: string;
}

export interface Graph {
  type: "graph";
  title: string;
  nodes: readonly Node[];
  edges: readonly Edge[];
  value?: string;
  caption?: string;
  columns?: readonly string[];
  y?: Axis;
}

export interface Image {
  type: "image";
  title: string;
  png: string;
  alt: string;
  caption?: string;
}

export interface Note {
  type: "note";
  text: string;
  level?: "plain" | "caution" | "error";
  source?: string;
}

export interface Section {
  type: "section";
  title: string;
  blocks: readonly Block[];
  key?: string;
  folded?: boolean;
  layout?: "stack" | "grid";
  code?: string;
}

export type Block = Table | Curve | Histogram | Heatmap | Graph | Image | Note | Section;

export interface Report {
  schema: string;
  version: string;
  title: string;
  code: string;
  blocks: readonly Block[];
  items: string;
  document: Record<string, unknown>;
}

export const SCHEMA = "modescope.report/1";

/** Reads the saved form; what is wrong in a single block is found when that block is drawn. */
export function read(text: string): Report {
  const data = JSON.parse(text) as Partial<Report> | null;
  if (data?.schema !== SCHEMA) {
    throw new Error(`Expected a report of schema ${SCHEMA}, got ${String(data?.schema)}. A newer Modescope may open it.`);
  }
  if (!Array.isArray(data.blocks)) throw new Error("Damaged report: it has no blocks.");
  return { schema: SCHEMA, version: "", title: "", code: "", items: "", document: {}, ...data } as Report;
}

/** Every section with a key, in order, also those in sections. */
export function sections(blocks: readonly Block[]): Section[] {
  return blocks.flatMap((block) =>
    block?.type === "section" ? [...(block.key ? [block] : []), ...sections(block.blocks ?? [])] : [],
  );
}
