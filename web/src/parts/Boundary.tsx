// One part that fails is a card that says so; the rest of the page lives.
import { Component, type ComponentChildren } from "preact";
import { shown } from "../words";

interface Props {
  what: string;
  children: ComponentChildren;
}

export class Boundary extends Component<Props, { fault: string }> {
  override state = { fault: "" };

  override componentDidCatch(fault: unknown): void {
    this.setState({ fault: fault instanceof Error ? fault.message : String(fault) });
  }

  render({ what, children }: Props, { fault }: { fault: string }) {
    return fault ? <Fault text={`${what} could not be drawn.`} reason={fault} /> : children;
  }
}

export function Fault({ text, reason, retry }: { text: string; reason?: string; retry?: () => void }) {
  return (
    <div class="note error" role="alert">
      <span class="sign" aria-hidden="true">
        ✕
      </span>
      <div>
        <p>{shown(text)}</p>
        {reason && <p class="source">{shown(reason).slice(0, 300)}</p>}
        {retry && (
          <button type="button" onClick={retry}>
            Try again
          </button>
        )}
      </div>
    </div>
  );
}
