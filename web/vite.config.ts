import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const out = join(import.meta.dirname, "dist");

/**
 * Removes what an earlier build left. Vite would also remove the placeholder,
 * which is in git so that Go builds without Node.
 */
function clean(): Plugin {
  return {
    name: "clean",
    apply: "build",
    async buildStart() {
      for (const name of ["assets", "index.html", "index.html.gz", "index.html.br"]) {
        await rm(join(out, name), { recursive: true, force: true });
      }
    },
  };
}

/**
 * Writes a .gz and a .br beside each file, so that the server has nothing to
 * compress while it runs.
 */
function precompress(): Plugin {
  return {
    name: "precompress",
    apply: "build",
    async closeBundle() {
      const assets = (await readdir(join(out, "assets"))).map((name) => join("assets", name));
      for (const name of ["index.html", ...assets]) {
        const data = await readFile(join(out, name));
        await writeFile(join(out, `${name}.gz`), gzipSync(data, { level: 9 }));
        const quality = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: data.length };
        await writeFile(join(out, `${name}.br`), brotliCompressSync(data, { params: quality }));
      }
    },
  };
}

// `npm run dev` shows the pages during development. Their data comes from the
// server named here.
const server = process.env["TRACKWAY"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [clean(), precompress()],
  build: {
    outDir: out,
    emptyOutDir: false,
    assetsInlineLimit: 0, // the pages' policy admits no inline scripts and styles
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  server: { proxy: Object.fromEntries(["/grid", "/about", "/api", "/openapi.yaml"].map((path) => [path, server])) },
});
