// The page of a server: the list of what it found, one run, or several side by side; kept up to date while they are written.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Header } from "./Header";
import { Page } from "./Page";
import { Fault } from "./parts/Boundary";
import { read, type Report } from "./report";
import { address, clicked, go, HOME, route, type Route } from "./route";

type Line = "connecting" | "live" | "lost";
const SAID: Record<Line, string> = { connecting: "Connecting", live: "Live", lost: "Connection lost, trying again" };

const AGAIN = 3000; // ms until a refused connection is tried again

function source({ kind, ids }: Route): string {
  if (kind === "run") return `api/runs/${encodeURIComponent(ids[0] ?? "")}`;
  if (kind === "compare") return `api/compare?${ids.map((id) => `run=${encodeURIComponent(id)}`).join("&")}`;
  return "api/index";
}

interface Loaded {
  url: string;
  text: string;
  report: Report;
}

export function Served() {
  const now = route.use();
  const url = source(now);
  const [loaded, load] = useState<Loaded | null>(null);
  const [fault, fail] = useState("");
  const [line, connect] = useState<Line>("connecting");
  const [chosen, choose] = useState<ReadonlySet<string>>(new Set());
  const latest = useRef({ url, ids: now.ids });
  latest.current = { url, ids: now.ids };
  const waiting = useRef<AbortController | null>(null);

  const fetched = useCallback(async () => {
    const wanted = latest.current.url;
    waiting.current?.abort();
    const control = new AbortController();
    waiting.current = control;
    try {
      const answer = await fetch(wanted, { signal: control.signal, headers: { accept: "application/json" } });
      const text = await answer.text();
      if (!answer.ok) throw new Error(reason(text) || `The server answered ${answer.status}.`);
      const report = read(text);
      if (latest.current.url !== wanted) return;
      load((before) => (before?.url === wanted && before.text === text ? before : { url: wanted, text, report }));
      fail("");
    } catch (error) {
      if (control.signal.aborted || latest.current.url !== wanted) return;
      fail(error instanceof Error ? error.message : String(error));
    }
  }, []);

  useEffect(() => {
    fail("");
    void fetched();
  }, [url]);

  useEffect(() => {
    let broken = false;
    let events: EventSource | undefined;
    let timer = 0;
    const listen = () => {
      events = new EventSource("api/events");
      events.onopen = () => {
        connect("live");
        if (broken) void fetched(); // something may have changed while nobody listened
        broken = false;
      };
      events.onerror = () => {
        broken = true;
        connect("lost");
        if (events?.readyState === EventSource.CLOSED) timer = window.setTimeout(listen, AGAIN); // the browser gave up
      };
      events.addEventListener("changed", (event) => {
        const { ids } = latest.current;
        const changed = named(event.data as string);
        if (!ids.length || ids.some((id) => changed.includes(id))) void fetched();
      });
    };
    // A browser keeps six connections to one server open, and a tab that nobody sees needs none of them.
    const seen = () => {
      clearTimeout(timer);
      events?.close();
      if (document.hidden) broken = true;
      else listen();
    };
    seen();
    document.addEventListener("visibilitychange", seen);
    return () => {
      document.removeEventListener("visibilitychange", seen);
      clearTimeout(timer);
      events?.close();
    };
  }, []);

  const current = loaded?.url === url ? loaded : null;
  const pick = (link: string) =>
    choose((before) => {
      const after = new Set(before);
      if (!after.delete(link)) after.add(link);
      return after;
    });
  const ids = [...chosen].map((link) => link.slice("run=".length));
  return (
    <>
      <Header report={current?.report ?? null} saved={current?.text ?? ""}>
        <span class={`line ${line}`} role="status">
          {SAID[line]}
        </span>
        {now.kind && (
          <a class="control" href={address(HOME)} onClick={(event) => clicked(event, HOME)}>
            ← All runs
          </a>
        )}
        {!now.kind && ids.length > 0 && (
          <button type="button" class="control strong" disabled={ids.length < 2} onClick={() => go({ kind: "compare", ids, section: "" })}>
            {ids.length < 2 ? "Choose another to compare" : `Compare ${ids.length}`}
          </button>
        )}
      </Header>
      {fault && <Fault text={current ? "This could not be brought up to date." : "This could not be loaded."} reason={fault} retry={() => void fetched()} />}
      {!current && !fault && <p class="quiet waiting">Loading…</p>}
      {current && <Page key={url} report={current.report} place={now.kind ? {} : { chosen, choose: pick }} />}
    </>
  );
}

/** What a server says is wrong: the text of an error, or the message in it. */
function reason(text: string): string {
  try {
    const told = JSON.parse(text) as Record<string, unknown>;
    const said = told["error"] ?? told["detail"] ?? told["message"];
    return typeof said === "string" ? said : "";
  } catch {
    return text.length < 300 && !text.includes("<") ? text : "";
  }
}

function named(data: string): readonly unknown[] {
  try {
    const { changed } = JSON.parse(data) as { changed?: unknown };
    return Array.isArray(changed) ? changed : [];
  } catch {
    return [];
  }
}
