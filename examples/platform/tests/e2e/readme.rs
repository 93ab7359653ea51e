//! What the README shows works as it stands there.

use std::collections::BTreeMap;

use clap::Parser as _;
use mcp_automation::fleet::FleetSpec;
use mcp_platform::Cli;

const README: &str = include_str!("../../../../README.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn its_servers_are_read() {
    let variables = [("SEARCH_KEY", "secret"), ("HOME", "/home/operator")];
    let variables: BTreeMap<_, _> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let files = blocks("json");
    assert!(!files.is_empty());
    for file in files {
        let spec = FleetSpec::parse("README.md", file, &variables).unwrap();
        assert_eq!(spec.servers().len(), 3);
    }
}

#[test]
fn its_commands_are_understood() {
    let lines = blocks("sh").into_iter().flat_map(str::lines);
    let commands: Vec<&str> = lines
        .filter_map(|line| line.split('#').next().unwrap().trim().strip_prefix("mcp-platform "))
        .collect();
    assert!(commands.len() >= 3, "{commands:?}");
    for command in commands {
        // As a shell would split it: the only quotes are around a name with a blank.
        let mut words = vec!["mcp-platform".to_owned()];
        for (index, part) in command.split('"').enumerate() {
            if index % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}
