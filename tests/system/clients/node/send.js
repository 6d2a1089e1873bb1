// Sends a file of records with the npm client `@fluent-org/logger`.
// Arguments: the file, the address (a path, or a TCP port), the tag, the event mode, "ack" or "noack".
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const modules = path.join(__dirname, "../../../../target/system/node/node_modules");
const { FluentClient, EventTime } = require(path.join(modules, "@fluent-org/logger"));

const [file, address, tag, eventMode, acks] = process.argv.slice(2);
// A packed message holds what is emitted in one turn; this many stay well below the receiver's limit of 6 MB.
const RECORDS_PER_TURN = 500;

function options() {
  const socket = /^\d+$/.test(address) ? { host: "127.0.0.1", port: Number(address) } : { path: address };
  const ack = acks === "ack" ? { ackTimeout: 20000 } : undefined;
  return { eventMode, socket, ack, disconnect: { waitForPending: true } };
}

async function main() {
  const records = fs.readFileSync(file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
  const client = new FluentClient(tag, options());
  for (let start = 0; start < records.length; start += RECORDS_PER_TURN) {
    const turn = records.slice(start, start + RECORDS_PER_TURN);
    await Promise.all(turn.map(({ sec, nsec, record }) => client.emit(record, new EventTime(sec, nsec))));
  }
  await client.disconnect();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
