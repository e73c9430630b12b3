// A picture with its description.
import { Heading } from "../parts/Heading";
import type { Image } from "../report";
import { bytes, fileName, save } from "../save";
import { shown } from "../words";

export function ImageBlock({ block, depth }: { block: Image; depth: number }) {
  const url = `data:image/png;base64,${block.png}`;
  return (
    <figure class="card">
      <header>
        <Heading depth={depth}>{shown(block.title)}</Heading>
        <div class="tools">
          <button type="button" onClick={() => save(fileName(block.title, "png"), bytes(url))} aria-label={`PNG of ${shown(block.title)}`}>
            PNG
          </button>
        </div>
      </header>
      <img src={url} alt={shown(block.alt)} loading="lazy" />
      {block.caption && <figcaption>{shown(block.caption)}</figcaption>}
    </figure>
  );
}
