// A table with its title, its filter and its download; one with pictures has them as a strip above.
import { useMemo, useState } from "preact/hooks";
import { filter } from "../filter";
import { Heading } from "../parts/Heading";
import type { Table } from "../report";
import { csv, fileName, save } from "../save";
import { counted, shown } from "../words";
import { Grid, isNumeric } from "./Grid";
import { Strip } from "./Strip";

const FILTERED = 8; // rows: with more of them there is something to look for

export function TableBlock({ block, depth }: { block: Table; depth: number }) {
  const [typed, type] = useState("");
  const { holds, fault } = useMemo(() => filter(typed, block.columns), [typed, block.columns]);
  const kept = useMemo(() => block.rows.flatMap((row, index) => (holds(row) ? [index] : [])), [holds, block.rows]);
  const pictured = Boolean(block.pictures?.length);
  const filtered = pictured || block.rows.length > FILTERED;
  const example = block.columns.find((_, column) => isNumeric(block.rows, column));
  const name = shown(block.title) || (pictured ? "Overview" : "Table");
  if (!block.columns.length) return null;
  return (
    <section class={pictured ? "table overview" : "table"} aria-label={name}>
      <header>
        {(block.title || pictured) && <Heading depth={depth}>{name}</Heading>}
        <div class="tools">
          <button type="button" onClick={() => save(fileName(block.title || "table", "csv"), csv(block.columns, block.rows))} aria-label={`CSV of ${name}`}>
            CSV
          </button>
        </div>
      </header>
      {pictured && <Strip block={block} kept={kept} />}
      {filtered && (
        <div class="filter">
          <input
            type="search"
            value={typed}
            onInput={(event) => type(event.currentTarget.value)}
            placeholder={example ? `Filter: words, or ${shown(example)} > 4` : "Filter"}
            aria-label={`Filter ${name}`}
            spellcheck={false}
          />
          <span role="status" class={fault ? "fault" : "quiet"}>
            {fault || (typed ? `${kept.length.toLocaleString("en")} of ${counted(block.rows.length, "row")}` : counted(block.rows.length, "row"))}
          </span>
        </div>
      )}
      <Grid label={name} columns={block.columns} rows={block.rows} about={block.about} links={block.links} kept={kept} />
    </section>
  );
}
