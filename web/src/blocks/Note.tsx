// Plain sentences, with a sign where they warn.
import type { Note } from "../report";
import { shown } from "../words";

const SIGNS = { plain: "", caution: "!", error: "✕" };
const SPOKEN = { plain: "", caution: "Caution: ", error: "Error: " };

export function NoteBlock({ block }: { block: Note }) {
  const level = block.level && block.level in SIGNS ? block.level : "plain";
  return (
    <div class={`note ${level}`} role="note">
      {level !== "plain" && (
        <span class="sign" aria-hidden="true">
          {SIGNS[level]}
        </span>
      )}
      <div>
        {block.text.split("\n").map((line, index) => (
          <p key={index}>
            {index === 0 && level !== "plain" && <span class="away">{SPOKEN[level]}</span>}
            {shown(line)}
          </p>
        ))}
        {block.source && <p class="source">{shown(block.source)}</p>}
      </div>
    </div>
  );
}
