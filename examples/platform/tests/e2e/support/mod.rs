//! What the end-to-end tests share: a running platform of their own, and ways to look at it from outside.

pub(crate) mod api;
pub(crate) mod bounded;
pub(crate) mod database;
pub(crate) mod http;
pub(crate) mod opa;
pub(crate) mod processes;
pub(crate) mod provider;
pub(crate) mod redis;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use mcp_core::key::Secret;
use mcp_platform::client::McpClient;
use serde_json::{Value, json};

use self::bounded::{LIMIT, Lines};

/// The folder with the real servers and clients.
pub(crate) fn tools() -> PathBuf {
    std::env::var_os("MCP_TEST_TOOLS")
        .map(PathBuf::from)
        .expect("MCP_TEST_TOOLS is not set: `cargo xtask test` installs the servers and clients and sets it")
}

/// The folder that `cargo xtask model` filled.
pub(crate) fn models() -> PathBuf {
    std::env::var_os("MCP_TEST_MODELS").map(PathBuf::from).expect(
        "MCP_TEST_MODELS is not set: `cargo xtask test` makes the models and sets it; `cargo xtask model NAME --out DIR` \
         makes one by hand",
    )
}

/// The binary under test, with the cache of nobody: the models that a developer has in his own would change what
/// tests see.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-platform"));
    command.env_remove("MCP_PLATFORM_CONFIG").env("XDG_CACHE_HOME", cache_of_nobody());
    command
}

/// A folder without models, the same for all tests.
pub(crate) fn cache_of_nobody() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache-of-nobody")
}

/// `mcp-platform serve` in a directory of its own; killed with all it started when dropped.
pub(crate) struct Served {
    /// Shared with its replicas.
    directory: Arc<tempfile::TempDir>,
    process: Option<Child>,
    pub(crate) url: String,
    pub(crate) operations: String,
}

impl Served {
    /// Starts with these `mcpServers` and this further configuration.
    pub(crate) fn start(servers: &Value, config: &str) -> Self {
        let mut served = Self::prepare(servers, config);
        served.run();
        served
    }

    /// The directory and its files, with nothing running yet.
    pub(crate) fn prepare(servers: &Value, config: &str) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(directory.path().join(".mcp.json"), json!({ "mcpServers": servers }).to_string())
            .unwrap();
        let served = Self { directory, process: None, url: String::new(), operations: String::new() };
        served.configure(config);
        served
    }

    /// Another configuration, for the next start.
    pub(crate) fn configure(&self, config: &str) {
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\noperations_listen = \"127.0.0.1:0\"\n\
             {config}[log]\nfilter = \"warn\"\n"
        );
        std::fs::write(self.path().join("mcp-platform.toml"), config).unwrap();
    }

    /// Another process with the same configuration on the same data.
    pub(crate) fn replica(&self) -> Self {
        let directory = Arc::clone(&self.directory);
        let mut replica = Self { directory, process: None, url: String::new(), operations: String::new() };
        replica.run();
        replica
    }

    /// Starts the process, again after [`kill`](Self::kill); the port may be another.
    pub(crate) fn run(&mut self) {
        self.run_with(&[]);
    }

    /// The same, with further variables in its environment.
    pub(crate) fn run_with(&mut self, variables: &[(&str, &Path)]) {
        self.run_as(binary().envs(variables.iter().copied()));
    }

    /// The same, with its log in a file.
    pub(crate) fn run_logged(&mut self, variables: &[(&str, &str)]) {
        let log = std::fs::File::create(self.log_file()).unwrap();
        self.run_as(binary().envs(variables.iter().copied()).stderr(log));
    }

    /// What is in that file so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8(std::fs::read(self.log_file()).unwrap()).unwrap()
    }

    fn log_file(&self) -> PathBuf {
        self.path().join("serve.log")
    }

    fn run_as(&mut self, command: &mut Command) {
        let mut process = command
            .arg("serve")
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = Lines::of("mcp-platform serve", process.stdout.take().unwrap(), LIMIT);
        let mut after = |mark: &str| {
            let line = lines.next().expect("the server ended before it was ready");
            line.split_once(mark).unwrap_or_else(|| panic!("{line}")).1.to_owned()
        };
        self.url = after("serves ");
        self.operations = after("readiness at ");
        self.process = Some(process);
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// SIGTERM, and the exit status.
    pub(crate) fn stop(&mut self) -> std::process::ExitStatus {
        let process = self.process.take().unwrap();
        processes::terminate(process.id());
        bounded::status("mcp-platform serve, told to stop", process)
    }

    /// Runs a command of the binary beside the server, on the same data; its JSON answer.
    pub(crate) fn command(&self, arguments: &[&str]) -> Value {
        let done = self.try_command(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap_or(Value::Null)
    }

    /// The same, whatever comes of it.
    pub(crate) fn try_command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = binary();
        command.arg("--json").args(arguments).current_dir(self.directory.path());
        bounded::output(&mut command, LIMIT)
    }

    /// Creates a tenant and returns a token for it.
    pub(crate) fn tenant(&self, id: &str) -> Secret<String> {
        self.command(&["tenant", "create", id, "--requests-per-minute", "1000000"]);
        self.token(id)
    }

    pub(crate) fn token(&self, tenant: &str) -> Secret<String> {
        let issued = self.command(&["token", "issue", tenant]);
        Secret::new(issued["access_token"].as_str().unwrap().to_owned())
    }

    /// The text of a new operator key.
    pub(crate) fn operator_key(&self) -> Secret<String> {
        let issued = self.command(&["operator-key", "create"]);
        Secret::new(issued["key"].as_str().unwrap().to_owned())
    }

    /// The URL of a path of the API.
    pub(crate) fn api(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.url.trim_end_matches("/mcp"))
    }

    /// A connected client.
    pub(crate) async fn client(&self, token: &Secret<String>) -> McpClient {
        bounded::within("a session", McpClient::connect(self.url.parse().unwrap(), token.clone()))
            .await
            .unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The fixture over stdio, as an entry of `mcpServers`; `mark` is in the environment of its processes.
pub(crate) fn fixture(mark: &str, further: &[&str]) -> Value {
    let mut args = vec!["fixture"];
    args.extend(further);
    json!({
        "command": env!("CARGO_BIN_EXE_mcp-platform"),
        "args": args,
        "env": { processes::MARK: mark },
    })
}

/// The files below `directory` that have `text` in their name or content.
pub(crate) fn files_with(directory: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let is = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            found.extend(files_with(&path, text));
        }
        let named = is(path.file_name().unwrap().as_encoded_bytes());
        if named || metadata.is_file() && is(&std::fs::read(&path).unwrap()) {
            found.push(path);
        }
    }
    found
}
