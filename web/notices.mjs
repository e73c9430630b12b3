// Writes the licences of everything that is bundled beside the bundle.
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const BUNDLED = ["echarts", "zrender", "preact", "tslib"];

const parts = BUNDLED.map((name) => {
  const home = `node_modules/${name}`;
  const { version, license } = JSON.parse(readFileSync(`${home}/package.json`, "utf8"));
  const texts = ["LICENSE", "LICENSE.txt", "NOTICE", "licenses/LICENSE-d3"].filter((file) => existsSync(`${home}/${file}`));
  const body = texts.map((file) => `--- ${file} ---\n\n${readFileSync(`${home}/${file}`, "utf8").trim()}`).join("\n\n");
  return `${"=".repeat(80)}\n${name} ${version}, ${license}\n${"=".repeat(80)}\n\n${body}\n`;
});
const head = "page.js contains parts of the following works, bundled and shortened by Vite.\n";
writeFileSync("../src/modescope/data/page/page.LICENSES.txt", [head, ...parts].join("\n"));
