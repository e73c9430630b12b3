// The card of a chart: title, downloads, the drawing, its caption, and the numbers as a table behind it.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Heading } from "../parts/Heading";
import type { Cell } from "../report";
import { csv, fileName, save } from "../save";
import { shown } from "../words";
import { Grid } from "./Grid";

export interface Numbers {
  columns: readonly string[];
  rows: readonly (readonly Cell[])[];
}

interface Props {
  title: string;
  caption?: string;
  depth: number;
  numbers: () => Numbers;
  png: () => Blob;
  svg: () => Blob;
  /** What a download that fails says. */
  fail: (fault: string) => void;
  children: ComponentChildren;
}

export function Card({ title, caption, depth, numbers, png, svg, fail, children }: Props) {
  const [open, unfold] = useState(false);
  const name = shown(title);
  const made: readonly [string, () => Blob][] = [
    ["PNG", png],
    ["SVG", svg],
    ["CSV", () => csv(numbers().columns, numbers().rows)],
  ];
  const attempt = (kind: string, make: () => Blob) => {
    try {
      save(fileName(title, kind.toLowerCase()), make());
    } catch (error) {
      fail(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <figure class="card">
      <header>
        <Heading depth={depth}>{name}</Heading>
        <div class="tools">
          {made.map(([kind, make]) => (
            <button key={kind} type="button" onClick={() => attempt(kind, make)} aria-label={`${kind} of ${name}`}>
              {kind}
            </button>
          ))}
        </div>
      </header>
      {children}
      {caption && <figcaption>{shown(caption)}</figcaption>}
      <details class="numbers" onToggle={(event) => unfold(event.currentTarget.open)}>
        <summary>Numbers</summary>
        {open && <Grid label={`Numbers of ${name}`} {...numbers()} />}
      </details>
    </figure>
  );
}
