//! One MCP endpoint per tenant over many servers.
//!
//! [`Gateway`] is a tower service: mount it at `/mcp` and `/mcp/{server}`, behind the layers that put a
//! [`Scope`](mcp_core::Scope) into each request.
//!
//! A request's way: `service` checks origin, path and size; `legacy` and `modern` speak with clients of the
//! versions with and without sessions; `dispatch` finds the answer, with `route` for the server it comes from
//! and `catalog` for what servers list; `exchange` turns it into JSON or a stream, and `finish` gives it the
//! form of the client's version.
//!
//! # Permissions
//! | permission | methods |
//! |---|---|
//! | `tools:list` | `tools/list` |
//! | `tools:call` | `tools/call` |
//! | `resources:list` | `resources/list`, `resources/templates/list` |
//! | `resources:read` | `resources/read`, `resources/subscribe`, and what is of a resource of `completion/complete` and `subscriptions/listen` |
//! | `prompts:list` | `prompts/list` |
//! | `prompts:get` | `prompts/get`, and `completion/complete` of a prompt |
//!
//! The rest takes an authenticated principal and no more. A principal that lacks a permission gets 403 with
//! the step-up challenge of the MCP authorization specification, and the denial is audited.
//!
//! [`Guards`] ask more: an authorizer about each of these by tool, prompt or URI, limits and a quota of calls. What
//! they refuse is a fault, in a response of the status that fits.
//!
//! # What passes unread
//! `params`, results and errors pass byte for byte, unknown members, number spellings and order included.
//! Changed is only: a tool's or prompt's name where it is prefixed; towards stateless clients the members
//! `resultType`, `ttlMs` and `cacheScope`, added where a server wrote none; and from them to servers with
//! sessions the members of `_meta` that stand for a session, taken out.
//!
//! Between eras, `_meta` says to a stateless server what the session knows and hides from a server with sessions
//! what it does not expect; and where a stateless server's answer asks for input, the client of a session is
//! asked by requests and the call repeated.
//!
//! # Subscriptions
//! A session subscribes to resources by `resources/subscribe`, a stateless client by `subscriptions/listen`, which
//! tells of resources only. Each hears of its own alone, by the URIs that it named; updates that wait to be told
//! are one for each resource, and their parameters hold the URI and no more. A server with subscribers counts as
//! used. Servers that tenants share are not subscribed to.

mod body;
mod bridge;
mod catalog;
mod config;
mod cursor;
mod dispatch;
mod drain;
mod exchange;
mod failure;
mod finish;
mod greet;
mod guard;
mod headers;
mod input;
mod legacy;
mod level;
mod list;
mod listen;
mod listing;
mod method;
mod metrics;
mod modern;
mod names;
mod path;
mod respond;
mod route;
mod servers;
mod service;
mod session;
mod sessions;
mod shared;
mod splice;
mod sse;
mod subscriptions;
mod template;

pub use body::Body;
pub use config::{GatewayConfig, PrefixMode, SessionConfig};
pub use guard::{Guards, ToolLimits};
pub use service::Gateway;
