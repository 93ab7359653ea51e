// Puts a bearer token on every request, for clients that cannot: the conformance suite has no option for it.
// Usage: node shim.mjs http://HOST:PORT/PATH, with the token in TOKEN. Prints its own URL as one line.

import http from "node:http";

const target = new URL(process.argv[2]);
const authorization = `Bearer ${process.env.TOKEN}`;

const server = http.createServer((request, response) => {
  // All else stays as it came, `Host` too: the suite tests what a server makes of a foreign one.
  const headers = { ...request.headers, authorization };
  const { hostname, port } = target;
  const { method, url: path } = request;
  const onward = http.request({ hostname, port, method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    // An event stream's headers must arrive before its first event.
    response.flushHeaders();
    answer.pipe(response);
    answer.on("error", () => response.destroy());
  });
  onward.on("error", () => response.destroy());
  // Who hangs up here hangs up there.
  response.on("close", () => onward.destroy());
  request.pipe(onward);
});

server.listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}${target.pathname}`);
});
