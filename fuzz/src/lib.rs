//! What each fuzz target asserts of its input, apart from libFuzzer.
//!
//! A target reads bytes as a stranger or an operator could have written them, and shows two things: that nothing
//! panics, and a property of what was read, said in its module. `cargo xtask fuzz` runs them for seconds from the
//! seeds beside them; `seeds/TARGET/` holds one file for each form of input worth beginning with.

pub mod config;
pub mod header;
pub mod pii;
pub mod policy;
pub mod tenants;
pub mod token;
mod world;

/// The platform's settings, from where they are: without the crates that the rest of the platform needs.
#[path = "../../examples/platform/src/config/mod.rs"]
#[allow(dead_code, unused_imports, unfulfilled_lint_expectations, reason = "the platform uses all of it")]
mod settings;
