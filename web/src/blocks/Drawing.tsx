// A chart in its card, made when it comes near the window.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { chart, png, svg, type Chart, type Option } from "../charts/echarts";
import { Fault } from "../parts/Boundary";
import { bytes, text } from "../save";
import { LIGHT, palette, printing, type Palette } from "../theme";
import { shown } from "../words";
import { Card, type Numbers } from "./Card";

interface Props {
  title: string;
  caption?: string;
  depth: number;
  height: number;
  option: (palette: Palette, width: number) => Option;
  /** Drawn again when one of these changes. */
  watch?: readonly unknown[];
  numbers: () => Numbers;
  /** For those who do not see the drawing. */
  said: string;
  ready?: (chart: Chart) => void;
  children?: ComponentChildren;
}

const NEAR = "600px"; // a chart is made when it comes as near as this to the window
const SAVED = 720; // width of a saved picture

export function Drawing({ title, caption, depth, height, option, watch = [], numbers, said, ready, children }: Props) {
  const home = useRef<HTMLDivElement>(null);
  const drawn = useRef<Chart | null>(null);
  const [near, come] = useState(false);
  const [fault, fail] = useState("");
  const colours = palette.use();
  const paper = printing.use();

  useEffect(() => {
    if (!home.current || near) return undefined;
    const watcher = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && come(true), { rootMargin: NEAR });
    watcher.observe(home.current);
    return () => watcher.disconnect();
  }, [near]);

  useLayoutEffect(() => {
    const element = home.current;
    if (!element || !(near || paper) || fault || !element.clientWidth) return;
    try {
      if (!drawn.current) {
        drawn.current = chart(element);
        ready?.(drawn.current);
      } else drawn.current.resize();
      drawn.current.setOption(option(colours, element.clientWidth), true);
      element.dataset.drawn = "true";
    } catch (error) {
      fail(error instanceof Error ? error.message : String(error));
    }
  }, [near, paper, colours, fault, ...watch]);

  useEffect(() => {
    const element = home.current;
    if (!element || !near) return undefined;
    let width = element.clientWidth;
    const watcher = new ResizeObserver(() => {
      if (!element.clientWidth || element.clientWidth === width) return;
      width = element.clientWidth;
      if (!drawn.current) return come((now) => now);
      drawn.current.resize();
      drawn.current.setOption(option(palette.get(), width), true);
    });
    watcher.observe(element);
    return () => watcher.disconnect();
  }, [near, ...watch]);

  useEffect(
    () => () => {
      drawn.current?.dispose();
      drawn.current = null;
    },
    [],
  );

  const name = shown(title);
  const picture = () => {
    const made = option(LIGHT, SAVED);
    const room = 34;
    const grid = made.grid ? { ...made.grid, top: made.grid.top + room } : undefined;
    const legend = made.legend ? { ...made.legend, top: room } : undefined;
    const bar = made.visualMap?.top === undefined ? made.visualMap : { ...made.visualMap, top: made.visualMap.top + room };
    const head = { text: name, left: 0, top: 4, textStyle: { fontSize: 15, fontWeight: 600, color: LIGHT.ink } };
    return { ...made, title: head, grid, ...(legend && { legend }), ...(bar && { visualMap: bar }) };
  };
  return (
    <Card
      title={title}
      caption={caption}
      depth={depth}
      numbers={numbers}
      png={() => bytes(png(picture(), SAVED, height + 34))}
      svg={() => text(svg(picture(), SAVED, height + 34), "image/svg+xml")}
      fail={fail}
    >
      {fault ? (
        <Fault text={`${title || "This drawing"} could not be drawn.`} reason={fault} />
      ) : (
        <div class="drawing" ref={home} role="img" aria-label={`${name}. ${said}`} style={{ height: `${height}px` }} />
      )}
      {children}
    </Card>
  );
}
