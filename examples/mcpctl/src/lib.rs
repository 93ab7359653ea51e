//! `mcpctl`: tenants, keys, contexts, memories, servers and the audit log of an MCP platform, over its REST API.
//!
//! It speaks with the key it is given: an operator's (`mcpo_…`) reaches all tenants, a tenant's (`mcpk_…`, or
//! a token) its own. Tables are for people; `--json` prints what the API answered, lists whole.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed; or the audit log is damaged |
//! | 2 | the arguments, or what they say, are refused |
//! | 3 | the key is not good, or may not do this |
//! | 4 | there is no such thing |
//! | 5 | it exists already, or was changed meanwhile |
//! | 6 | the platform is away or busy: trying again may help |

mod access;
mod cli;
mod client;
mod commands;
mod failure;
mod operation;
mod output;
mod problem;

pub use cli::Cli;
