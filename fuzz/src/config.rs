//! The platform's configuration file: what is read prints as a file that reads the same, and what is refused is
//! refused with its place.

use mcp_core::strict;

use crate::settings::{Config, print};

const FILE: &str = "mcp-platform.toml";

/// The bytes are the file.
///
/// # Panics
/// When a file that is taken reads differently from what it prints, or a refusal does not say where.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match strict::from_toml::<Config>(FILE, text) {
        Ok(config) => {
            let printed = toml::to_string(&config).expect("what was read can be printed");
            let again: Config = strict::from_toml(FILE, &printed)
                .unwrap_or_else(|error| panic!("{error}\nin what was printed of {text:?}:\n{printed}"));
            assert_eq!(toml::to_string(&again).ok().as_ref(), Some(&printed), "of {text:?}");
            // What people see is such a file too, but for passwords.
            let shown = print(&config).expect("what was read can be shown");
            strict::from_toml::<Config>(FILE, &shown)
                .unwrap_or_else(|error| panic!("{error}\nin what was shown of {text:?}:\n{shown}"));
        }
        Err(error) => {
            let place = error.message().strip_prefix(FILE).unwrap_or_default();
            let place: Vec<_> = place.splitn(4, ':').skip(1).take(2).collect();
            let numbers = place.iter().filter_map(|number| number.parse::<u32>().ok()).count();
            assert_eq!(numbers, 2, "no place in {:?}", error.message());
        }
    }
}
