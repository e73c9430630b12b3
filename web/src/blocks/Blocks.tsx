// Blocks in their order; notes that follow each other stand together, folded sections are left to their address.
import { Boundary } from "../parts/Boundary";
import type { Block, Note } from "../report";
import { CurveBlock } from "./Curve";
import { GraphBlock } from "./Graph";
import { HeatmapBlock } from "./Heatmap";
import { HistogramBlock } from "./Histogram";
import { ImageBlock } from "./Image";
import { NoteBlock } from "./Note";
import { SectionBlock } from "./Section";
import { TableBlock } from "./Table";

export function Blocks({ blocks, depth, grid = false }: { blocks: readonly Block[]; depth: number; grid?: boolean }) {
  const groups: (Block | Note[])[] = [];
  for (const block of blocks) {
    const last = groups[groups.length - 1];
    if (block?.type === "section" && block.folded) continue;
    if (block?.type !== "note") groups.push(block);
    else if (Array.isArray(last)) last.push(block);
    else groups.push([block]);
  }
  return (
    <div class={grid ? "grid" : "stack"}>
      {groups.map((group, index) =>
        Array.isArray(group) ? (
          <div key={index} class={group.length > 1 ? "notes several" : "notes"}>
            {group.map((note, place) => (
              <Boundary key={place} what="A note">
                <NoteBlock block={note} />
              </Boundary>
            ))}
          </div>
        ) : (
          <Boundary key={index} what={named(group)}>
            <BlockOf block={group} depth={depth} />
          </Boundary>
        ),
      )}
    </div>
  );
}

function named(block: Block): string {
  const title = block && typeof block === "object" && "title" in block ? String(block.title ?? "") : "";
  return title ? `\u201c${title}\u201d` : "This part";
}

function BlockOf({ block, depth }: { block: Block; depth: number }) {
  switch (block?.type) {
    case "table":
      return <TableBlock block={block} depth={depth} />;
    case "curve":
      return <CurveBlock block={block} depth={depth} />;
    case "histogram":
      return <HistogramBlock block={block} depth={depth} />;
    case "heatmap":
      return <HeatmapBlock block={block} depth={depth} />;
    case "graph":
      return <GraphBlock block={block} depth={depth} />;
    case "image":
      return <ImageBlock block={block} depth={depth} />;
    case "note":
      return <NoteBlock block={block} />;
    case "section":
      return <SectionBlock block={block} depth={depth} />;
    default:
      return unknown(block);
  }
}

function unknown(block: never): never {
  throw new Error(`A block of type ${JSON.stringify((block as { type?: unknown } | null)?.type)} is not known.`);
}
