// Perceptually even colour scales: viridis for sizes, blue to red through the ground for numbers around zero.
import type { Palette } from "./theme";

const VIRIDIS = ["#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c", "#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725"];
const AROUND_LIGHT = ["#15467f", "#3a78b5", "#84b3d8", "#c8dcec", "#f6f6f4", "#f6d5c2", "#e89c7b", "#c9573f", "#8f1d2c"];
const AROUND_DARK = ["#a8d0f5", "#6ea6dd", "#4279b3", "#2a4d78", "#222936", "#703a30", "#ab5942", "#dc8a66", "#fbc4a2"];

export function scale(centred: boolean, palette: Palette): readonly string[] {
  if (centred) return palette.dark ? AROUND_DARK : AROUND_LIGHT;
  return palette.dark ? VIRIDIS.slice(2) : VIRIDIS.slice(0, -1); // the end that would fade into the ground is left out
}

function channels(colour: string): [number, number, number] {
  const value = Number.parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** The colour at a share between 0 and 1. */
export function at(stops: readonly string[], share: number): [number, number, number] {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const index = Math.min(Math.floor(place), stops.length - 2);
  const low = channels(stops[index] ?? "#000000");
  const high = channels(stops[index + 1] ?? "#000000");
  const part = place - index;
  return [0, 1, 2].map((k) => Math.round((low[k] ?? 0) * (1 - part) + (high[k] ?? 0) * part)) as [number, number, number];
}

export function css([red, green, blue]: readonly [number, number, number]): string {
  return `rgb(${red},${green},${blue})`;
}

/** Least and largest of the numbers that are there. */
export function extent(values: Iterable<number | null | undefined>): [number, number] | null {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (typeof value !== "number" || !Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}
