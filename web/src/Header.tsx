// The head of the page: what this is, and what can be done with all of it.
import type { ComponentChildren } from "preact";
import { Code } from "./parts/Code";
import type { Report } from "./report";
import { fileName, save, text } from "./save";
import { choice, turn } from "./theme";
import { counted, shown } from "./words";

const THEMES = { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" };

export function Header({ report, saved, children }: { report: Report | null; saved: string; children?: ComponentChildren }) {
  const theme = choice.use();
  return (
    <header class="page">
      <div class="title">
        <p class="brand">Modescope</p>
        <h1>{shown(report?.title || "Modescope")}</h1>
        {report && <p class="quiet">{source(report)}</p>}
      </div>
      <div class="actions">
        {children}
        {report?.code && <Code code={report.code} />}
        {saved && (
          <button type="button" class="control" onClick={() => save(fileName(report?.title ?? "", "json"), text(saved, "application/json"))} title="Opens again with load_report">
            Save JSON
          </button>
        )}
        {window.parent === window && (
          <button type="button" class="control" onClick={() => print()}>
            Print
          </button>
        )}
        <button type="button" class="control" onClick={turn}>
          {THEMES[theme]}
        </button>
      </div>
    </header>
  );
}

/** One line on where the numbers come from, as far as the document says. */
function source(report: Report): string {
  const told = report.document["source"];
  const parts: string[] = [];
  if (told && typeof told === "object") {
    const { path, format, tensors, parameters } = told as Record<string, unknown>;
    if (typeof path === "string" && path !== report.title) parts.push(path);
    if (typeof format === "string") parts.push(format);
    if (typeof tensors === "number") parts.push(counted(tensors, "tensor"));
    if (typeof parameters === "number") parts.push(counted(parameters, "parameter"));
  }
  if (report.version) parts.push(`Modescope ${report.version}`);
  return parts.map(shown).join(" \u00b7 ");
}
