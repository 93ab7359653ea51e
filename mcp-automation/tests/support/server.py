"""A small MCP server whose manners are told by its arguments: python3 server.py MODE [http].

Over stdio, or over streamable HTTP on a free port, which it prints.
"""
import json, os, signal, subprocess, sys, threading, time, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODE = sys.argv[1] if len(sys.argv) > 1 else "legacy"
lock = threading.Lock()
# Over HTTP: the response to the request that this thread handles.
here = threading.local()


def write(message):
    if hasattr(here, "response"):
        return here.response.event(message)
    with lock:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def answer(id, result):
    write({"jsonrpc": "2.0", "id": id, "result": result})


def refuse(id, code, message):
    write({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})


cancelled = []
# Of a stateless server: whether somebody listens, and over HTTP on which stream.
subscribed = threading.Event()
listener = {}
# Resources that somebody subscribed to: of a session, and of a stateless server's streams by their ids.
WATCHED = {"resources": {"subscribe": True}} if "WATCHED" in os.environ else {}
watched = set()
streams = {}
asked = {}
hung = threading.Event()


def call(id, name, arguments, params):
    token = params.get("_meta", {}).get("progressToken")
    if name == "echo":
        answer(id, {"content": [{"type": "text", "text": arguments.get("text", "")}], "unknownField": 1.50})
    elif name == "params":
        answer(id, params)
    elif name == "crash":
        os._exit(3)
    elif name == "hang":
        while hasattr(here, "response"):
            time.sleep(0.05)
            here.response.event({"jsonrpc": "2.0", "method": "notifications/still/here"})
    elif name == "forget":
        sessions.clear()
        answer(id, {})
    elif name == "forget_and_hang":
        hung.set()
        sessions.clear()
        answer(id, {})
    elif name == "tell_all":
        write({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "of:%s" % token}})
        write({"jsonrpc": "2.0", "method": "notifications/odd", "params": {"of": token}})
        write({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"of": token}})
        replied = asked["s2"] = threading.Event()
        write({"jsonrpc": "2.0", "id": "s2", "method": "elicitation/create", "params": {"message": str(token)}})
        replied.wait()
        answer(id, asked.pop("answer"))
    elif name == "headers":
        answer(id, dict(here.response.headers.items()))
    elif name == "pid":
        answer(id, {"pid": os.getpid(), "env": dict(os.environ), "cwd": os.getcwd()})
    elif name == "garbage":
        with lock:
            sys.stdout.buffer.write(b"\xff\xfe not json \x00\nplain log line\n{\"half\":\n")
            sys.stdout.flush()
        answer(id, {"after": "garbage"})
    elif name == "bad_utf8":
        with lock:
            sys.stdout.buffer.write(b'{"jsonrpc":"2.0","id":%d,"result":{"x":"\xff"}}\n' % id)
            sys.stdout.flush()
    elif name == "huge":
        with lock:
            sys.stdout.write('{"jsonrpc":"2.0","id":%d,"result":{"x":"' % id)
            for _ in range(100):
                sys.stdout.write("x" * (1 << 20))
            sys.stdout.write('"}}\n')
            sys.stdout.flush()
    elif name == "huge_anonymous":
        with lock:
            for _ in range(100):
                sys.stdout.write("x" * (1 << 20))
            sys.stdout.write("\n")
            sys.stdout.flush()
    elif name == "flood":
        while True:
            with lock:
                sys.stdout.write("x" * (1 << 20))
    elif name == "progress":
        for step in range(3):
            write({"jsonrpc": "2.0", "method": "notifications/progress",
                   "params": {"progressToken": token, "progress": step, "extra": [1.0]}})
        answer(id, {"token": token})
    elif name == "late":
        time.sleep(arguments["seconds"])
        answer(id, {"late": True})
    elif name == "twice":
        answer(id, {"n": 1})
        answer(id, {"n": 2})
        answer(999999, {"n": 3})
        answer("x", {"n": 4})
    elif name == "cancelled":
        answer(id, {"cancelled": cancelled})
    elif name == "sample":
        replied = asked["s1"] = threading.Event()
        write({"jsonrpc": "2.0", "id": "s1", "method": "sampling/createMessage", "params": {"maxTokens": 1}})
        replied.wait()
        answer(id, asked.pop("answer"))
    elif name == "notice":
        news = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
        if MODE == "modern":
            subscribed.wait()
            listener.get("event", write)(news)
        else:
            write(news)
        answer(id, {})
    elif name == "touch":
        uri = arguments["uri"]
        news = {"jsonrpc": "2.0", "method": "notifications/resources/updated"}
        if uri in watched:
            write({**news, "params": {"uri": uri}})
        for stream, uris in streams.items():
            if uri in uris:
                write({**news, "params": {"uri": uri, "_meta": {"io.modelcontextprotocol/subscriptionId": stream}}})
        answer(id, {})
    elif name == "watched":
        answer(id, {"watched": sorted(watched.union(*streams.values()))})
    elif name == "stderr":
        print("a line on stderr", file=sys.stderr, flush=True)
        answer(id, {})
    elif name == "family":
        # A grandchild as npx has, one that ignores SIGTERM, and one in a session of its own.
        subprocess.Popen(["sh", "-c", "sleep 1000 & sleep 1000"])
        subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
        subprocess.Popen(["setsid", "sleep", "1000"])
        answer(id, {})
    else:
        refuse(id, -32602, "Unknown tool: " + name)


def handle(message):
    method, id, params = message.get("method"), message.get("id"), message.get("params") or {}
    if method is None:
        waiting = asked.pop(message["id"], None)
        if waiting is not None:
            asked["answer"] = {"got": message.get("result"), "refused": message.get("error")}
            waiting.set()
    elif method == "server/discover":
        if MODE == "modern":
            answer(id, {"resultType": "complete", "supportedVersions": ["2026-07-28"],
                        "capabilities": {"tools": {"listChanged": True}, **WATCHED}, "ttlMs": 0, "cacheScope": "private"})
        elif MODE == "dies-at-probe":
            os._exit(1)
        elif MODE != "silent":
            refuse(id, -32601, "Method not found")
    elif method == "initialize":
        if MODE == "modern":
            refuse(id, -32601, "Method not found")
        elif hung.is_set():
            time.sleep(1000)
        else:
            version = os.environ.get("VERSION", params["protocolVersion"])
            answer(id, {"protocolVersion": version, "capabilities": {"tools": {}, **WATCHED}, "serverInfo": {"name": "py", "version": "1"}})
    elif method == "subscriptions/listen" and params["notifications"] == {"toolsListChanged": True}:
        write({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {}})
        if hasattr(here, "response"):
            listener["event"] = here.response.event
        subscribed.set()
        while hasattr(here, "response"):
            time.sleep(1)
    elif method == "tools/list":
        answer(id, {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ["echo", "pid"]]})
    elif method == "subscriptions/listen":
        accepted = params["notifications"]["resourceSubscriptions"]
        streams[id] = set(accepted)
        write({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
               "params": {"_meta": {"io.modelcontextprotocol/subscriptionId": id},
                          "notifications": {"resourceSubscriptions": accepted}}})
    elif method == "resources/subscribe":
        watched.add(params["uri"])
        answer(id, {})
    elif method == "resources/unsubscribe":
        watched.discard(params["uri"])
        answer(id, {})
    elif method == "notifications/cancelled":
        streams.pop(params["requestId"], None)
        cancelled.append(params["requestId"])
    elif method == "tools/call" and hasattr(here, "response"):
        call(id, params["name"], params.get("arguments") or {}, params)
    elif method == "tools/call":
        worker = threading.Thread(target=call, args=(id, params["name"], params.get("arguments") or {}, params))
        worker.daemon = True
        worker.start()
    elif id is not None:
        refuse(id, -32601, "Method not found")


sessions = set()


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def plain(self, status, headers=(), body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def event(self, message):
        data = ("data: " + json.dumps(message) + "\r\n\r\n").encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def do_DELETE(self):
        sessions.discard(self.headers.get("Mcp-Session-Id"))
        self.plain(204)

    def do_GET(self):
        self.plain(405)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method = message.get("method")
        extra = []
        if MODE == "modern":
            if method and self.headers.get("Mcp-Method") != method:
                error = {"code": -32020, "message": "Mcp-Method"}
                body = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": error}).encode()
                return self.plain(400, [("Content-Type", "application/json")], body)
        elif method == "initialize":
            session = uuid.uuid4().hex
            sessions.add(session)
            extra = [("Mcp-Session-Id", session)]
        elif method != "server/discover" and self.headers.get("Mcp-Session-Id") not in sessions:
            return self.plain(404)
        elif method == "server/discover":
            return self.plain(400)
        if method is None or "id" not in message:
            handle(message)
            return self.plain(202)
        self.send_response(200)
        for name, value in [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")] + extra:
            self.send_header(name, value)
        self.end_headers()
        here.response = self
        try:
            handle(message)
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            if MODE == "modern":
                cancelled.append(message["id"])
            self.close_connection = True
        finally:
            del here.response


if MODE == "exits":
    sys.exit(7)
if len(sys.argv) > 2 and sys.argv[2] == "http":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "0"))), Http)
    print(server.server_address[1], flush=True)
    server.serve_forever()
if MODE == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in sys.stdin:
    handle(json.loads(line))
while MODE == "stubborn":
    time.sleep(1)
