// The part of a canvas that drawings use, writing SVG.
import { shown } from "../words";

export type Pen = Pick<
  CanvasRenderingContext2D,
  | "arc"
  | "beginPath"
  | "bezierCurveTo"
  | "clip"
  | "fill"
  | "fillRect"
  | "fillStyle"
  | "fillText"
  | "font"
  | "globalAlpha"
  | "lineJoin"
  | "lineTo"
  | "lineWidth"
  | "moveTo"
  | "rect"
  | "restore"
  | "rotate"
  | "save"
  | "stroke"
  | "strokeStyle"
  | "strokeText"
  | "textAlign"
  | "textBaseline"
  | "translate"
>;

const ANCHORS: Record<string, string> = { left: "start", start: "start", center: "middle", right: "end", end: "end" };
const RAISED: Record<string, string> = { middle: "0.35em", top: "0.8em", alphabetic: "0" };
const SIGNS: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

export class Svg implements Pen {
  fillStyle: string | CanvasGradient | CanvasPattern = "#000000";
  strokeStyle: string | CanvasGradient | CanvasPattern = "#000000";
  lineWidth = 1;
  lineJoin: CanvasLineJoin = "round";
  globalAlpha = 1;
  font = "12px sans-serif";
  textAlign: CanvasTextAlign = "left";
  textBaseline: CanvasTextBaseline = "alphabetic";
  private parts: string[] = [];
  private path = "";
  private turned: string[] = [];
  private kept: string[][] = [];

  constructor(
    private readonly width: number,
    private readonly height: number,
  ) {}

  beginPath(): void {
    this.path = "";
  }
  moveTo(x: number, y: number): void {
    this.path += `M${short(x)} ${short(y)}`;
  }
  lineTo(x: number, y: number): void {
    this.path += `L${short(x)} ${short(y)}`;
  }
  bezierCurveTo(a: number, b: number, c: number, d: number, x: number, y: number): void {
    this.path += `C${[a, b, c, d, x, y].map(short).join(" ")}`;
  }
  /** Whole circles only. */
  arc(x: number, y: number, radius: number): void {
    this.path += `M${short(x - radius)} ${short(y)}a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0`;
  }
  rect(x: number, y: number, width: number, height: number): void {
    this.path += `M${short(x)} ${short(y)}h${short(width)}v${short(height)}h${short(-width)}z`;
  }
  /** What is saved is drawn whole: there is nothing to cut off. */
  clip(): void {
    this.path = "";
  }
  save(): void {
    this.kept.push([...this.turned]);
  }
  restore(): void {
    this.turned = this.kept.pop() ?? [];
  }
  translate(x: number, y: number): void {
    this.turned.push(`translate(${short(x)} ${short(y)})`);
  }
  rotate(angle: number): void {
    this.turned.push(`rotate(${short((angle * 180) / Math.PI)})`);
  }
  fill(): void {
    this.add("path", `d="${this.path}" fill="${safe(String(this.fillStyle))}"`);
  }
  stroke(): void {
    this.add("path", `d="${this.path}" fill="none" stroke="${safe(String(this.strokeStyle))}" stroke-width="${short(this.lineWidth)}"`);
  }
  fillRect(x: number, y: number, width: number, height: number): void {
    this.add("rect", `x="${short(x)}" y="${short(y)}" width="${short(width)}" height="${short(height)}" fill="${safe(String(this.fillStyle))}"`);
  }
  fillText(text: string, x: number, y: number): void {
    this.write(text, x, y, `fill="${safe(String(this.fillStyle))}"`);
  }
  strokeText(text: string, x: number, y: number): void {
    this.write(text, x, y, `fill="none" stroke="${safe(String(this.strokeStyle))}" stroke-width="${short(this.lineWidth)}" stroke-linejoin="round" aria-hidden="true"`);
  }

  toString(): string {
    const size = `width="${this.width}" height="${this.height}" viewBox="0 0 ${this.width} ${this.height}"`;
    return `<svg xmlns="http://www.w3.org/2000/svg" ${size}>\n${this.parts.join("\n")}\n</svg>\n`;
  }

  private write(text: string, x: number, y: number, look: string): void {
    const place = `x="${short(x)}" y="${short(y)}" dy="${RAISED[this.textBaseline] ?? "0"}" text-anchor="${ANCHORS[this.textAlign] ?? "start"}"`;
    this.add("text", `${place} ${look} style="font:${safe(this.font)}"`, safe(shown(text)));
  }
  private add(tag: string, attributes: string, content = ""): void {
    const turned = this.turned.length ? ` transform="${this.turned.join(" ")}"` : "";
    const alpha = this.globalAlpha < 1 ? ` opacity="${short(this.globalAlpha)}"` : "";
    this.parts.push(`<${tag} ${attributes}${turned}${alpha}>${content}</${tag}>`);
  }
}

function short(value: number): string {
  return String(Number(value.toFixed(2)));
}

function safe(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => SIGNS[sign] ?? "");
}
