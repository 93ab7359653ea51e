//! `mcpctl principals …`.

use clap::Subcommand;
use http::Method;

use super::whose::Whose;
use crate::{
    client::{Ask, Client},
    failure::Result,
    output::{self, Column},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// End every credential of a principal: its API keys, with the refresh tokens that were granted for them, and its
    /// client certificates. Access tokens that are out live to their end.
    EndCredentials {
        /// The principal's id.
        principal: String,
        #[command(flatten)]
        whose: Whose,
    },
}

const ENDED: &[Column] = &[("keys", "keys"), ("certificates", "certificates")];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    let Command::EndCredentials { principal, whose } = &command;
    let path = whose.path(client, &["principals", principal, "credentials"])?;
    output::show(&client.send(Ask::new(Method::DELETE, &path)).await?, ENDED, json);
    Ok(())
}
