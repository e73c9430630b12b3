// A graph: the significant edges first, the rest by a slider; every node in a list, too.
import { useRef, useState } from "preact/hooks";
import type { Chart } from "../charts/echarts";
import { described, graph, placed, ranked } from "../charts/wires";
import { useHere } from "../parts/context";
import type { Graph } from "../report";
import { address, clicked, follow, go, served } from "../route";
import { counted, number, shown } from "../words";
import { Drawing } from "./Drawing";

export function GraphBlock({ block, depth }: { block: Graph; depth: number }) {
  const { from } = useHere();
  const [more, show] = useState(0);
  const { significant, rest } = ranked(block);
  const edges = [...significant, ...rest.slice(0, more)];
  const places = placed(block);
  const here = useRef(from);
  here.current = from;
  const rows = Math.max(1, ...[...places.values()].map((place) => place.y + 1));
  const height = Math.min(Math.max(rows * 26, 220), 640) + 60;
  const last = rest[more - 1];
  const watch = (made: Chart) =>
    made.on("click", (event) => {
      const link = event.seriesName === "nodes" ? block.nodes[event.dataIndex]?.link : "";
      if (link) go(follow(link, here.current, served));
    });
  const strongest = (key: string) => edges.filter((edge) => edge.source === key || edge.target === key).toSorted((a, b) => Math.abs(b.weight) - Math.abs(a.weight))[0];
  return (
    <Drawing
      title={block.title}
      caption={block.caption}
      depth={depth}
      height={height}
      option={(palette, width) => graph(block, edges, palette, width)}
      watch={[more]}
      numbers={() => ({
        columns: ["from", "to", "weight", "p", "significant", "text"],
        rows: block.edges.map((edge) => [
          places.get(edge.source)?.node.text ?? edge.source,
          places.get(edge.target)?.node.text ?? edge.target,
          edge.weight,
          edge.p ?? null,
          edge.significant === false ? "no" : "yes",
          edge.text ?? "",
        ]),
      })}
      said={`${counted(block.nodes.length, "node")}, ${counted(edges.length, "edge")} shown.`}
      ready={watch}
    >
      {rest.length > 0 && (
        <label class="slider">
          <span>
            {counted(significant.length, "significant edge")}
            {more > 0 && ` and ${counted(more, "other")}`}
            {typeof last?.p === "number" && ` (p up to ${number(last.p)})`}
          </span>
          <input type="range" min={0} max={rest.length} value={more} onInput={(event) => show(Number(event.currentTarget.value))} aria-label="Edges that are not significant" />
        </label>
      )}
      <details class="numbers">
        <summary>Nodes</summary>
        <ul class="nodes">
          {block.nodes.map((node) => {
            const edge = strongest(node.key);
            const next = follow(node.link ?? "", from, served);
            return (
              <li key={node.key}>
                {node.link ? (
                  <a href={address(next)} onClick={(event) => clicked(event, next)}>
                    {shown(node.text)}
                  </a>
                ) : (
                  <span>{shown(node.text)}</span>
                )}
                {typeof node.value === "number" && <span class="quiet"> {number(node.value)}</span>}
                {edge && <span class="quiet"> · {described(edge, places).slice(0, 2).join(", ")}</span>}
              </li>
            );
          })}
        </ul>
      </details>
    </Drawing>
  );
}
