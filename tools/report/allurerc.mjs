// How Allure 3 makes the report of a gate run; paths are relative to the project.
import { readFileSync } from "node:fs";

const results = process.env.LPCA_ALLURE_RESULTS ?? ".lpca/allure-results";
const read = (name) => {
  try {
    return JSON.parse(readFileSync(`${results}/${name}`, "utf8"));
  } catch {
    return undefined; // no gate ran: the report says so by being empty
  }
};
const runs = 20;

export default {
  name: read("executor.json")?.reportName ?? "LPCA gates",
  historyPath: process.env.LPCA_ALLURE_HISTORY ?? ".lpca/report-history.jsonl",
  historyLimit: 100,
  hideLabels: ["host", "thread", "framework", "language"],
  categories: read("categories.json") ?? [],
  plugins: {
    awesome: {
      options: {
        singleFile: true,
        theme: "light",
        groupBy: ["parentSuite", "suite", "subSuite"],
        charts: [
          { type: "currentStatus", title: "This run" },
          { type: "statusDynamics", title: "Trend: results by run", limit: runs },
        ],
      },
    },
  },
};
