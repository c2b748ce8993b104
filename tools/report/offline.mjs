// Makes a report of Allure keep to itself.
//
// Allure writes an analytics script into every report and has no option to leave it out. It is
// taken out here, and a content security policy forbids whatever else would leave the page.
const own = "data: blob:";
const policy = [
  "default-src 'none'",
  `script-src 'unsafe-inline' 'unsafe-eval' ${own}`,
  `style-src 'unsafe-inline' ${own}`,
  ...["img", "font", "media", "frame", "connect", "worker"].map((what) => `${what}-src ${own}`),
].join("; ");
const analytics =
  /<script\b[^>]*googletagmanager\.com[^>]*><\/script>\s*<script>(?:(?!<\/script>)[^])*\bgtag\((?:(?!<\/script>)[^])*<\/script>/g;
const loads =
  /<(?:script|link|img|iframe|source|object|embed)\b[^>]*?\s(?:src|href|data)\s*=\s*["']?(?:https?:)?\/\/[^"'\s>]*/gi;

/** The page without what would load from outside; an error where something is left. */
export function offline(html) {
  const quiet = html.replace(analytics, "");
  const outside = quiet.match(loads) ?? [];
  if (outside.length > 0 || quiet.includes("googletagmanager")) {
    throw new Error(`the report loads from outside: ${outside.join(", ") || "analytics"}`);
  }
  if (!quiet.includes("<head>")) throw new Error("the report has no <head>");
  const rule = `<meta http-equiv="Content-Security-Policy" content="${policy}">`;
  return quiet.replace("<head>", () => `<head>\n${rule}`);
}
