// One script and one style sheet, without a hash in their names: Python puts them into the page and hashes them for its policy.
import { defineConfig } from "vite";

export default defineConfig({
  define: { "process.env.NODE_ENV": '"production"', __DEV__: "false" },
  esbuild: { jsx: "automatic", jsxImportSource: "preact", charset: "ascii", legalComments: "none" },
  build: {
    outDir: "../src/modescope/data/page",
    emptyOutDir: false,
    target: "es2022",
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000,
    lib: { entry: "src/main.tsx", formats: ["iife"], name: "modescope", fileName: () => "page.js", cssFileName: "page" },
  },
});
