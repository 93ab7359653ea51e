//! A server that speaks Vault's transit API as Vault does, and misbehaves when told to.

use std::sync::{Arc, Mutex};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use mcp_core::key::MasterKey;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

pub(crate) const TOKEN: &str = "hvs.CAESIJtesttoken";
pub(crate) const NAMESPACE: &str = "platform/eu";

/// Go reads base64 with stray bits, and so does Vault.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    #[default]
    Well,
    Sealed,
    Slow,
    HangsUp,
    Forbids,
    NoSuchKey,
    Html,
    OtherJson,
    Oversized,
    Redirects,
    ShortPlaintext,
    LongPlaintext,
    NoBase64,
    AnotherPlace,
    WrongCiphertext,
    TooOld,
}

/// Clones are one server; it ends with the last of them.
#[derive(Clone)]
pub(crate) struct FakeVault(Arc<Inner>);

struct Inner {
    address: String,
    state: Arc<Mutex<State>>,
    accepting: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct State {
    mood: Mood,
    derived: bool,
    token: String,
    /// By version, from 1.
    keys: Vec<MasterKey>,
    min_decryption_version: usize,
    seen: Vec<String>,
}

impl FakeVault {
    pub(crate) async fn start(derived: bool) -> Self {
        let state = Arc::new(Mutex::new(State {
            mood: Mood::Well,
            derived,
            token: TOKEN.to_owned(),
            keys: vec![MasterKey::ephemeral().unwrap()],
            min_decryption_version: 1,
            seen: Vec::new(),
        }));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            // Ends its connections when it ends.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, shared.clone()));
            }
        });
        Self(Arc::new(Inner { address, state, accepting: accepting.abort_handle() }))
    }

    pub(crate) fn address(&self) -> String {
        self.0.address.clone()
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        self.0.state.lock().unwrap().mood = mood;
    }

    /// The token before it has ended.
    pub(crate) fn renew_token(&self, token: &str) {
        token.clone_into(&mut self.0.state.lock().unwrap().token);
    }

    pub(crate) fn rotate(&self) {
        self.0.state.lock().unwrap().keys.push(MasterKey::ephemeral().unwrap());
    }

    pub(crate) fn cut_back_to(&self, version: usize) {
        self.0.state.lock().unwrap().min_decryption_version = version;
    }

    /// The requests so far, a line each.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.0.state.lock().unwrap().seen.clone()
    }
}

struct Request {
    line: String,
    token: String,
    namespace: String,
    body: Value,
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    while let Some(request) = next(&mut read).await {
        let mood = state.lock().unwrap().mood;
        match mood {
            Mood::Slow => std::future::pending().await,
            Mood::HangsUp => return,
            _ => {}
        }
        let (status, body) = answer(&mut state.lock().unwrap(), &request);
        let location = if status == 307 { "location: http://127.0.0.1:9/v1/sys/seal\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{location}content-length: {}\r\n\r\n",
            body.len()
        );
        if write.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn next(read: &mut BufReader<tokio::net::tcp::OwnedReadHalf>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if read.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let found = lines.iter().filter_map(|line| line.split_once(": "));
        found.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    read.read_exact(&mut body).await.ok()?;
    Some(Request {
        line: lines[0].trim_end_matches(" HTTP/1.1").to_owned(),
        token: header("x-vault-token").unwrap_or_default(),
        namespace: header("x-vault-namespace").unwrap_or_default(),
        body: if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() },
    })
}

fn errors(status: u16, message: &str) -> (u16, String) {
    (status, json!({ "errors": [message] }).to_string())
}

fn data(data: Value) -> (u16, String) {
    let answer = json!({
        "request_id": "9bd3a5a3-0000-4000-8000-000000000000", "lease_id": "", "renewable": false,
        "lease_duration": 0, "data": data, "wrap_info": null, "warnings": null, "auth": null,
        "mount_type": "transit",
    });
    (200, answer.to_string())
}

fn answer(state: &mut State, request: &Request) -> (u16, String) {
    state.seen.push(request.line.clone());
    match state.mood {
        Mood::Sealed => return errors(503, "Vault is sealed"),
        Mood::NoSuchKey => return errors(404, "no handler for route \"transit\""),
        Mood::Html => return (200, "<html><body>It works!</body></html>".to_owned()),
        Mood::OtherJson => {
            return data(json!({ "plaintext": 7, "ciphertext": ["x"], "latest_version": "x" }));
        }
        Mood::Oversized => return data(json!({ "plaintext": "A".repeat(1 << 20) })),
        Mood::Redirects => return (307, String::new()),
        Mood::ShortPlaintext => return data(json!({ "plaintext": STANDARD.encode([1_u8; 32]) })),
        Mood::LongPlaintext => return data(json!({ "plaintext": STANDARD.encode([1_u8; 65]) })),
        Mood::NoBase64 => return data(json!({ "plaintext": "no base64!" })),
        Mood::AnotherPlace => return data(json!({ "plaintext": STANDARD.encode([1_u8; 64]) })),
        Mood::WrongCiphertext => return data(json!({ "ciphertext": "vault:vx:AAAA", "key_version": 1 })),
        Mood::TooOld => {
            return errors(400, "ciphertext or signature version is disallowed by policy (too old)");
        }
        Mood::Forbids => return errors(403, "permission denied"),
        Mood::Well | Mood::Slow | Mood::HangsUp => {}
    }
    if request.token != state.token || request.namespace != NAMESPACE {
        return errors(403, "permission denied");
    }
    let text = |field: &str| request.body[field].as_str().unwrap_or_default().to_owned();
    if state.derived && request.line.starts_with("POST") && text("context").is_empty() {
        return errors(400, "missing 'context' for key derivation; the key was created using a derived key");
    }
    match request.line.as_str() {
        "POST /v1/transit/encrypt/platform" => match STANDARD.decode(text("plaintext")) {
            Ok(plaintext) => encrypted(state, &plaintext, &text("context")),
            Err(_) => errors(400, "failed to base64-decode plaintext"),
        },
        "POST /v1/transit/decrypt/platform" => match decrypt(state, &text("ciphertext"), &text("context")) {
            Ok(plaintext) => data(json!({ "plaintext": STANDARD.encode(plaintext) })),
            Err(message) => errors(400, message),
        },
        "POST /v1/transit/rewrap/platform" => match decrypt(state, &text("ciphertext"), &text("context")) {
            Ok(plaintext) => encrypted(state, &plaintext, &text("context")),
            Err(message) => errors(400, message),
        },
        "GET /v1/transit/keys/platform" => data(json!({
            "allow_plaintext_backup": false, "deletion_allowed": false, "derived": state.derived,
            "exportable": false, "keys": { "1": 1_800_000_000 }, "latest_version": state.keys.len(),
            "min_available_version": 0, "min_decryption_version": state.min_decryption_version,
            "min_encryption_version": 0, "name": "platform", "supports_decryption": true,
            "supports_derivation": true, "supports_encryption": true, "supports_signing": false,
            "type": "aes256-gcm96",
        })),
        line => panic!("not a request to the transit engine: {line}"),
    }
}

fn encrypted(state: &State, plaintext: &[u8], context: &str) -> (u16, String) {
    let version = state.keys.len();
    let bound_to: &[&str] = if state.derived { &[context] } else { &[] };
    let ciphertext = STANDARD.encode(state.keys[version - 1].seal(plaintext, bound_to).unwrap());
    data(json!({ "ciphertext": format!("vault:v{version}:{ciphertext}"), "key_version": version }))
}

fn decrypt(state: &State, ciphertext: &str, context: &str) -> Result<Vec<u8>, &'static str> {
    const INVALID: &str = "invalid ciphertext: could not decode";
    let (version, rest) =
        ciphertext.strip_prefix("vault:v").and_then(|t| t.split_once(':')).ok_or(INVALID)?;
    let version: usize = version.parse().map_err(|_| INVALID)?;
    if version < state.min_decryption_version {
        return Err("ciphertext or signature version is disallowed by policy (too old)");
    }
    let key = version.checked_sub(1).and_then(|index| state.keys.get(index)).ok_or("invalid key version")?;
    let bound_to: &[&str] = if state.derived { &[context] } else { &[] };
    let opened = key.open(&LENIENT.decode(rest).map_err(|_| INVALID)?, bound_to);
    opened.map(|opened| opened.expose().clone()).map_err(|_| "cipher: message authentication failed")
}
