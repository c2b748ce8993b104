// Opens a report as a reader would and says what is to be seen: node look.mjs REPORT.html OUT TEST
//
// OUT gets the screenshots; TEST is the title of the test to open; the environment's LPCA_BROWSER
// is the browser. Prints JSON: which requests left the page, what went wrong in it, the texts that
// were visible, and how large the picture was drawn.
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [report, out, title] = process.argv.slice(2);
const url = pathToFileURL(report).href;
const requests = [];
const errors = [];

const browser = await chromium.launch({
  executablePath: process.env.LPCA_BROWSER,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
  ],
});
try {
  const context = await browser.newContext({ viewport: { width: 1200, height: 1000 } });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  context.on("request", (request) => {
    const at = request.url();
    if (!/^(data|blob):/.test(at) && at.split("#")[0] !== url) requests.push(at);
  });
  const text = () => page.evaluate(() => document.body.innerText);
  const shot = (name) => page.screenshot({ path: `${out}/${name}.png` });

  await page.goto(url);
  await page.getByTestId("tree-section").first().waitFor();
  const overview = await text();
  await shot("allure-overview");

  await page.getByTestId("nav-tab-categories").click();
  await page.waitForTimeout(500);
  const categories = await text();
  await shot("allure-categories");
  await page.getByTestId("nav-tab-results").click();

  await page.getByTestId("tree-leaf-title").filter({ hasText: title }).first().click();
  await page.getByTestId("test-result-info-title").waitFor();
  const test = await text();
  await shot("allure-test");
  await page.getByText("the gate at a glance", { exact: true }).first().click();
  const picture = page.getByTestId("test-result-attachment").locator("img, svg image, object").last();
  await picture.waitFor();
  await page.getByText("Description", { exact: true }).scrollIntoViewIfNeeded();
  await picture.scrollIntoViewIfNeeded();
  await page.waitForTimeout(500);
  const plot = await picture.evaluate((node) => ({
    tag: node.tagName,
    shown: [node.clientWidth, node.clientHeight],
    natural: [node.naturalWidth ?? 0, node.naturalHeight ?? 0],
  }));
  await shot("allure-plot");

  await page.goto(`${url}#charts`);
  await page.reload();
  await page.getByText("Trend: results by run").waitFor();
  await page.waitForTimeout(1500);
  const trend = await text();
  await page.setViewportSize({ width: 1200, height: 500 });
  await page.waitForTimeout(500);
  await shot("allure-trend");
  console.log(JSON.stringify({ requests, errors, overview, categories, test, plot, trend }));
} finally {
  await browser.close();
}
