"""A small MCP server over stdio whose manners are told by its arguments: python3 server.py MODE [MARK]."""
import json, os, signal, subprocess, sys, threading, time

MODE = sys.argv[1] if len(sys.argv) > 1 else "legacy"
lock = threading.Lock()


def write(message):
    with lock:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def answer(id, result):
    write({"jsonrpc": "2.0", "id": id, "result": result})


def refuse(id, code, message):
    write({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})


cancelled = []
asked = {}


def call(id, name, arguments, params):
    token = params.get("_meta", {}).get("progressToken")
    if name == "echo":
        answer(id, {"content": [{"type": "text", "text": arguments.get("text", "")}], "unknownField": 1.50})
    elif name == "params":
        answer(id, params)
    elif name == "crash":
        os._exit(3)
    elif name == "hang":
        pass
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
        asked["s1"] = id
        write({"jsonrpc": "2.0", "id": "s1", "method": "sampling/createMessage", "params": {"maxTokens": 1}})
    elif name == "notice":
        write({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        answer(id, {})
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
            answer(waiting, {"got": message.get("result"), "refused": message.get("error")})
    elif method == "server/discover":
        if MODE == "modern":
            answer(id, {"resultType": "complete", "supportedVersions": ["2026-07-28"],
                        "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private"})
        elif MODE == "dies-at-probe":
            os._exit(1)
        elif MODE != "silent":
            refuse(id, -32601, "Method not found")
    elif method == "initialize":
        if MODE == "modern":
            refuse(id, -32601, "Method not found")
        else:
            version = os.environ.get("VERSION", params["protocolVersion"])
            answer(id, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "py", "version": "1"}})
    elif method == "notifications/cancelled":
        cancelled.append(params["requestId"])
    elif method == "tools/call":
        worker = threading.Thread(target=call, args=(id, params["name"], params.get("arguments") or {}, params))
        worker.daemon = True
        worker.start()
    elif id is not None:
        refuse(id, -32601, "Method not found")


if MODE == "exits":
    sys.exit(7)
if MODE == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in sys.stdin:
    handle(json.loads(line))
while MODE == "stubborn":
    time.sleep(1)
