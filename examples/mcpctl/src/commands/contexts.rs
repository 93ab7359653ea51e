//! `mcpctl contexts …`.

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Map, Value, json};

use crate::{
    client::{Ask, Client},
    failure::Result,
    output::{self, Column},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the tenant's contexts, latest first, without their data.
    List {
        /// Those of this user.
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        /// Those of this session.
        #[arg(long, value_name = "SESSION")]
        session: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 50, value_name = "COUNT")]
        limit: usize,
    },
    /// Show a context: its data and its newest messages.
    Show {
        /// The context's id.
        #[arg(value_name = "CONTEXT")]
        id: String,
        /// How many of the newest messages, 1000 at most.
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        messages: u32,
    },
    /// Create a context.
    Create(Create),
    /// Append a message to a context.
    Append(Append),
    /// Delete a context and its messages.
    Delete {
        /// The context's id.
        #[arg(value_name = "CONTEXT")]
        id: String,
        /// Only where this is its version.
        #[arg(long, value_name = "VERSION")]
        expected_version: Option<i64>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Whose it is; the key's principal without it.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The session it belongs to.
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// Its data, a JSON object.
    #[arg(long, value_name = "JSON", value_parser = object)]
    data: Option<Map<String, Value>>,
    /// Makes trying again safe: the same key with the same context creates it once.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Append {
    /// The context's id.
    #[arg(value_name = "CONTEXT")]
    id: String,
    /// What is said.
    text: String,
    /// Who says it.
    #[arg(long, value_enum, default_value = "user")]
    role: Role,
    /// Only where this is the context's version.
    #[arg(long, value_name = "VERSION")]
    expected_version: Option<i64>,
    /// Makes trying again safe: the same key with the same message appends it once.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    System,
    User,
    Assistant,
    Tool,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// A JSON object on the command line.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON object: {error}"))
}

const COLUMNS: &[Column] = &[
    ("context", "context_id"),
    ("user", "user_id"),
    ("session", "session_id"),
    ("version", "metadata.version"),
    ("messages", "metadata.messages"),
    ("updated", "metadata.updated_at"),
];
const MESSAGE_COLUMNS: &[Column] =
    &[("seq", "seq"), ("time", "created_at"), ("author", "author"), ("role", "role"), ("content", "content")];
const APPENDED_COLUMNS: &[Column] = &[("version", "version"), ("first", "first_seq"), ("last", "last_seq")];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    client.tenant()?;
    match command {
        Command::List { user, session, limit } => {
            let query = [("user_id", user.as_deref()), ("session_id", session.as_deref())];
            output::show(&client.list_where(&["contexts"], &query, Some(limit)).await?, COLUMNS, json);
        }
        Command::Show { id, messages } => {
            let ask = Ask::get(&["contexts", &id]).query("messages", Some(messages));
            show(client.send(ask).await?, json);
        }
        Command::Create(new) => output::show(&create(new, client).await?, COLUMNS, json),
        Command::Append(new) => output::show(&append(new, client).await?, APPENDED_COLUMNS, json),
        Command::Delete { id, expected_version } => {
            let mut ask = Ask::new(Method::DELETE, &["contexts", &id]);
            ask.if_match = expected_version;
            client.send(ask).await?;
            output::note(&format!("{id} is deleted."));
        }
    }
    Ok(())
}

async fn create(new: Create, client: &Client) -> Result<Value> {
    let mut body = json!({ "data": new.data.unwrap_or_default() });
    for (name, text) in [("user_id", new.user), ("session_id", new.session)] {
        if let Some(text) = text {
            body[name] = text.into();
        }
    }
    let mut ask = Ask::post(&["contexts"]).body(body);
    ask.idempotency_key = new.idempotency_key;
    client.send(ask).await
}

async fn append(new: Append, client: &Client) -> Result<Value> {
    let message = json!({ "role": new.role.as_str(), "content": new.text });
    let mut ask = Ask::post(&["contexts", &new.id, "messages"]).body(json!({ "messages": [message] }));
    (ask.if_match, ask.idempotency_key) = (new.expected_version, new.idempotency_key);
    client.send(ask).await
}

/// The context, its data where it has some, and its messages.
fn show(mut context: Value, json: bool) {
    if json {
        return output::document(&context);
    }
    let mut data = context.get_mut("data").map(Value::take).unwrap_or_default();
    let history = data.as_object_mut().and_then(|data| data.remove("conversation_history"));
    output::show(&context, COLUMNS, false);
    if data.as_object().is_some_and(|data| !data.is_empty()) {
        output::text("\n");
        output::document(&data);
    }
    output::text("\n");
    output::show(&history.unwrap_or_else(|| json!([])), MESSAGE_COLUMNS, false);
}
