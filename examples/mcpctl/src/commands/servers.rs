//! `mcpctl servers …`.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use crate::{
    client::{Ask, Client},
    failure::{Failure, Result},
    operation::follow,
    output::{self, Column},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the MCP servers and what they do: all tenants' with an operator's key.
    List,
    /// Show the instances of one server.
    Show {
        /// The server's name.
        server: String,
    },
    /// Print what a server last wrote to its standard error.
    Logs {
        /// The server's name.
        server: String,
        /// Whose instance; without it that which all tenants share.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
    },
    /// Start a server over; calls in flight on it fail.
    Restart {
        /// The server's name.
        server: String,
        /// Whose instance; without it all.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
    },
    /// Add a server from npm or PyPI; returns when it serves.
    Add(Box<Add>),
    /// Put another release of an added server to use; returns when it serves. Calls go on meanwhile.
    Use {
        /// The server's name.
        server: String,
        /// The version; the latest without it.
        // Each command has a `--version` of its own.
        #[arg(id = "release", value_name = "VERSION")]
        version: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Remove an added server; returns when its calls in flight have ended.
    Remove {
        /// The server's name.
        server: String,
    },
    /// List the servers that were added, with the release that serves and those before it.
    Releases,
}

/// How long to wait for long work.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Seconds to wait for its end; it goes on without mcpctl, too.
    #[arg(long, default_value_t = 900, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// `npm:@scope/name[@version]` or `pypi:name[==version]`; the latest where no version is given.
    package: String,
    /// Its name in the gateway, 1 to 32 of A-Z a-z 0-9 _ -; made from the package's without it.
    #[arg(long)]
    name: Option<String>,
    /// An argument of its program; may be given several times.
    #[arg(long = "arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    args: Vec<String>,
    /// A variable of its environment, with the value that mcpctl's own has; may be given several times.
    #[arg(long = "env", value_name = "NAME")]
    env: Vec<String>,
    /// One process serves all tenants.
    #[arg(long)]
    stateless: bool,
    /// Longest wait for a reply of it.
    #[arg(long, value_name = "SECONDS")]
    call_timeout: Option<u32>,
    #[command(flatten)]
    wait: Wait,
}

impl Add {
    fn body(&self) -> Result<Value> {
        let env: Map<String, Value> = self
            .env
            .iter()
            .map(|name| match std::env::var(name) {
                Ok(value) => Ok((name.clone(), value.into())),
                // A value on the command line could be read by other users of the machine.
                Err(_) => Err(Failure::Usage(format!("--env {name}: set the variable {name} for mcpctl"))),
            })
            .collect::<Result<_>>()?;
        let mut body =
            json!({ "package": self.package, "args": self.args, "env": env, "stateless": self.stateless });
        if let Some(name) = &self.name {
            body["name"] = name.as_str().into();
        }
        if let Some(seconds) = self.call_timeout {
            body["timeout_seconds"] = seconds.into();
        }
        Ok(body)
    }
}

const COLUMNS: &[Column] = &[
    ("server", "name"),
    ("state", "state"),
    ("shared", "shared"),
    ("starts", "starts"),
    ("in flight", "in_flight"),
];
const OPERATOR_COLUMNS: &[Column] = &[
    ("server", "name"),
    ("tenant", "tenant"),
    ("state", "state"),
    ("pid", "pid"),
    ("starts", "starts"),
    ("in flight", "in_flight"),
    ("reason", "reason"),
];

const OPERATION_COLUMNS: &[Column] =
    &[("server", "server"), ("package", "package"), ("state", "state"), ("version", "version")];
const RELEASE_COLUMNS: &[Column] = &[
    ("server", "name"),
    ("package", "package"),
    ("state", "state"),
    ("version", "version"),
    ("releases", "versions"),
    ("reason", "reason"),
];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    let columns = if client.is_operator() { OPERATOR_COLUMNS } else { COLUMNS };
    match &command {
        Command::List => output::show(&list(client).await?, columns, json),
        Command::Show { server } => output::show(&instances(client, server).await?, columns, json),
        Command::Logs { server, tenant } => {
            let ask = Ask::get(&[client.operator()?, "servers", server, "logs"]);
            let answer = client.send(ask.query("tenant", tenant.as_ref())).await?;
            logs(&answer, json);
        }
        Command::Restart { server, tenant } => {
            let ask = Ask::post(&[client.operator()?, "servers", server, "restart"]);
            client.send(ask.query("tenant", tenant.as_ref())).await?;
            output::note(&format!("{server} is being started over."));
        }
        Command::Add(add) => {
            let ask = Ask::post(&[client.operator()?, "servers"]).body(add.body()?);
            work(client, ask, &add.wait, json).await?;
        }
        Command::Use { server, version, wait } => {
            let body = version.as_ref().map_or_else(|| json!({}), |version| json!({ "version": version }));
            let ask = Ask::post(&[client.operator()?, "servers", server, "use"]).body(body);
            work(client, ask, wait, json).await?;
        }
        Command::Remove { server } => {
            client.send(Ask::new(Method::DELETE, &[client.operator()?, "servers", server])).await?;
            output::note(&format!("{server} is removed."));
        }
        Command::Releases => {
            let mut added = client.list(&[client.operator()?, "releases"], None).await?;
            if !json {
                added.as_array_mut().into_iter().flatten().for_each(name_releases);
            }
            output::show(&added, RELEASE_COLUMNS, json);
        }
    }
    Ok(())
}

/// Begins long work and waits for its end.
async fn work(client: &Client, ask: Ask<'_>, wait: &Wait, json: bool) -> Result<()> {
    let begun = client.send(ask).await?;
    let ended = follow(client, begun, Duration::from_secs(wait.wait)).await?;
    output::show(&ended, OPERATION_COLUMNS, json);
    Ok(())
}

/// `2026.7.4 (active)` for each release, which a cell can show.
fn name_releases(server: &mut Value) {
    let releases = server["releases"].as_array().into_iter().flatten();
    let named = releases.map(|release| {
        let word = |name: &str| release[name].as_str().unwrap_or_default();
        Value::from(format!("{} ({})", word("version"), word("state")))
    });
    let named: Vec<Value> = named.collect();
    server["versions"] = named.into();
}

async fn list(client: &Client) -> Result<Value> {
    let path: &[&str] = if client.is_operator() { &["operator", "servers"] } else { &["servers"] };
    client.send(Ask::get(path)).await.map(|mut answer| answer["items"].take())
}

async fn instances(client: &Client, server: &str) -> Result<Value> {
    let listed = list(client).await?;
    let of_server = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some(server);
    let found: Vec<Value> = listed.as_array().into_iter().flatten().filter(of_server).cloned().collect();
    if found.is_empty() {
        Err(Failure::Missing(format!("there is no server `{server}`")))
    } else {
        Ok(found.into())
    }
}

fn logs(answer: &Value, json: bool) {
    if json {
        return output::document(answer);
    }
    for line in answer["lines"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        output::text(&format!("{}\n", output::printable(line)));
    }
}
