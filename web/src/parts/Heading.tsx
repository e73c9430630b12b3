// A heading of the level that its place in the page asks for.
import type { ComponentChildren } from "preact";

export function Heading({ depth, children, class: name }: { depth: number; children: ComponentChildren; class?: string }) {
  const Level = `h${Math.min(depth, 6)}` as "h2";
  return <Level class={name}>{children}</Level>;
}
