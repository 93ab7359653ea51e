//! `mcpctl servers …`.

use clap::Subcommand;
use serde_json::Value;

use crate::{
    client::{Ask, Client},
    failure::{Failure, Result},
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
    }
    Ok(())
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
