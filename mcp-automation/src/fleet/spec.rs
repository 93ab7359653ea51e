//! What an operator writes: `.mcp.json`, read strictly.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue};
use mcp_core::{Error, Result, key::Secret, strict};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use url::Url;

use super::expand::expand;
use crate::protocol::ServerName;

/// Headers that mean something to the transport and so cannot be configured.
const RESERVED: [&str; 14] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The servers of a fleet, in the operator's order.
#[derive(Debug, Clone, Default)]
pub struct FleetSpec {
    servers: Vec<ServerSpec>,
}

/// One server.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    /// Its name, unique in the fleet.
    pub name: ServerName,
    /// How it is reached.
    pub transport: TransportSpec,
    /// Whether one instance serves all tenants. Default `false`: each tenant has its own.
    pub stateless: bool,
    /// Longest wait for a reply of this server's; the fleet's own limit where it is `None`.
    pub timeout: Option<Duration>,
}

/// How a server is reached.
#[derive(Clone)]
pub enum TransportSpec {
    /// A process, over its standard input and output.
    Stdio(StdioSpec),
    /// A URL, over streamable HTTP.
    Http(HttpSpec),
}

/// A server that is a process.
#[derive(Clone)]
pub struct StdioSpec {
    /// The program, a path or a name that is looked up in the child's `PATH`.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, on top of the fleet's base environment; nothing of the platform's own is passed on.
    pub env: BTreeMap<String, Secret<String>>,
    /// Its working directory; the platform's where it is `None`.
    pub cwd: Option<PathBuf>,
}

/// A server behind a URL.
#[derive(Clone)]
pub struct HttpSpec {
    /// The endpoint, `http` or `https`.
    pub url: Url,
    /// Headers of every request.
    pub headers: Vec<(HeaderName, Secret<String>)>,
}

impl FleetSpec {
    /// Reads the text of a `.mcp.json`, with `${VAR}` taken from `variables`.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput): `file:line:column: what is wrong`, or the file, the
    /// server and the key where a variable is not set.
    pub fn parse(file: &str, text: &str, variables: &BTreeMap<String, String>) -> Result<Self> {
        let parsed: File = strict::from_json(file, text)?;
        let servers = parsed.servers.0.into_iter().map(|(name, server)| {
            let server_name = name.clone();
            server.build(name, &|text| expand(text, variables)).map_err(|(key, error)| {
                Error::invalid_input(
                    "fleet.spec",
                    format!("{file}: server `{server_name}`, `{key}`: {}", error.message()),
                )
            })
        });
        servers.collect::<Result<Vec<_>>>().map(|servers| Self { servers })
    }

    /// A fleet of these servers.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for a name that is there twice.
    pub fn new(servers: Vec<ServerSpec>) -> Result<Self> {
        let mut seen = std::collections::BTreeSet::new();
        match servers.iter().find(|server| !seen.insert(&server.name)) {
            Some(twice) => {
                Err(Error::invalid_input("fleet.spec", format!("the server `{}` is there twice", twice.name)))
            }
            None => Ok(Self { servers }),
        }
    }

    /// The servers.
    #[must_use]
    pub fn servers(&self) -> &[ServerSpec] {
        &self.servers
    }
}

impl ServerSpec {
    /// A process server with an empty environment.
    #[must_use]
    pub fn stdio(
        name: ServerName,
        command: impl Into<String>,
        args: impl IntoIterator<Item = String>,
    ) -> Self {
        let args = args.into_iter().collect();
        let stdio = StdioSpec { command: command.into(), args, env: BTreeMap::new(), cwd: None };
        Self { name, transport: TransportSpec::Stdio(stdio), stateless: false, timeout: None }
    }

    /// A server behind a URL, without headers of its own.
    #[must_use]
    pub fn http(name: ServerName, url: Url) -> Self {
        let http = HttpSpec { url, headers: Vec::new() };
        Self { name, transport: TransportSpec::Http(http), stateless: false, timeout: None }
    }
}

impl fmt::Debug for TransportSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdio(spec) => spec.fmt(f),
            Self::Http(spec) => spec.fmt(f),
        }
    }
}

impl fmt::Debug for StdioSpec {
    /// Without the arguments' text, which may hold an expanded secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioSpec")
            .field("command", &self.command)
            .field("args", &self.args.len())
            .field("env", &self.env)
            .field("cwd", &self.cwd)
            .finish()
    }
}

impl fmt::Debug for HttpSpec {
    /// Without path and query, which may hold an expanded secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSpec")
            .field("origin", &self.url.origin().ascii_serialization())
            .field("headers", &self.headers)
            .finish()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "mcpServers")]
    servers: Entries,
}

/// `mcpServers` in its order; serde's maps would sort it and take the last of two equal names.
struct Entries(Vec<(ServerName, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of servers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Entries, A::Error> {
                let mut entries: Vec<(ServerName, Entry)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let name = ServerName::parse(&name).map_err(|error| A::Error::custom(error.message()))?;
                    if entries.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format_args!("the server `{name}` is there twice")));
                    }
                    entries.push((name, map.next_value()?));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "Keys")]
struct Entry {
    transport: EntryTransport,
    stateless: bool,
    timeout: Option<Duration>,
}

enum EntryTransport {
    Stdio { command: String, args: Vec<String>, env: BTreeMap<String, String>, cwd: Option<String> },
    Http { url: String, headers: BTreeMap<String, String> },
}

/// All keys a server may have. One flat struct, as serde loses the position in an untagged enum.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Keys {
    #[serde(rename = "type")]
    kind: Option<Kind>,
    command: Option<String>,
    args: Option<Vec<String>>,
    env: Option<BTreeMap<String, String>>,
    cwd: Option<String>,
    url: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    stateless: bool,
    timeout_seconds: Option<u32>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Stdio,
    Http,
    StreamableHttp,
    Sse,
}

impl TryFrom<Keys> for Entry {
    type Error = String;

    fn try_from(keys: Keys) -> std::result::Result<Self, String> {
        if keys.timeout_seconds == Some(0) {
            return Err("`timeoutSeconds` must be at least 1".to_owned());
        }
        if keys.kind == Some(Kind::Sse) {
            return Err("`type` \"sse\" (the HTTP+SSE transport of 2024-11-05) is not supported; use the \
                        server's streamable HTTP endpoint with `type` \"http\""
                .to_owned());
        }
        let http = matches!(keys.kind, Some(Kind::Http | Kind::StreamableHttp))
            || (keys.kind.is_none() && keys.url.is_some() && keys.command.is_none());
        let misplaced = if http {
            [
                ("command", keys.command.is_some()),
                ("args", keys.args.is_some()),
                ("env", keys.env.is_some()),
                ("cwd", keys.cwd.is_some()),
            ]
            .into_iter()
            .find(|(_, there)| *there)
        } else {
            [("url", keys.url.is_some()), ("headers", keys.headers.is_some())]
                .into_iter()
                .find(|(_, there)| *there)
        };
        if let Some((key, _)) = misplaced {
            let kind = if http { "an http" } else { "a stdio" };
            return Err(format!("{kind} server has no `{key}`"));
        }
        let transport = if http {
            let url = keys.url.ok_or("an http server needs a `url`")?;
            EntryTransport::Http { url, headers: keys.headers.unwrap_or_default() }
        } else {
            let command = keys.command.ok_or("a server needs a `command`, or `type` \"http\" and a `url`")?;
            EntryTransport::Stdio {
                command,
                args: keys.args.unwrap_or_default(),
                env: keys.env.unwrap_or_default(),
                cwd: keys.cwd,
            }
        };
        let timeout = keys.timeout_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        Ok(Self { transport, stateless: keys.stateless, timeout })
    }
}

impl Entry {
    /// Expands variables and checks what could not be checked before; an error comes with its key.
    fn build(
        self,
        name: ServerName,
        expand: &dyn Fn(&str) -> Result<String>,
    ) -> std::result::Result<ServerSpec, (String, Error)> {
        let at = |key: &str, text: &str| expand(text).map_err(|error| (key.to_owned(), error));
        let bad = |key: &str, why: &'static str| (key.to_owned(), Error::invalid_input("fleet.spec", why));
        let transport = match self.transport {
            EntryTransport::Stdio { command, args, env, cwd } => {
                let mut variables = BTreeMap::new();
                for (key, value) in env {
                    let path = format!("env.{key}");
                    if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
                        return Err(bad(&path, "is no environment variable"));
                    }
                    variables.insert(key, Secret::new(at(&path, &value)?));
                }
                let command = at("command", &command)?;
                if command.is_empty() {
                    return Err(bad("command", "must not be empty"));
                }
                TransportSpec::Stdio(StdioSpec {
                    command,
                    args: args.iter().map(|arg| at("args", arg)).collect::<std::result::Result<_, _>>()?,
                    env: variables,
                    cwd: cwd.map(|cwd| at("cwd", &cwd)).transpose()?.map(PathBuf::from),
                })
            }
            EntryTransport::Http { url, headers } => {
                let url = Url::parse(&at("url", &url)?).map_err(|_| bad("url", "is no URL"))?;
                if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
                    return Err(bad("url", "must be an http or https URL"));
                }
                if !url.username().is_empty() || url.password().is_some() {
                    return Err(bad("url", "must hold no credentials; put them into `headers`"));
                }
                let mut pairs = Vec::new();
                for (key, value) in headers {
                    let path = format!("headers.{key}");
                    let header = HeaderName::try_from(&key).map_err(|_| bad(&path, "is no header's name"))?;
                    if RESERVED.contains(&header.as_str()) {
                        return Err(bad(&path, "is a header the connection itself sets"));
                    }
                    let value = at(&path, &value)?;
                    HeaderValue::try_from(&value).map_err(|_| bad(&path, "is no header's value"))?;
                    pairs.push((header, Secret::new(value)));
                }
                TransportSpec::Http(HttpSpec { url, headers: pairs })
            }
        };
        Ok(ServerSpec { name, transport, stateless: self.stateless, timeout: self.timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FleetSpec> {
        FleetSpec::parse(".mcp.json", text, &BTreeMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]))
    }

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().message().to_owned()
    }

    #[test]
    fn reads_both_transports_in_order() {
        let fleet = parse(
            r#"{"mcpServers": {
                "z": {"command": "npx", "args": ["-y", "x"], "env": {"T": "${TOKEN}"}, "cwd": "/tmp"},
                "a": {"type": "http", "url": "https://h/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"},
                      "stateless": true, "timeoutSeconds": 5}
            }}"#,
        )
        .unwrap();
        let [z, a] = fleet.servers() else { panic!("{fleet:?}") };
        assert_eq!((z.name.as_str(), a.name.as_str()), ("z", "a"));
        let TransportSpec::Stdio(stdio) = &z.transport else { panic!("{z:?}") };
        assert_eq!(stdio.env["T"].expose(), "s3cret");
        let TransportSpec::Http(http) = &a.transport else { panic!("{a:?}") };
        assert_eq!(http.headers[0].1.expose(), "Bearer s3cret");
        assert_eq!((a.stateless, a.timeout), (true, Some(Duration::from_secs(5))));
        assert!(!format!("{fleet:?}").contains("s3cret"));
    }

    #[test]
    fn unknown_keys_are_refused_with_place_and_nearest() {
        let message = refusal("{\"mcpServers\": {\n \"a\": {\"comand\": \"x\"}}}");
        assert!(message.starts_with(".mcp.json:2:"), "{message}");
        assert!(message.contains("unknown key `comand`; did you mean `command`?"), "{message}");
        let message = refusal("{\n\"mcpServer\": {}}");
        assert!(message.contains(":2:") && message.contains("did you mean `mcpServers`?"), "{message}");
        let message = refusal("{\"mcpServers\": {\"a\":\n{\"type\": \"htp\", \"url\": \"http://h\"}}}");
        assert!(message.contains(":2:") && message.contains("`http`"), "{message}");
    }

    #[test]
    fn wrong_types_and_contradictions_are_refused_with_place() {
        for (server, wanted) in [
            (r#"{"command": 1}"#, "expected a string"),
            (r#"{"command": "x", "args": "y"}"#, "expected a sequence"),
            (r#"{"command": "x", "env": {"A": 1}}"#, "expected a string"),
            (r#"{"command": "x", "url": "http://h"}"#, "a stdio server has no `url`"),
            (r#"{"type": "http", "url": "http://h", "cwd": "/"}"#, "an http server has no `cwd`"),
            (r#"{"type": "http"}"#, "needs a `url`"),
            (r#"{}"#, "needs a `command`"),
            (r#"{"type": "sse", "url": "http://h"}"#, "not supported"),
            (r#"{"command": "x", "timeoutSeconds": 0}"#, "at least 1"),
            (r#"{"command": "x", "stateless": "yes"}"#, "expected a boolean"),
        ] {
            let message = refusal(&format!("{{\"mcpServers\": {{\n\"a\":\n{server}}}}}"));
            assert!(message.starts_with(".mcp.json:3:") && message.contains(wanted), "{server}: {message}");
        }
    }

    #[test]
    fn bad_and_doubled_names_are_refused_with_place() {
        let message = refusal("{\"mcpServers\": {\n\"a__b\": {\"command\": \"x\"}}}");
        assert!(message.contains(":2:") && message.contains("a__b"), "{message}");
        let message =
            refusal("{\"mcpServers\": {\n\"a\": {\"command\": \"x\"}, \"a\": {\"command\": \"x\"}}}");
        assert!(message.contains(":2:") && message.contains("twice"), "{message}");
    }

    #[test]
    fn an_unset_variable_is_named_with_server_and_key() {
        let message = refusal(r#"{"mcpServers": {"a": {"command": "x", "env": {"T": "p-${NONE}"}}}}"#);
        assert!(message.contains("server `a`, `env.T`") && message.contains("`NONE`"), "{message}");
        let message = refusal(r#"{"mcpServers": {"a": {"type": "http", "url": "ftp://h"}}}"#);
        assert!(message.contains("`url`"), "{message}");
        let message = refusal(r#"{"mcpServers": {"a": {"type": "http", "url": "http://u:p@h/"}}}"#);
        let header = r#"{"mcpServers": {"a": {"url": "http://h/", "headers": {"Mcp-Session-Id": "x"}}}}"#;
        assert!(refusal(header).contains("the connection itself sets"));
        assert!(message.contains("credentials") && !message.contains("u:p"), "{message}");
    }
}
