//! What an operator writes to name a package.

use std::{fmt, str::FromStr};

use mcp_core::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Version;

/// A package registry that servers can come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Registry {
    /// npm: programs for Node.
    Npm,
    /// PyPI: programs for Python.
    Pypi,
}

impl Registry {
    /// The prefix of its packages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pypi => "pypi",
        }
    }

    /// What stands between a package's name and its version.
    const fn separator(self) -> &'static str {
        match self {
            Self::Npm => "@",
            Self::Pypi => "==",
        }
    }
}

/// A package of a registry, `npm:@scope/name` or `pypi:name`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Package {
    registry: Registry,
    name: Box<str>,
}

impl Package {
    /// Where it comes from.
    #[must_use]
    pub const fn registry(&self) -> Registry {
        self.registry
    }

    /// What a server of it is called where its operator gives it no name: the package's without scope and without
    /// `mcp` and `server` before and after it, cut to a server's name.
    #[must_use]
    pub fn short_name(&self) -> String {
        let full = self.name.rsplit('/').next().unwrap_or_default();
        let words: Vec<_> = full.split(['-', '_', '.', '~']).filter(|word| !word.is_empty()).collect();
        let telling: Vec<_> =
            words.iter().filter(|word| !matches!(**word, "mcp" | "server")).copied().collect();
        let words = if telling.is_empty() { words } else { telling };
        words.join("-").chars().take(32).collect()
    }

    /// Its name there; PyPI's in its normal form.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A package, and the version that is wanted; the latest where it is `None`.
///
/// Written `npm:@scope/name[@version]` and `pypi:name[==version]`; `pypi:name@version` is read too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRef {
    /// The package.
    pub package: Package,
    /// The version.
    pub version: Option<Version>,
}

impl FromStr for PackageRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (registry, rest) = match text.split_once(':') {
            Some(("npm", rest)) => (Registry::Npm, rest),
            Some(("pypi", rest)) => (Registry::Pypi, rest),
            _ => {
                let shown: String = text.chars().take(60).collect();
                return Err(refused(format!(
                    "{shown:?} names no package: write npm:@scope/name@version or pypi:name==version"
                )));
            }
        };
        let (name, version) = match registry {
            // The first character of a scoped name is an `@` too.
            Registry::Npm => match rest.char_indices().skip(1).find(|(_, letter)| *letter == '@') {
                Some((at, _)) => (&rest[..at], Some(&rest[at + 1..])),
                None => (rest, None),
            },
            Registry::Pypi => match rest.split_once("==").or_else(|| rest.split_once('@')) {
                Some((name, version)) => (name, Some(version)),
                None => (rest, None),
            },
        };
        let name = match registry {
            Registry::Npm => npm_name(name)?,
            Registry::Pypi => pypi_name(name)?,
        };
        let version = version.map(Version::parse).transpose()?;
        Ok(Self { package: Package { registry, name }, version })
    }
}

fn npm_name(name: &str) -> Result<Box<str>> {
    let part = |part: &str| {
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._~".contains(&b);
        !part.is_empty() && !part.starts_with(['.', '_']) && part.bytes().all(ok)
    };
    let valid = match name.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').is_some_and(|(scope, name)| part(scope) && part(name)),
        None => part(name),
    };
    if !valid || name.len() > 214 {
        let shown: String = name.chars().take(60).collect();
        return Err(refused(format!("{shown:?} is no name of an npm package, such as @scope/name")));
    }
    Ok(name.into())
}

fn pypi_name(name: &str) -> Result<Box<str>> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let ends = [name.bytes().next(), name.bytes().next_back()];
    let valid = ends.iter().all(|end| end.is_some_and(|b| b.is_ascii_alphanumeric()));
    if !valid || name.len() > 128 || !name.bytes().all(ok) {
        let shown: String = name.chars().take(60).collect();
        return Err(refused(format!("{shown:?} is no name of a Python package, such as mcp-server-time")));
    }
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    Ok(words.collect::<Vec<_>>().join("-").to_ascii_lowercase().into())
}

fn refused(why: String) -> Error {
    Error::invalid_input("source.package", why)
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.registry.as_str(), self.name)
    }
}

impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Package({self})")
    }
}

impl fmt::Display for PackageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.package)?;
        match &self.version {
            Some(version) => write!(f, "{}{version}", self.package.registry.separator()),
            None => Ok(()),
        }
    }
}

impl FromStr for Package {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let PackageRef { package, version } = text.parse()?;
        match version {
            None => Ok(package),
            Some(version) => {
                Err(refused(format!("`{package}` is wanted here without its version {version}")))
            }
        }
    }
}

impl Serialize for Package {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Package {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_written_again() {
        for (text, name, version, again) in [
            ("npm:@a/b@1.2.3", "@a/b", Some("1.2.3"), "npm:@a/b@1.2.3"),
            ("npm:@a/b", "@a/b", None, "npm:@a/b"),
            ("npm:left-pad@1.0.0-rc.1", "left-pad", Some("1.0.0-rc.1"), "npm:left-pad@1.0.0-rc.1"),
            (
                "pypi:mcp-server-time==2026.10.19",
                "mcp-server-time",
                Some("2026.10.19"),
                "pypi:mcp-server-time==2026.10.19",
            ),
            ("pypi:MCP_Server.time@1.0", "mcp-server-time", Some("1.0"), "pypi:mcp-server-time==1.0"),
        ] {
            let parsed: PackageRef = text.parse().unwrap();
            assert_eq!(parsed.package.name(), name);
            assert_eq!(parsed.version.as_ref().map(Version::as_str), version);
            assert_eq!(parsed.to_string(), again);
        }
    }

    #[test]
    fn a_server_is_called_by_what_tells_in_its_package() {
        for (package, name) in [
            ("npm:@modelcontextprotocol/server-everything", "everything"),
            ("pypi:mcp-server-time", "time"),
            ("npm:mcp-server", "mcp-server"),
            ("npm:@a/sequential_thinking.mcp", "sequential-thinking"),
        ] {
            let name_of: Package = package.parse().unwrap();
            assert_eq!(name_of.short_name(), name);
            crate::protocol::ServerName::parse(name).unwrap();
        }
    }

    #[test]
    fn what_names_no_package_is_refused_with_a_form_that_does() {
        for (text, wanted) in [
            ("", "npm:@scope/name@version"),
            ("@a/b@1", "npm:@scope/name@version"),
            ("git:x", "npm:@scope/name@version"),
            ("npm:", "no name of an npm package"),
            ("npm:@a@1", "no name of an npm package"),
            ("npm:../x@1", "no name of an npm package"),
            ("npm:@a/b/c@1", "no name of an npm package"),
            ("npm:A@1", "no name of an npm package"),
            ("npm:--registry=x", "no name of an npm package"),
            ("npm:x@latest", "ranges and tags"),
            ("npm:x@^1", "ranges and tags"),
            ("npm:x@", "ranges and tags"),
            ("pypi:-r x", "no name of a Python package"),
            ("pypi:x>=1", "no name of a Python package"),
            ("pypi:x==", "ranges and tags"),
            ("pypi:x==1.*", "ranges and tags"),
        ] {
            let error = text.parse::<PackageRef>().unwrap_err();
            assert!(error.message().contains(wanted), "{text}: {error}");
        }
    }
}
