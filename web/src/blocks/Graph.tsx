// A graph: the significant edges first, the rest by a slider; a click lights the path through a node or an edge.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Finder, gap, margins, paintAll, paintFrame, paintOver, type Scene, scene, told, type View, whole } from "../charts/loom";
import { type Pen, Svg } from "../charts/svg";
import { described, heaviest, heights, path, type Scale, scales, type Start, wired, type Wires } from "../charts/wires";
import { FONT } from "../charts/echarts";
import { Fault } from "../parts/Boundary";
import { useHere } from "../parts/context";
import type { Graph } from "../report";
import { bytes, text } from "../save";
import { address, clicked, follow, go, served } from "../route";
import { LIGHT, palette, printing } from "../theme";
import { counted, number, shown } from "../words";
import { Card } from "./Card";

const NEAR = "600px"; // a graph is drawn when it comes as near as this to the window
const CLOSE = 34; // pixels between columns that a drawing begins with at least; further ones are dragged in
const NAMED = 500; // nodes in the list
const MOVED = 4; // pixels from which a press is a drag
const ZOOM = 1.4; // of a button
const SAVED = 880; // least width of a saved picture
const LARGEST = 12_000; // pixels of a saved picture
const DIM = 0.18; // of what is not lit, as in the style sheet
const NONE = { node: -1, edge: -1 };

export function GraphBlock({ block, depth }: { block: Graph; depth: number }) {
  const { from } = useHere();
  const wires = useMemo(() => wired(block), [block]);
  const choices = useMemo(() => scales(block), [block]);
  const [scale, choose] = useState<Scale>(choices[0] ?? "order");
  const [more, show] = useState(0);
  const [start, light] = useState<Start | null>(null);
  const [fault, fail] = useState("");
  const count = wires.significant + more;
  const last = wires.edges[count - 1];
  const name = shown(block.title);
  const lit = useMemo(() => start && path(wires, start), [wires, start]);
  const placed = useMemo(() => heights(wires, scale), [wires, scale]);
  const headed = Boolean(block.columns?.length);
  const height = headed ? 560 : Math.min(Math.max(wires.most * 26, 220), 640) + 60;
  const toggle = (next: Start) => light((now) => (same(now, next) ? null : next));

  function saved(): { made: Scene; width: number } {
    const columns = whole(wires).x1 / gap(wires);
    const wide = columns * (!headed ? 150 : columns > 20 ? CLOSE : 76);
    const width = Math.round(Math.min(Math.max(SAVED, wide), LARGEST / 2));
    return { made: scene(wires, placed, LIGHT, whole(wires), width, height), width };
  }
  function picture(pen: Pen, made: Scene, width: number): void {
    pen.fillStyle = "#ffffff";
    pen.fillRect(0, 0, width, height + 34);
    pen.fillStyle = LIGHT.ink;
    pen.font = `600 15px ${FONT}`;
    pen.textAlign = "left";
    pen.textBaseline = "alphabetic";
    pen.fillText(name, 0, 18);
    pen.save();
    pen.translate(0, 34);
    paintAll(pen, made, count, lit ? DIM : 1);
    paintOver(pen, made, lit, NONE);
    paintFrame(pen, made, lit);
    pen.restore();
  }
  function png(): Blob {
    const { made, width } = saved();
    const canvas = document.createElement("canvas");
    canvas.width = width * 2;
    canvas.height = (height + 34) * 2;
    const pen = canvas.getContext("2d");
    if (!pen) throw new Error("The browser has no canvas.");
    pen.scale(2, 2);
    picture(pen, made, width);
    return bytes(canvas.toDataURL("image/png"));
  }
  function svg(): Blob {
    const { made, width } = saved();
    const pen = new Svg(width, height + 34);
    picture(pen, made, width);
    return text(String(pen), "image/svg+xml");
  }
  const numbers = () => ({
    columns: ["from", "to", "weight", "p", "significant", "text"],
    rows: block.edges.map((edge) => [named.get(edge.source) ?? "", named.get(edge.target) ?? "", edge.weight, edge.p ?? null, edge.significant === false ? "no" : "yes", edge.text ?? ""]),
  });
  const named = useMemo(() => new Map(block.nodes.map((node) => [node.key, node.text])), [block]);

  return (
    <Card title={block.title} caption={block.caption} depth={depth} numbers={numbers} png={png} svg={svg} fail={fail}>
      {fault ? (
        <Fault text={`${block.title || "This graph"} could not be drawn.`} reason={fault} />
      ) : (
        <Loom
          wires={wires}
          placed={placed}
          height={height}
          count={count}
          start={start}
          lit={lit}
          label={`${name}. ${counted(block.nodes.length, "node")}, ${counted(count, "edge")} shown.`}
          scale={scale}
          choices={choices}
          choose={choose}
          toggle={toggle}
          clear={() => light(null)}
          open={(node) => {
            const link = block.nodes[node]?.link;
            if (link) go(follow(link, from, served));
          }}
          fail={fail}
        />
      )}
      <p class="readout" role="status">
        {start ? <Chosen wires={wires} start={start} edges={lit?.edges.size ?? 0} clear={() => light(null)} /> : headed ? "Click a node or an edge to light its path." : "\u00a0"}
      </p>
      {wires.edges.length > wires.significant && (
        <label class="slider">
          <span>
            {counted(wires.significant, "significant edge")}
            {more > 0 && ` and ${counted(more, "other")}`}
            {more > 0 && typeof last?.p === "number" && ` (p up to ${number(last.p)})`}
          </span>
          <input
            type="range"
            min={0}
            max={wires.edges.length - wires.significant}
            value={more}
            onInput={(event) => show(Number(event.currentTarget.value))}
            aria-label="Edges that are not significant"
          />
        </label>
      )}
      <Nodes wires={wires} count={count} start={start} toggle={toggle} />
    </Card>
  );
}

function same(one: Start | null, two: Start): boolean {
  return JSON.stringify(one) === JSON.stringify(two);
}

/** What was clicked, in words, and where it leads. */
function Chosen({ wires, start, edges, clear }: { wires: Wires; start: Start; edges: number; clear: () => void }) {
  const { from } = useHere();
  const nodes = "node" in start ? [start.node] : [wires.from[start.edge] ?? 0, wires.to[start.edge] ?? 0];
  const words = "node" in start ? ["Open its layer"] : ["Open the layer it leaves", "Open the one it enters"];
  const links = nodes.flatMap((node, index) => {
    const link = wires.block.nodes[node]?.link;
    return link ? [{ text: words[index], next: follow(link, from, served) }] : [];
  });
  const lines = "node" in start ? told(wires, start.node) : described(wires, start.edge);
  return (
    <>
      {lines.join(" \u00b7 ")} · {edges ? `path of ${counted(edges, "edge")}` : "no significant edge"}
      {links.map(({ text: label, next }) => [
        " · ",
        <a href={address(next)} onClick={(event) => clicked(event, next)}>
          {label}
        </a>,
      ])}{" "}
      <button type="button" class="small" onClick={clear}>
        Clear
      </button>
    </>
  );
}

/** Nodes as a list: for the keyboard, and for those who do not see the drawing. */
function Nodes({ wires, count, start, toggle }: { wires: Wires; count: number; start: Start | null; toggle: (next: Start) => void }) {
  const { from } = useHere();
  const [open, unfold] = useState(false);
  const { nodes } = wires.block;
  const strongest = useMemo(() => (open ? heaviest(wires, count) : new Int32Array(0)), [open, wires, count]);
  const order = useMemo(() => {
    const all = nodes.map((_, node) => node);
    if (all.length <= NAMED) return all;
    const strength = (node: number) => wires.strength[strongest[node] ?? -1] ?? -1;
    return open ? all.toSorted((a, b) => strength(b) - strength(a)).slice(0, NAMED) : [];
  }, [open, nodes, strongest]);
  return (
    <details class="numbers" onToggle={(event) => unfold(event.currentTarget.open)}>
      <summary>Nodes</summary>
      {open && nodes.length > NAMED && <p class="quiet">The {NAMED} with the strongest edges; the table of numbers names all edges.</p>}
      {open && (
        <ul class="nodes" tabIndex={0} aria-label="Nodes">
          {order.map((node) => {
            const one = nodes[node];
            const edge = strongest[node] ?? -1;
            const next = follow(one?.link ?? "", from, served);
            const words = shown(one?.text ?? "");
            return (
              <li key={node}>
                {one?.link ? (
                  <a href={address(next)} onClick={(event) => clicked(event, next)}>
                    {words}
                  </a>
                ) : (
                  <span>{words}</span>
                )}
                {typeof one?.value === "number" && <span class="quiet"> {number(one.value)}</span>}
                {edge >= 0 && <span class="quiet"> · {described(wires, edge).slice(0, 2).join(", ")}</span>}{" "}
                <button type="button" class="small" aria-pressed={same(start, { node })} aria-label={`Path of ${words}`} onClick={() => toggle({ node })}>
                  Path
                </button>
              </li>
            );
          })}
        </ul>
      )}
    </details>
  );
}

interface LoomProps {
  wires: Wires;
  placed: ReturnType<typeof heights>;
  height: number;
  count: number;
  start: Start | null;
  lit: ReturnType<typeof path> | null;
  label: string;
  scale: Scale;
  choices: readonly Scale[];
  choose: (scale: Scale) => void;
  toggle: (next: Start) => void;
  clear: () => void;
  open: (node: number) => void;
  fail: (fault: string) => void;
}

/** The drawing itself: one canvas of all edges, and one above it for what is lit, so that lighting redraws little. */
function Loom({ wires, placed, height, count, start, lit, label, scale, choices, choose, toggle, clear, open, fail }: LoomProps) {
  const home = useRef<HTMLDivElement>(null);
  const below = useRef<HTMLCanvasElement>(null);
  const above = useRef<HTMLCanvasElement>(null);
  const [near, come] = useState(false);
  const [width, measure] = useState(0);
  const [view, look] = useState<View | null>(null);
  const [over, hover] = useState({ ...NONE, x: 0, y: 0 });
  const press = useRef<{ x: number; y: number; view: View; moved: boolean } | null>(null);
  const finder = useRef<{ scene: Scene; count: number; finder: Finder } | null>(null);
  const colours = palette.use();
  const paper = printing.use();
  const all = whole(wires);
  const now = view ?? first(wires, placed, width);
  const made = useMemo(() => (width ? scene(wires, placed, colours, now, width, height) : null), [wires, placed, colours, now.x0, now.x1, now.y0, now.y1, width, height]);
  const partial = now.x1 - now.x0 < all.x1 * 0.999 || now.y1 - now.y0 < 0.999;
  const rich = choices.length > 1 || partial || wires.block.nodes.length > 60;

  useEffect(() => {
    const element = home.current;
    if (!element) return undefined;
    const close = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && come(true), { rootMargin: NEAR });
    const size = new ResizeObserver(() => element.clientWidth && measure(element.clientWidth));
    close.observe(element);
    size.observe(element);
    return () => {
      close.disconnect();
      size.disconnect();
    };
  }, []);

  useLayoutEffect(() => {
    if (!start) return undefined; // listens as soon as the path is lit, not a frame later
    const press = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || !home.current?.offsetParent) return;
      event.stopImmediatePropagation(); // the page would leave the section
      clear();
    };
    addEventListener("keydown", press, true);
    return () => removeEventListener("keydown", press, true);
  }, [start]);

  useLayoutEffect(() => {
    if (!made || !(near || paper)) return;
    attempt(fail, () => {
      const pen = cleared(below.current, width, height);
      if (pen) paintAll(pen, made, count);
      if (home.current) home.current.dataset.drawn = "true";
    });
  }, [made, count, near, paper]);

  useLayoutEffect(() => {
    if (!made || !(near || paper)) return;
    attempt(fail, () => {
      const pen = cleared(above.current, width, height);
      if (!pen) return;
      paintOver(pen, made, lit, over);
      paintFrame(pen, made, lit);
    });
  }, [made, near, paper, lit, over.node, over.edge]);

  const move = (next: View) => look(bounded(next, all));
  const zoom = (factor: number, px = width / 2, py = height / 2, upright = true) => {
    if (!made) return;
    const [u, v] = [(px - made.left) / (made.right - made.left), (py - made.top) / (made.bottom - made.top)];
    const [wide, tall] = [(now.x1 - now.x0) / factor, upright ? (now.y1 - now.y0) / factor : now.y1 - now.y0];
    const [x, y] = [now.x0 + u * (now.x1 - now.x0), now.y0 + v * (now.y1 - now.y0)];
    move({ x0: x - u * wide, x1: x + (1 - u) * wide, y0: y - v * tall, y1: y + (1 - v) * tall });
  };
  const shift = (dx: number, dy: number, from: View = now) => {
    if (!made) return;
    const [a, b] = [(-dx / (made.right - made.left)) * (from.x1 - from.x0), (-dy / (made.bottom - made.top)) * (from.y1 - from.y0)];
    move({ x0: from.x0 + a, x1: from.x1 + a, y0: from.y0 + b, y1: from.y1 + b });
  };
  useEffect(() => {
    const element = home.current;
    if (!element) return undefined;
    const wheel = (event: WheelEvent) => {
      const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (event.ctrlKey || event.metaKey) zoom(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
      else if (sideways && partial) shift(-(event.deltaX || event.deltaY), 0);
      else return; // the page scrolls
      event.preventDefault();
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  });

  function under(x: number, y: number): { node: number; edge: number } {
    if (!made || x < made.left - 12 || x > width || y < made.top - 8 || y > made.bottom + 8) return NONE;
    if (finder.current?.scene !== made || finder.current.count !== count) finder.current = { scene: made, count, finder: new Finder(made, count) };
    return finder.current.finder.at(x, y);
  }
  function moved(event: PointerEvent): void {
    const held = press.current;
    if (held && event.buttons) {
      const [dx, dy] = [event.offsetX - held.x, event.offsetY - held.y];
      if (!held.moved && Math.hypot(dx, dy) < MOVED) return;
      held.moved = true;
      if (over.node >= 0 || over.edge >= 0) hover({ ...NONE, x: 0, y: 0 });
      shift(dx, dy, held.view);
      return;
    }
    const found = under(event.offsetX, event.offsetY);
    if (found.node !== over.node || found.edge !== over.edge || found.node >= 0 || found.edge >= 0) hover({ ...found, x: event.offsetX, y: event.offsetY });
  }
  function down(event: PointerEvent): void {
    if (event.button) return;
    press.current = { x: event.offsetX, y: event.offsetY, view: now, moved: false };
    if (partial) above.current?.setPointerCapture(event.pointerId);
  }
  function released(event: PointerEvent): void {
    const held = press.current;
    press.current = null;
    if (!held || held.moved || event.button) return;
    const found = under(event.offsetX, event.offsetY);
    if (found.node >= 0) toggle({ node: found.node });
    else if (found.edge >= 0) toggle({ edge: found.edge });
    else clear();
  }
  const lines = over.node >= 0 ? told(wires, over.node) : over.edge >= 0 ? described(wires, over.edge) : [];
  const size = { width: `${width}px`, height: `${height}px` };
  return (
    <>
      {rich && (
        <div class="bar">
          {choices.length > 1 && (
            <label>
              Height
              <select value={scale} onChange={(event) => choose(event.currentTarget.value as Scale)}>
                {choices.map((choice) => (
                  <option key={choice} value={choice}>
                    {choice === "order" ? "untangled" : `${shown(wires.block.y?.label ?? "")}${choice === "log" ? ", logarithmic" : ""}`}
                  </option>
                ))}
              </select>
            </label>
          )}
          <span class="zoom">
            <button type="button" class="control" onClick={() => zoom(ZOOM)} aria-label="Nearer">
              +
            </button>
            <button type="button" class="control" onClick={() => zoom(1 / ZOOM)} aria-label="Further" disabled={!partial}>
              −
            </button>
            <button type="button" class="control" onClick={() => shift(width / 3, 0)} aria-label="To the left" disabled={now.x0 <= 1e-9}>
              ←
            </button>
            <button type="button" class="control" onClick={() => shift(-width / 3, 0)} aria-label="To the right" disabled={now.x1 >= all.x1 - 1e-9}>
              →
            </button>
            <button type="button" class="control" onClick={() => look(all)} disabled={!partial}>
              Whole
            </button>
          </span>
          <span class="hint">{partial ? "Drag to move; Ctrl and the wheel zoom." : "Ctrl and the wheel zoom."}</span>
        </div>
      )}
      <div class={`drawing loom${start ? " lit" : ""}`} ref={home} role="img" aria-label={label} style={{ height: `${height}px` }}>
        <canvas ref={below} style={size} aria-hidden="true" />
        <canvas
          ref={above}
          style={{ ...size, cursor: over.node >= 0 || over.edge >= 0 ? "pointer" : partial ? "grab" : "default" }}
          aria-hidden="true"
          onPointerMove={moved}
          onPointerDown={down}
          onPointerUp={released}
          onPointerLeave={() => hover({ ...NONE, x: 0, y: 0 })}
          onDblClick={(event) => open(under(event.offsetX, event.offsetY).node)}
        />
        {lines.length > 0 && (
          <div
            class="tip"
            style={{
              ...(over.x > width / 2 ? { right: `${width - over.x + 14}px` } : { left: `${over.x + 14}px` }),
              ...(over.y > height * 0.75 ? { bottom: `${height - over.y + 14}px` } : { top: `${over.y + 14}px` }),
            }}
          >
            {lines.map((line, index) => (
              <div key={index}>{line}</div>
            ))}
          </div>
        )}
      </div>
    </>
  );
}

function attempt(fail: (fault: string) => void, make: () => void): void {
  try {
    make();
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  }
}

function cleared(canvas: HTMLCanvasElement | null, width: number, height: number): CanvasRenderingContext2D | null {
  if (!canvas) return null;
  const ratio = Math.min(devicePixelRatio || 1, 3);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen?.scale(ratio, ratio);
  return pen;
}

/** All of it where it has room, otherwise as many columns from the left as have. */
function first(wires: Wires, placed: ReturnType<typeof heights>, width: number): View {
  const all = whole(wires);
  if (!width) return all;
  const { left, right } = margins(wires, placed, width, all.x1);
  return { ...all, x1: Math.min(all.x1, ((width - left - right) / CLOSE) * gap(wires)) };
}

/** No further out than all of it, and nothing beyond its ends. */
function bounded(view: View, all: View): View {
  const wide = Math.min(Math.max(view.x1 - view.x0, Math.min(all.x1, 0.5)), all.x1);
  const tall = Math.min(Math.max(view.y1 - view.y0, 0.02), 1);
  const x0 = Math.min(Math.max(view.x0, 0), all.x1 - wide);
  const y0 = Math.min(Math.max(view.y0, 0), 1 - tall);
  return { x0, x1: x0 + wide, y0, y1: y0 + tall };
}
