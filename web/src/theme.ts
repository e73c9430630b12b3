// Light, dark, or what the system says; and paper, which is always light.
import { watched } from "./state";

export type Choice = "auto" | "light" | "dark";
const CHOICES: readonly Choice[] = ["auto", "light", "dark"];
const KEY = "modescope.theme";

export interface Palette {
  ink: string;
  quiet: string;
  line: string;
  faint: string;
  ground: string;
  data: readonly string[];
  null: string;
  law: string;
  fit: string;
  dark: boolean;
}

export const LIGHT: Palette = {
  ink: "#1c2431",
  quiet: "#596577",
  line: "#c3cad4",
  faint: "#e8ebf0",
  ground: "#ffffff",
  data: ["#1b62a5", "#00856b", "#8c6d00", "#a34a86", "#3f88c5", "#5b5b5b"],
  null: "#9aa3b0",
  law: "#c4500c",
  fit: "#8b2f8f",
  dark: false,
};

export const DARK: Palette = {
  ink: "#e4e9f1",
  quiet: "#9ba7b8",
  line: "#465063",
  faint: "#2a3241",
  ground: "#171d28",
  data: ["#6eb3f2", "#3cc7a3", "#e0c04a", "#e39ac6", "#a9d3ff", "#c5c9d1"],
  null: "#6f7a8b",
  law: "#ff9554",
  fit: "#d69be0",
  dark: true,
};

function remembered(): Choice {
  try {
    const found = localStorage.getItem(KEY) as Choice | null;
    return found && CHOICES.includes(found) ? found : "auto";
  } catch {
    return "auto"; // a frame without storage
  }
}

export const choice = watched<Choice>(remembered());
export const printing = watched(false);
const system = matchMedia("(prefers-color-scheme: dark)");
const paper = matchMedia("print");

function resolved(): Palette {
  if (printing.get()) return LIGHT;
  return choice.get() === "dark" || (choice.get() === "auto" && system.matches) ? DARK : LIGHT;
}

export const palette = watched<Palette>(resolved());

function apply(): void {
  document.documentElement.dataset.theme = choice.get();
  palette.set(resolved());
}

export function turn(): void {
  const next = CHOICES[(CHOICES.indexOf(choice.get()) + 1) % CHOICES.length] ?? "auto";
  choice.set(next);
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // a frame without storage: the choice lasts as long as the page
  }
  apply();
}

function print(on: boolean): void {
  printing.set(on);
  palette.set(resolved());
}

system.addEventListener("change", apply);
paper.addEventListener("change", () => print(paper.matches));
addEventListener("beforeprint", () => print(true));
addEventListener("afterprint", () => print(false));
apply();
