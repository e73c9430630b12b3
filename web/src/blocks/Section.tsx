// Blocks under a heading, one below the other or side by side.
import { useEffect, useRef } from "preact/hooks";
import { Code } from "../parts/Code";
import { useHere } from "../parts/context";
import { Heading } from "../parts/Heading";
import type { Section } from "../report";
import { route, whole } from "../route";
import { shown } from "../words";
import { Blocks } from "./Blocks";

export function SectionBlock({ block, depth }: { block: Section; depth: number }) {
  const { from } = useHere();
  const home = useRef<HTMLElement>(null);
  const wanted = Boolean(block.key) && whole(route.use().section) === whole(block.key ?? "") && from.kind === route.get().kind;
  useEffect(() => {
    if (wanted) home.current?.scrollIntoView({ block: "start" });
  }, [wanted]);
  return (
    <section class="section" ref={home} aria-label={shown(block.title)}>
      <header>
        <Heading depth={depth}>{shown(block.title)}</Heading>
        {block.code && <Code code={block.code} />}
      </header>
      <Blocks blocks={block.blocks} depth={depth + 1} grid={block.layout === "grid"} />
    </section>
  );
}
