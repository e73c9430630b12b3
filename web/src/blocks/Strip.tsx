// The rows of an overview as small pictures in their order, all on one canvas, coloured by a chosen column.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { FONT } from "../charts/echarts";
import { at, css, extent, scale } from "../colours";
import { useHere } from "../parts/context";
import type { Table } from "../report";
import { follow, go, served } from "../route";
import { shortened } from "../short";
import { palette, type Palette } from "../theme";
import { counted, number, shown } from "../words";
import { isNumeric } from "./Grid";

// Least width, height, most lines, gap and room for a name: the first size in which all cells fit.
const SIZES = [
  [150, 72, 2, 8, 18],
  [112, 54, 3, 6, 18],
  [84, 44, 4, 6, 18],
  [60, 40, 6, 4, 0],
  [44, 32, 9, 3, 0],
  [30, 24, 14, 2, 0],
  [18, 18, Infinity, 2, 0],
] as const;
const MOST = 330; // width of a single cell
const TALL = 420; // height of all cells from which they scroll

interface Layout {
  columns: number;
  wide: number;
  /** Height of a cell, and of the picture in it: below it there may be room for a name. */
  tall: number;
  picture: number;
  gap: number;
}

export function Strip({ block, kept }: { block: Table; kept: readonly number[] }) {
  const { from } = useHere();
  const home = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, measure] = useState(0);
  const [over, hover] = useState(-1);
  const choices = useMemo(() => block.columns.flatMap((_, column) => (isNumeric(block.rows, column) ? [column] : [])), [block]);
  const [chosen, choose] = useState(() => choices.find((column) => new Set(block.rows.map((row) => row[column])).size > 1) ?? choices[0] ?? -1);
  const colours = palette.use();
  const layout = arranged(block.rows.length, width);
  const range = useMemo(() => extent(block.rows.map((row) => row[chosen] as number | null)), [block, chosen]);
  const lost = useMemo(() => block.rows.some((row) => row[chosen] === null), [block, chosen]);
  const visible = useMemo(() => new Set(kept), [kept]);
  const height = Math.ceil(block.rows.length / layout.columns) * (layout.tall + layout.gap) - layout.gap;

  useEffect(() => {
    const element = home.current;
    if (!element) return undefined;
    const watcher = new ResizeObserver(() => element.clientWidth && measure(element.clientWidth));
    watcher.observe(element);
    return () => watcher.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (canvas.current && width) paint(canvas.current, block, layout, { chosen, range, visible, over, width, height }, colours);
  });

  function under(event: MouseEvent): number {
    const column = Math.floor(event.offsetX / (layout.wide + layout.gap));
    const row = Math.floor(event.offsetY / (layout.tall + layout.gap));
    const index = row * layout.columns + column;
    return column < layout.columns && index < block.rows.length ? index : -1;
  }
  function open(event: MouseEvent): void {
    const link = block.links?.[under(event)];
    if (link) go(follow(link, from, served));
  }
  const cell = block.rows[over];
  const label = chosen < 0 ? "" : shown(block.columns[chosen] ?? "");
  const stops = scale(false, colours);
  return (
    <div class="strip">
      <div class="bar">
        {chosen >= 0 && (
          <label>
            Colour
            <select value={String(chosen)} onChange={(event) => choose(Number(event.currentTarget.value))}>
              {choices.map((column) => (
                <option key={column} value={String(column)}>
                  {shown(block.columns[column] ?? "")}
                </option>
              ))}
            </select>
          </label>
        )}
        {range && (
          <div class="legend">
            <span>{number(range[0])}</span>
            <Ramp stops={stops} />
            <span>{number(range[1])}</span>
            {lost && (
              <span class="lost">
                <i class="hatch" aria-hidden="true" /> no value
              </span>
            )}
          </div>
        )}
      </div>
      <div class="cells" ref={home} tabIndex={height > TALL ? 0 : undefined} role="group" aria-label="Small pictures">
        <canvas
          ref={canvas}
          role="img"
          aria-label={`Small pictures of ${counted(block.rows.length, "row")}, coloured by ${label || "nothing"}; the table below names and opens them.`}
          style={{ width: `${width}px`, height: `${Math.max(height, 0)}px`, cursor: over >= 0 && block.links?.[over] ? "pointer" : "default" }}
          onMouseMove={(event) => hover(under(event))}
          onMouseLeave={() => hover(-1)}
          onClick={open}
        />
      </div>
      <p class="readout">{cell ? `${shown(String(cell[0] ?? ""))}${chosen > 0 ? `: ${label} ${number(cell[chosen] as number | null)}` : ""}` : shown(block.picture ?? "")}</p>
    </div>
  );
}

function Ramp({ stops }: { stops: readonly string[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const pen = canvas.current?.getContext("2d");
    for (let x = 0; pen && x < 120; x += 1) {
      pen.fillStyle = css(at(stops, x / 119));
      pen.fillRect(x, 0, 1, 10);
    }
  }, [stops]);
  return <canvas ref={canvas} width={120} height={10} aria-hidden="true" class="ramp" />;
}

/** Cells as large as the room allows: a few are wide, a thousand are small. */
function arranged(count: number, width: number): Layout {
  const room = Math.max(width, 1);
  for (const [wide, tall, lines, gap, name] of SIZES) {
    const columns = Math.max(1, Math.floor((room + gap) / (wide + gap)));
    if (Math.ceil(count / columns) > lines) continue;
    const used = Math.min(columns, Math.max(count, 1));
    return { columns: used, wide: Math.min((room - gap * (used - 1)) / used, MOST), tall: tall + name, picture: tall, gap };
  }
  return { columns: 1, wide: room, tall: 20, picture: 20, gap: 2 };
}

interface Look {
  chosen: number;
  range: [number, number] | null;
  visible: ReadonlySet<number>;
  over: number;
  width: number;
  height: number;
}

function paint(canvas: HTMLCanvasElement, block: Table, layout: Layout, look: Look, palette: Palette): void {
  const ratio = Math.min(devicePixelRatio || 1, 3);
  canvas.width = Math.round(look.width * ratio);
  canvas.height = Math.max(1, Math.round(look.height * ratio));
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.scale(ratio, ratio);
  const stops = scale(false, palette);
  const [low, high] = bounds(block.pictures ?? []);
  pen.font = `11px ${FONT}`;
  const named = layout.tall > layout.picture;
  const names = named ? shortened(block.rows.map((row) => shown(String(row[0] ?? ""))), (text) => pen.measureText(text).width <= layout.wide) : [];
  block.rows.forEach((row, index) => {
    const x = (index % layout.columns) * (layout.wide + layout.gap);
    const y = Math.floor(index / layout.columns) * (layout.tall + layout.gap);
    const value = look.chosen < 0 ? null : row[look.chosen];
    const share = typeof value === "number" && look.range ? (look.range[1] > look.range[0] ? (value - look.range[0]) / (look.range[1] - look.range[0]) : 0.5) : null;
    pen.globalAlpha = look.visible.has(index) ? 1 : 0.16;
    pen.fillStyle = palette.faint;
    pen.fillRect(x, y, layout.wide, layout.picture);
    if (share === null) hatch(pen, x, y, layout, palette);
    curve(pen, block.pictures?.[index] ?? [], x, y, layout, low, high);
    pen.fillStyle = share === null ? palette.null : css(at(stops, share));
    pen.fill();
    if (named) {
      pen.fillStyle = palette.quiet;
      pen.fillText(names[index] ?? "", x, y + layout.picture + 14);
    }
    if (index === look.over) {
      pen.strokeStyle = palette.ink;
      pen.lineWidth = 2;
      pen.strokeRect(x + 1, y + 1, layout.wide - 2, layout.picture - 2);
    }
  });
}

/** Ends of the common scale: all but the outermost hundredth, which would flatten the rest. */
function bounds(pictures: readonly (readonly (number | null)[])[]): [number, number] {
  const all = pictures.flatMap((picture) => picture.filter((value): value is number => value !== null)).toSorted((a, b) => a - b);
  const low = all[Math.floor(all.length * 0.01)] ?? 0;
  const high = all[Math.ceil(all.length * 0.99) - 1] ?? 1;
  return high > low ? [low - (high - low) * 0.06, high + (high - low) * 0.1] : [low - 0.5, low + 0.5];
}

function curve(pen: CanvasRenderingContext2D, picture: readonly (number | null)[], x: number, y: number, layout: Layout, low: number, high: number): void {
  const step = layout.wide / Math.max(picture.length, 1);
  pen.beginPath();
  picture.forEach((value, index) => {
    if (value === null) return;
    const share = Math.min(Math.max((value - low) / (high - low), 0.02), 1);
    pen.rect(x + index * step, y + layout.picture * (1 - share), step + 0.4, layout.picture * share);
  });
}

function hatch(pen: CanvasRenderingContext2D, x: number, y: number, layout: Layout, palette: Palette): void {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, layout.wide, layout.picture);
  pen.clip();
  pen.strokeStyle = palette.line;
  pen.lineWidth = 1;
  pen.beginPath();
  for (let start = -layout.picture; start < layout.wide; start += 6) {
    pen.moveTo(x + start, y + layout.picture);
    pen.lineTo(x + start + layout.picture, y);
  }
  pen.stroke();
  pen.restore();
}
