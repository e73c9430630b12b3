// The address of what is shown: `#layer=8.weight`; in a served page `#run=ID&layer=8.weight` or `#compare=ID,ID2`.
import { watched } from "./state";

export interface Route {
  /** "run", "compare", or "" for the overview of a server and for a page of one report. */
  kind: "" | "run" | "compare";
  ids: readonly string[];
  /** Key of a section, "layer=8.weight", or "". */
  section: string;
}

export const HOME: Route = { kind: "", ids: [], section: "" };

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function split(part: string): [string, string] {
  const at = part.indexOf("=");
  return at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
}

export function parse(hash: string, served: boolean): Route {
  let { kind, ids, section } = HOME;
  for (const part of hash.replace(/^#/, "").split("&").filter(Boolean)) {
    const [word, value] = split(part);
    if (served && (word === "run" || word === "compare") && !kind) {
      kind = word;
      ids = value.split(",").filter(Boolean).map(decoded);
    } else if (!section) section = `${decoded(word)}=${decoded(value)}`;
  }
  return { kind, ids, section };
}

/** Half of a surrogate pair, which no address can hold, becomes the sign for what cannot be shown. */
export function whole(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

function encoded(text: string): string {
  return encodeURIComponent(whole(text));
}

export function address(route: Route): string {
  const parts = route.kind ? [`${route.kind}=${route.ids.map(encoded).join(",")}`] : [];
  if (route.section) {
    const [word, value] = split(route.section);
    parts.push(`${encoded(word)}=${encoded(value)}`);
  }
  return `#${parts.join("&")}`;
}

/** Where a link of a block leads from here. */
export function follow(link: string, from: Route, served: boolean): Route {
  const [word, value] = split(link);
  if (served && word === "run") return { kind: "run", ids: [value], section: "" };
  if (served && word === "compare") return { kind: "compare", ids: value.split(","), section: "" };
  return { ...from, section: link };
}

// In the frame of a notebook there is no address that could be changed: the page then remembers its own.
const framed = location.protocol === "about:" || location.protocol === "blob:";
export const served = document.getElementById("server") !== null;
export const route = watched<Route>(parse(framed ? "" : location.hash, served));

export function go(next: Route): void {
  if (framed) {
    route.set(next);
    scrollTo(0, 0);
  } else location.hash = address(next);
}

if (!framed) addEventListener("hashchange", () => route.set(parse(location.hash, served)));

/** For links: a plain click stays in this page, also where a frame could not follow an address. */
export function clicked(event: MouseEvent, next: Route): void {
  if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(next);
}
