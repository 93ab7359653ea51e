//! Three real servers behind one gateway, called by the official clients.

use std::process::{Child, Command, Stdio};

use crate::support::{
    Served,
    bounded::{self, LIMIT, Lines},
    processes, tools,
};
use serde_json::{Value, json};

/// The fixture over HTTP, ended when dropped.
struct HttpFixture {
    process: Child,
    url: String,
}

impl HttpFixture {
    fn start() -> Self {
        let mut process = crate::support::binary()
            .args(["fixture", "--http", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let url = Lines::of("the fixture", process.stdout.take().unwrap(), LIMIT).next().unwrap();
        assert!(url.starts_with("http://"), "{url:?}");
        Self { process, url }
    }
}

impl Drop for HttpFixture {
    fn drop(&mut self) {
        processes::kill(self.process.id());
        let _ = self.process.wait();
    }
}

/// A platform in front of an npm server, a PyPI server and an HTTP server.
fn three_servers(fixture: &HttpFixture) -> Served {
    let tools = tools();
    let servers = json!({
        "everything": {
            "command": "npx",
            "args": ["--no-install", "mcp-server-everything"],
            "cwd": tools.join("everything"),
            "env": { "PATH": "${PATH}", "HOME": "${HOME}" },
        },
        "time": { "command": tools.join("time/bin/python"), "args": ["-m", "mcp_server_time"] },
        "fixture": { "type": "http", "url": fixture.url },
    });
    Served::start(&servers, "")
}

/// One call to each server: tool, arguments, and what the answer holds.
fn calls() -> [(&'static str, Value, &'static str); 3] {
    [
        ("everything__echo", json!({ "message": "through the gateway" }), "through the gateway"),
        (
            "time__convert_time",
            json!({ "source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo" }),
            "21:00",
        ),
        ("fixture__echo", json!({ "message": "over HTTP" }), "over HTTP"),
    ]
}

#[test]
fn the_inspector_lists_and_calls_all_three() {
    let fixture = HttpFixture::start();
    let mut served = three_servers(&fixture);
    let token = served.tenant("acme");
    let inspect = |arguments: &[&str]| {
        let programs = tools().join("inspector/node_modules/.bin");
        let mut inspector = Command::new(programs.join("node"));
        inspector
            .arg(programs.join("mcp-inspector"))
            .args(["--cli", &served.url, "--transport", "http"])
            .arg("--header")
            .arg(format!("Authorization: Bearer {}", token.expose()))
            .args(arguments)
            .current_dir(served.path())
            .env("HOME", served.path());
        let done = bounded::output(&mut inspector, LIMIT);
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };
    let listed = inspect(&["--method", "tools/list"]);
    let names: Vec<&str> =
        listed["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    for (tool, arguments, expected) in calls() {
        assert!(names.contains(&tool), "{tool} is not in {names:?}");
        let pairs = arguments.as_object().unwrap().iter();
        let pairs: Vec<String> =
            pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect();
        let mut line = vec!["--method", "tools/call", "--tool-name", tool];
        for pair in &pairs {
            line.extend(["--tool-arg", pair]);
        }
        let answer = inspect(&line);
        assert!(answer.to_string().contains(expected), "{tool}: {answer}");
    }
    assert!(served.stop().success());
}

/// Lists and calls with the official Python SDK; prints what it got as JSON.
const PYTHON: &str = r#"
import asyncio, json, sys
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

async def main(url, token, mode, calls):
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            answers = [(await client.call_tool(*call)).content[0].text for call in json.loads(calls)]
            print(json.dumps({"protocol": client.protocol_version, "tools": tools, "answers": answers}))

asyncio.run(main(*sys.argv[1:]))
"#;

#[test]
fn the_python_client_lists_and_calls_all_three() {
    let fixture = HttpFixture::start();
    let mut served = three_servers(&fixture);
    let token = served.tenant("acme");
    let wanted: Vec<_> = calls().into_iter().map(|(tool, arguments, _)| json!([tool, arguments])).collect();
    for (mode, protocol) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
        let mut client = Command::new(tools().join("client/bin/python"));
        client.args(["-c", PYTHON, &served.url, token.expose(), mode, &json!(wanted).to_string()]);
        let done = bounded::output(&mut client, LIMIT);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let got: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(got["protocol"], protocol);
        for (index, (tool, _, expected)) in calls().into_iter().enumerate() {
            assert!(got["tools"].as_array().unwrap().contains(&json!(tool)), "{tool} is not in {got}");
            assert!(got["answers"][index].as_str().unwrap().contains(expected), "{tool}: {got}");
        }
    }
    assert!(served.stop().success());
}
