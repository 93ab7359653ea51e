//! One platform for all tests of the process, over HTTP and over TLS.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, LazyLock},
};

use mcp_core::{PlatformScope, scope::PrincipalId, telemetry::Metrics};
use mcp_platform::{Platform, config::Config, serve::Server};
use mcp_tenancy::operator::NewOperatorKey;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

pub(crate) struct Running {
    /// The URL without TLS.
    pub(crate) http: String,
    /// The URL with it.
    pub(crate) https: String,
    /// The certificate to trust there.
    pub(crate) ca: PathBuf,
    /// An operator's key.
    pub(crate) operator: String,
    pub(crate) directory: PathBuf,
    /// Drives the listeners for as long as the process lives.
    _runtime: Runtime,
}

static RUNNING: LazyLock<Running> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("platform");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (http, https, ca, operator) = runtime.block_on(serve(&directory));
    Running { http, https, ca, operator, directory, _runtime: runtime }
});

pub(crate) fn running() -> &'static Running {
    &RUNNING
}

async fn serve(directory: &Path) -> (String, String, PathBuf, String) {
    let (cert, key, servers) =
        (directory.join("cert.pem"), directory.join("key.pem"), directory.join("servers.json"));
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&cert, pair.cert.pem()).unwrap();
    std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    std::fs::write(&servers, r#"{ "mcpServers": { "calm": { "url": "http://127.0.0.1:9/mcp" } } }"#).unwrap();

    let mut config = Config::default();
    config.data.dir = directory.join("data");
    config.fleet.file = servers;
    config.server.listen = ([127, 0, 0, 1], 0).into();
    config.server.operations_listen = ([127, 0, 0, 1], 0).into();
    config.server.operator_requests_per_minute = 100_000.try_into().unwrap();
    (config.server.tls_cert, config.server.tls_key) = (cert.clone(), key);
    let platform = Arc::new(Platform::start(config, Metrics::install().unwrap()).await.unwrap());

    let scope = PlatformScope::new(PrincipalId::parse("test").unwrap(), "test");
    let new = NewOperatorKey::new("test", PrincipalId::parse("operator:test").unwrap());
    let operator = platform.tenancy().create_operator_key(&scope, new).await.unwrap();

    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = format!("http://{}", plain.local_addr().unwrap());
    let app = mcp_platform::app(&platform).unwrap();
    tokio::spawn(async move { axum::serve(plain, app).await });

    let server = Server::bind(platform).await.unwrap();
    let https = format!("https://localhost:{}", server.address().unwrap().port());
    tokio::spawn(server.run(CancellationToken::new()));
    (http, https, cert, operator.text.expose().clone())
}

/// `mcpctl` with nothing of this process's environment that it reads.
pub(crate) fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpctl"));
    for variable in [
        "MCPCTL_URL",
        "MCPCTL_KEY",
        "MCPCTL_KEY_FILE",
        "MCPCTL_CA",
        "MCPCTL_CLIENT_CERT",
        "MCPCTL_CLIENT_KEY",
    ] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs `mcpctl` with this key against the platform.
pub(crate) fn run(key: &str, arguments: &[&str]) -> Output {
    let running = running();
    bare().env("MCPCTL_URL", &running.http).env("MCPCTL_KEY", key).args(arguments).output().unwrap()
}

/// The same, which must succeed; what it prints.
pub(crate) fn text(key: &str, arguments: &[&str]) -> String {
    let done = run(key, arguments);
    assert!(done.status.success(), "{arguments:?}: {}", said(&done));
    String::from_utf8(done.stdout).unwrap()
}

/// The same with `--json`.
pub(crate) fn json(key: &str, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_str(&text(key, &arguments)).unwrap()
}

/// What a command said on standard error.
pub(crate) fn said(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// A new tenant and a key of it that may do everything.
pub(crate) fn tenant(id: &str) -> String {
    let operator = &running().operator;
    json(operator, &["tenants", "create", id]);
    let made = json(operator, &["keys", "create", "--tenant", id, "--permission", "*"]);
    made["secret"].as_str().unwrap().to_owned()
}
