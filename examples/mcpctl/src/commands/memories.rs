//! `mcpctl memories …`.

use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};

use super::contexts::object;
use crate::{
    client::{Ask, Client},
    failure::Result,
    output::{self, Column},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Remember a text; one that is remembered already stays as it is.
    Remember {
        /// Where it belongs: user/ID, agent/ID or session/ID.
        namespace: String,
        /// The text.
        text: String,
        /// What to know of it later, a JSON object.
        #[arg(long, value_name = "JSON", value_parser = object)]
        metadata: Option<Map<String, Value>>,
    },
    /// Recall what is nearest to a question or some words, best first.
    Recall {
        /// Where to look: user/ID, agent/ID or session/ID.
        namespace: String,
        /// The question.
        query: String,
        /// How many at most, up to 100.
        #[arg(long, default_value_t = 10, value_name = "COUNT")]
        limit: u32,
    },
    /// Forget a memory.
    Forget {
        /// The memory's id.
        #[arg(value_name = "MEMORY")]
        id: String,
    },
}

const COLUMNS: &[Column] = &[
    ("memory", "id"),
    ("namespace", "namespace"),
    ("author", "author"),
    ("created", "created_at"),
    ("text", "text"),
];
const RECALLED_COLUMNS: &[Column] =
    &[("score", "score"), ("memory", "id"), ("created", "created_at"), ("text", "text")];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    client.tenant()?;
    match command {
        Command::Remember { namespace, text, metadata } => {
            let body =
                json!({ "namespace": namespace, "text": text, "metadata": metadata.unwrap_or_default() });
            output::show(&client.send(Ask::post(&["memories"]).body(body)).await?, COLUMNS, json);
        }
        Command::Recall { namespace, query, limit } => {
            let body = json!({ "namespace": namespace, "query": query, "limit": limit });
            recalled(&client.send(Ask::post(&["memories", "recall"]).body(body)).await?, json);
        }
        Command::Forget { id } => {
            client.send(Ask::new(Method::DELETE, &["memories", &id])).await?;
            output::note(&format!("{id} is forgotten."));
        }
    }
    Ok(())
}

fn recalled(answer: &Value, json: bool) {
    if json {
        return output::document(answer);
    }
    output::show(&answer["items"], RECALLED_COLUMNS, false);
    if let Some(note) = answer["note"].as_str() {
        output::note(&output::printable(note));
    }
}
