// Makes one HTML file of Allure results: node make.mjs RESULTS HISTORY OUT
//
// HISTORY is a file that each report adds a line to: what trends are drawn from.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { offline } from "./offline.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const [results, history, out] = process.argv.slice(2);
if (!existsSync(results)) {
  console.error(`no report: the run left no results in ${results}`);
  process.exit(1);
}
const allure = join(here, "node_modules", "allure", "cli.js");
const made = spawnSync(
  process.execPath,
  [allure, "generate", results, "--config", join(here, "allurerc.mjs"), "--output", out],
  {
    env: { ...process.env, LPCA_ALLURE_RESULTS: results, LPCA_ALLURE_HISTORY: history },
    stdio: "inherit",
  },
);
if (made.status !== 0) process.exit(made.status ?? 1);
const page = join(out, "index.html");
writeFileSync(page, offline(readFileSync(page, "utf8")));
console.log(`report: ${page}`);
