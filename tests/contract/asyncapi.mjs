// The AsyncAPI documents, read by the parser of the AsyncAPI initiative: any error or warning is a finding.
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Parser } from '@asyncapi/parser';

let findings = 0;
for (const path of process.argv.slice(2)) {
  const text = await readFile(path, 'utf8');
  const { document, diagnostics } = await new Parser().parse(text, { source: path });
  for (const { code, message, path: at, severity } of diagnostics) {
    // What is worth a look (informations and hints) is shown and is no finding.
    findings += severity <= 1 ? 1 : 0;
    console.log(`${path}: ${['error', 'warning', 'information', 'hint'][severity]} ${code}: ${message} at ${at.join('.')}`);
  }
  const counts = document && [document.allChannels(), document.allOperations(), document.allMessages()].map((all) => all.length);
  if (!counts || counts.includes(0)) findings += 1;
  console.log(`${path}: channels, operations, messages: ${counts}`);
}
process.exit(findings ? 1 : 0);
