// The rows of a table: sorted by a click on a heading, walked by arrow keys, and drawn only where they are seen when there are many.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { useHere } from "../parts/context";
import { Name } from "../parts/Name";
import type { Cell } from "../report";
import { address, clicked, follow, served } from "../route";
import { printing } from "../theme";
import { MEANINGLESS, number, shown } from "../words";

const WHOLE = 120; // rows: as many are simply drawn
const ROW = 33; // height of a row, px, where only a part is drawn
const BEYOND = 12; // rows drawn above and below what is seen
const PRINTED = 5000; // rows on paper
const WIDEST = 44; // characters
const SHORT = 22; // characters of texts that stay on one line
const LONG = 40; // characters of sentences that ask for room
const LETTERS = 14; // of a word in a sentence, on the average fewer

interface Props {
  label: string;
  columns: readonly string[];
  rows: readonly (readonly Cell[])[];
  about?: readonly string[];
  links?: readonly string[];
  /** Indices of the rows that the filter kept. */
  kept?: readonly number[];
}

interface Order {
  column: number;
  down: boolean;
}

const collator = new Intl.Collator("en", { numeric: true });

export function Grid({ label, columns, rows, about, links, kept }: Props) {
  const here = useHere();
  const [order, sort] = useState<Order | null>(null);
  const [top, scroll] = useState(0);
  const [tall, measure] = useState(560);
  const [active, walk] = useState(0);
  const wanted = useRef(-1); // place of the row whose link gets the focus once it is drawn
  const home = useRef<HTMLDivElement>(null);
  const paper = printing.use();
  const kinds = useMemo(() => columns.map((_, column) => kindOf(rows, column)), [columns, rows]);
  const shownRows = useMemo(() => sorted(kept ?? rows.map((_, index) => index), rows, order), [rows, kept, order]);
  const many = rows.length > WHOLE;
  const widths = useMemo(() => (many ? columns.map((name, column) => widthOf(name, rows, column)) : []), [many, columns, rows]);
  const first = many && !paper ? Math.max(0, Math.min(Math.floor(top / ROW) - BEYOND, shownRows.length - 1)) : 0;
  const last = many ? (paper ? Math.min(shownRows.length, PRINTED) : Math.min(shownRows.length, Math.ceil((top + tall) / ROW) + BEYOND)) : shownRows.length;
  const current = Math.min(active, Math.max(shownRows.length - 1, 0));

  useEffect(() => {
    const element = home.current;
    if (!element) return undefined;
    const watcher = new ResizeObserver(() => {
      if (element.clientHeight) measure(element.clientHeight);
      cut(element);
    });
    watcher.observe(element);
    if (element.firstElementChild) watcher.observe(element.firstElementChild);
    return () => watcher.disconnect();
  }, []);

  // The link that was followed gets the focus back.
  useLayoutEffect(() => {
    if (!here.left || !links) return;
    const index = shownRows.findIndex((row) => links[row] === here.left);
    if (index >= 0) reach(index);
  }, [here.left]);

  useLayoutEffect(() => {
    if (wanted.current < 0) return;
    const link = home.current?.querySelector<HTMLElement>(`[data-active="${wanted.current}"]`);
    if (link) {
      wanted.current = -1;
      link.focus({ preventScroll: many });
    }
  });

  function reach(index: number): void {
    const element = home.current;
    wanted.current = index;
    walk(index);
    if (many && element) {
      const head = element.querySelector("thead")?.clientHeight ?? ROW;
      const above = index * ROW;
      if (above < element.scrollTop) element.scrollTop = above;
      else if (above + ROW + head > element.scrollTop + element.clientHeight) element.scrollTop = above + ROW + head - element.clientHeight;
      scroll(element.scrollTop);
    }
  }

  function moved(element: HTMLElement): void {
    cut(element);
    if (many) scroll(element.scrollTop);
  }

  function press(event: KeyboardEvent): void {
    if (!links || !(event.target instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(tall / ROW) - 2);
    const step: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const by = step[event.key];
    if (by === undefined) return;
    event.preventDefault();
    reach(Math.max(0, Math.min(current + by, shownRows.length - 1)));
  }

  const turn = (column: number) => sort((now) => (now?.column !== column ? { column, down: false } : now.down ? null : { column, down: true }));
  const choosing = Boolean(here.choose && links?.some((link) => link.startsWith("run=")));
  const spacer = (height: number) => height > 0 && <tr class="spacer" aria-hidden="true" style={{ height: `${height}px` }} />;

  return (
    <div class={`scroll${many ? " many" : kinds.includes("long") ? "" : " compact"}`} ref={home} tabIndex={0} role="region" aria-label={label} onScroll={(event) => moved(event.currentTarget)} onKeyDown={press}>
      <table aria-label={label} aria-rowcount={shownRows.length + 1} aria-colcount={columns.length + (choosing ? 1 : 0)}>
        {many && (
          <colgroup>
            {choosing && <col style={{ width: "3rem" }} />}
            {widths.map((width, column) => (
              <col key={column} style={{ width: `${width}ch` }} />
            ))}
          </colgroup>
        )}
        <thead>
          <tr aria-rowindex={1}>
            {choosing && (
              <th scope="col" class="choose">
                <span class="away">compare</span>
              </th>
            )}
            {columns.map((name, column) => {
              const mine = order?.column === column;
              return (
                <th key={column} scope="col" class={kinds[column]} aria-sort={mine ? (order.down ? "descending" : "ascending") : "none"} title={about?.[column] ? shown(about[column] ?? "") : undefined}>
                  <button type="button" onClick={() => turn(column)}>
                    {shown(name)}
                    <span class="arrow" aria-hidden="true">
                      {mine ? (order.down ? "↓" : "↑") : ""}
                    </span>
                  </button>
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {spacer(first * ROW)}
          {shownRows.slice(first, last).map((row, offset) => {
            const index = first + offset;
            const link = links?.[row] ?? "";
            const next = link ? follow(link, here.from, served) : null;
            return (
              <tr key={row} aria-rowindex={index + 2} class={next ? "linked" : ""} onClick={(event) => next && !interactive(event) && clicked(event, next)}>
                {choosing && (
                  <td class="choose">
                    {link.startsWith("run=") && (
                      <input type="checkbox" checked={here.chosen?.has(link)} onChange={() => here.choose?.(link)} aria-label={`Compare ${shown(String(rows[row]?.[0] ?? ""))}`} />
                    )}
                  </td>
                )}
                {rows[row]?.map((cell, column) => {
                  const text = typeof cell === "string" ? shown(cell) : number(cell);
                  const words = typeof cell === "string" && kinds[column] !== "short" ? <Name text={cell} /> : text;
                  const body =
                    column === 0 && next ? (
                      <a href={address(next)} tabIndex={index === current ? 0 : -1} data-active={index === current ? index : undefined} data-link={link} onClick={(event) => clicked(event, next)} onFocus={() => index !== current && walk(index)}>
                        {text ? words : "open"}
                      </a>
                    ) : (
                      words
                    );
                  const missing = cell === null;
                  const exact = typeof cell === "number" && String(cell) !== text ? String(cell) : undefined;
                  return (
                    <td key={column} class={`${kinds[column]}${missing ? " missing" : ""}`} title={missing ? MEANINGLESS : typeof cell === "number" ? exact : many || kinds[column] === "text" ? text : undefined}>
                      {missing ? (
                        <>
                          <span aria-hidden="true">{text}</span>
                          <span class="away">{MEANINGLESS}</span>
                        </>
                      ) : kinds[column] === "text" ? (
                        <span class="few">{body}</span>
                      ) : (
                        body
                      )}
                    </td>
                  );
                })}
              </tr>
            );
          })}
          {spacer((shownRows.length - last) * ROW)}
        </tbody>
      </table>
    </div>
  );
}

/** Says of a table at which sides more of it lies, so that the edge there fades. */
function cut(element: HTMLElement): void {
  const right = element.scrollWidth - element.clientWidth - element.scrollLeft;
  element.dataset.cut = [element.scrollLeft > 1 && "left", right > 1 && "right"].filter(Boolean).join(" ");
}

function interactive(event: MouseEvent): boolean {
  const target = event.target as HTMLElement;
  return target.closest("a, input, button") !== null || Boolean(getSelection()?.toString());
}

export function isNumeric(rows: readonly (readonly Cell[])[], column: number): boolean {
  let found = false;
  for (const row of rows) {
    const cell = row[column];
    if (cell === null || cell === undefined) continue;
    if (typeof cell !== "number") return false;
    found = true;
  }
  return found;
}

function kindOf(rows: readonly (readonly Cell[])[], column: number): "number" | "short" | "text" | "long" {
  if (isNumeric(rows, column)) return "number";
  const longest = rows.reduce((size, row) => Math.max(size, typeof row[column] === "string" ? row[column].length : 0), 0);
  const prose = rows.some((row) => typeof row[column] === "string" && isProse(row[column]));
  return prose && column > 0 ? "long" : longest > SHORT ? "text" : "short";
}

/** Sentences ask for room; a name or a path of the same length has no words. */
function isProse(text: string): boolean {
  return text.length > LONG && text.length < text.split(" ").length * LETTERS;
}

function widthOf(name: string, rows: readonly (readonly Cell[])[], column: number): number {
  let longest = shown(name).length + 2;
  for (const row of rows) {
    const cell = row[column];
    const size = typeof cell === "string" ? cell.length : 9;
    if (size > longest) longest = size;
    if (longest > WIDEST) return WIDEST + 3;
  }
  return longest + 3;
}

/** Rows in the order of a column; what is missing comes last either way. */
function sorted(indices: readonly number[], rows: readonly (readonly Cell[])[], order: Order | null): readonly number[] {
  if (!order) return indices;
  const { column, down } = order;
  return indices.toSorted((a, b) => {
    const one = rows[a]?.[column] ?? null;
    const two = rows[b]?.[column] ?? null;
    if (one === null || two === null) return one === two ? a - b : one === null ? 1 : -1;
    const way = typeof one === "number" && typeof two === "number" ? one - two : collator.compare(String(one), String(two));
    return (down ? -way : way) || a - b;
  });
}
