// One call by a client that knows only the four messages of the base mode, and nothing else.
//
//     node client.mjs ws://127.0.0.1:8765/ caller.wav en
//
// It waits for the greeting, says the recording (16 kHz mono s16), and ends well once it has the
// transcript of its words, audio, and the transcript of the answer. Any message, field or value it
// does not know ends it with status 1.
import { readFileSync } from "node:fs";
import WebSocket from "ws";

const [url, file, languageHint] = process.argv.slice(2);
const callId = "node-1";
const FRAME_BYTES = 640; // 20 ms
const GREETING_WAIT_MS = 5000;
const CALL_LIMIT_MS = 60000;

const wav = readFileSync(file);
const audio = wav.subarray(wav.indexOf("data") + 8);
const heard = { caller: "", assistant: "", audioBytes: 0 };
let said = -1; // bytes of the recording sent so far; -1 before the greeting is over

const socket = new WebSocket(url);
const send = (message) => socket.send(JSON.stringify(message));

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

function nextFrame() {
  const frame = Buffer.alloc(FRAME_BYTES);
  if (said >= 0) {
    audio.subarray(said, said + FRAME_BYTES).copy(frame); // nothing once it is over
    said += FRAME_BYTES;
  }
  return frame;
}

socket.on("open", () => {
  send({ type: "init", callId, languageHint });
  const start = performance.now();
  let frames = 0;
  // The line is always live: frames by the clock, silence where nothing is said.
  setInterval(() => {
    for (; frames * 20 < performance.now() - start; frames++) {
      if (said < 0 && frames * 20 > GREETING_WAIT_MS) said = 0;
      send({ type: "audio", callId, chunk: nextFrame().toString("base64") });
    }
  }, 10);
});

socket.on("message", (data, isBinary) => {
  if (isBinary) fail("a binary frame");
  const message = JSON.parse(data);
  const keys = Object.keys(message).sort().join();
  if (message.callId !== callId) fail(`a message of another call: ${data}`);
  if (message.type === "audio_out" && keys === "callId,chunk,type") {
    const bytes = Buffer.from(message.chunk, "base64").length;
    if (bytes === 0 || bytes % 2) fail(`a chunk of ${bytes} bytes`);
    if (heard.caller) heard.audioBytes += bytes;
  } else if (message.type === "transcript" && keys === "callId,role,text,type") {
    receiveTranscript(message);
  } else {
    fail(`unknown message: ${data}`);
  }
});

function receiveTranscript({ role, text }) {
  if (role !== "caller" && role !== "assistant") fail(`unknown role: ${role}`);
  if (role === "assistant" && said < 0) {
    said = 0; // that was the greeting: now it is our turn
  } else {
    heard[role] = `${heard[role]} ${text}`.trim();
  }
  if (heard.caller && heard.assistant && heard.audioBytes) {
    console.log(JSON.stringify(heard));
    process.exit(0);
  }
}

socket.on("close", (code) => fail(`the gateway closed the call with code ${code}`));
socket.on("error", (error) => fail(`no call: ${error.message}`));
setTimeout(() => fail(`no full answer in time; got ${JSON.stringify(heard)}`), CALL_LIMIT_MS);
