//! The endpoints.

use crate::protocol::ServerName;

/// What a path of the gateway stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `/mcp`: all servers of the tenant.
    Aggregate,
    /// `/mcp/{server}`: one server, under its own names.
    Server(ServerName),
}

impl Endpoint {
    pub(super) fn parse(path: &str) -> Option<Self> {
        match path.strip_prefix("/mcp")? {
            "" | "/" => Some(Self::Aggregate),
            rest => ServerName::parse(rest.strip_prefix('/')?).ok().map(Self::Server),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_of_two_forms() {
        let time = || Endpoint::Server(ServerName::parse("time").unwrap());
        for (path, expected) in [
            ("/mcp", Some(Endpoint::Aggregate)),
            ("/mcp/", Some(Endpoint::Aggregate)),
            ("/mcp/time", Some(time())),
            ("/mcp/time/x", None),
            ("/mcp/a__b", None),
            ("/mcptime", None),
            ("/", None),
        ] {
            assert_eq!(Endpoint::parse(path), expected, "{path}");
        }
    }
}
