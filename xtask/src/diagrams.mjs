// Parses every diagram of the JSON file it is given; exits with 1 when one is refused.
import { readFileSync } from "node:fs";
import { JSDOM } from "jsdom";

// Mermaid sanitises labels with the DOM of a browser, also when it only parses.
globalThis.window = new JSDOM("<!doctype html><body></body>").window;
globalThis.document = window.document;
const { default: mermaid } = await import("mermaid");

const diagrams = JSON.parse(readFileSync(process.argv[2], "utf8"));
let refused = 0;
for (const { place, text } of diagrams) {
  try {
    await mermaid.parse(text);
  } catch (error) {
    refused += 1;
    console.error(`${place}: ${error.message}`);
  }
}
console.log(`${diagrams.length - refused} passed, ${refused} failed`);
process.exitCode = refused === 0 ? 0 : 1;
