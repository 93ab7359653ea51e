//! HTTP towards others: bounded in time and size, and dialling only where it may.
//!
//! What guards access over HTTP (key sets of issuers, introspection, policy servers, vaults) goes through
//! [`HttpClient`]. Where a URL comes from a tenant, or from a document somebody else wrote,
//! [`Addresses::Public`] keeps it away from this machine and its network.

mod address;
mod client;
mod config;
mod connect;

pub use client::HttpClient;
pub use config::{Addresses, HttpConfig, Roots};
