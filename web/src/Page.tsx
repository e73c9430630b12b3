// A report: its overview, or the one section that is addressed.
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { Blocks } from "./blocks/Blocks";
import { Boundary, Fault } from "./parts/Boundary";
import { Code } from "./parts/Code";
import { Here, type Place } from "./parts/context";
import { sections, type Report, type Section } from "./report";
import { address, clicked, go, route, type Route, whole } from "./route";
import { shown } from "./words";

export function Page({ report, place }: { report: Report; place?: Omit<Place, "from" | "left"> }) {
  const now = route.use();
  const all = useMemo(() => sections(report.blocks), [report]);
  const linked = useMemo(() => inOrder(report, all), [report, all]);
  const found = now.section ? all.find((section) => whole(section.key ?? "") === whole(now.section)) : undefined;
  const open = found?.folded ? found : undefined;
  const from: Route = { ...now, section: "" };
  const left = useRef("");
  const scrolled = useRef(0);
  const was = useRef<Section | undefined>(undefined);
  if (open && !was.current) scrolled.current = scrollY;
  if (open) left.current = open.key ?? "";

  useLayoutEffect(() => {
    if (!open && was.current) scrollTo(0, scrolled.current);
    was.current = open;
  }, [open]);

  // At once with what is drawn: a key that comes right after a click must not be lost.
  useLayoutEffect(() => {
    const press = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.closest("input, select, textarea");
      if (!open || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      const index = linked.findIndex((section) => section.key === open.key);
      const step = ({ "[": -1, "]": 1 } as Record<string, number>)[event.key];
      if (event.key === "Escape") go(from);
      else if (step && index >= 0) {
        const next = linked[index + step];
        if (next?.key) go({ ...from, section: next.key });
      }
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });

  const here: Place = { ...place, from, left: open ? "" : left.current };
  const more = all.filter((section) => section.folded && !linked.includes(section) && report.blocks.includes(section));
  return (
    <Here.Provider value={here}>
      <main hidden={Boolean(open)}>
        {now.section && !found && <Fault text={`This report has no section \u201c${now.section}\u201d.`} />}
        <Blocks blocks={report.blocks} depth={2} />
        {more.length > 0 && (
          <nav class="more" aria-label="More">
            {more.map((section) => {
              const next = { ...from, section: section.key ?? "" };
              return (
                <a key={section.key} href={address(next)} onClick={(event) => clicked(event, next)}>
                  {shown(section.title)}
                </a>
              );
            })}
          </nav>
        )}
      </main>
      {open && <View key={open.key} section={open} linked={linked} from={from} />}
    </Here.Provider>
  );
}

/** The sections that links of tables open, in the order of those links. */
function inOrder(report: Report, all: readonly Section[]): Section[] {
  const keys = new Set(report.blocks.flatMap((block) => (block?.type === "table" ? (block.links ?? []) : [])));
  const byKey = new Map(all.map((section) => [section.key ?? "", section]));
  return [...keys].flatMap((key) => byKey.get(key) ?? []).filter((section) => section.folded);
}

function View({ section, linked, from }: { section: Section; linked: readonly Section[]; from: Route }) {
  const heading = useRef<HTMLHeadingElement>(null);
  const index = linked.indexOf(section);
  useLayoutEffect(() => {
    scrollTo(0, 0);
    heading.current?.focus({ preventScroll: true });
  }, []);
  const step = (by: number, text: string, key: string) => {
    const next = index >= 0 ? linked[index + by] : undefined;
    return (
      <button type="button" class="control" disabled={!next} onClick={() => next && go({ ...from, section: next.key ?? "" })} aria-keyshortcuts={key} title={next ? `${shown(next.title)}  ( ${key} )` : undefined}>
        {text}
      </button>
    );
  };
  return (
    <main class="view">
      <nav class="steps" aria-label="Sections">
        <a class="control" href={address(from)} onClick={(event) => clicked(event, from)} aria-keyshortcuts="Escape" title="Escape">
          ← Overview
        </a>
        <span class="quiet">{index >= 0 ? `${index + 1} of ${linked.length}` : ""}</span>
        {index >= 0 && step(-1, "Previous", "[")}
        {index >= 0 && step(1, "Next", "]")}
      </nav>
      <header>
        <h2 ref={heading} tabIndex={-1}>
          {shown(section.title)}
        </h2>
        {section.code && <Code code={section.code} />}
      </header>
      <Boundary what={`\u201c${section.title}\u201d`}>
        <Blocks blocks={section.blocks} depth={3} grid={section.layout === "grid"} />
      </Boundary>
    </main>
  );
}
