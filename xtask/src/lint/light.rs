//! What nobody who embeds a crate gets unasked: heavy backends, cloud SDKs, a second TLS stack, a web framework.

use super::trees::Tree;

/// A kind of crate, and the feature sets that must not pull one in.
struct Ban {
    what: &'static str,
    /// Names; one that ends in a separator stands for all that begin with it.
    crates: &'static [&'static str],
    /// Whether a feature set, as cargo reads it, must do without.
    applies: fn(&str) -> bool,
}

/// Backends that only their own feature may bring, and what has no place in any set.
const BANS: [Ban; 6] = [
    Ban { what: "a model runtime", crates: &["tract-", "ort", "ort-sys", "candle-"], applies: every_set },
    Ban { what: "a vector index", crates: &["usearch", "hnsw_rs", "faiss"], applies: every_set },
    Ban {
        what: "a cloud SDK",
        crates: &["aws-config", "aws-sdk-", "aws-smithy-", "azure_", "google-cloud-", "object_store"],
        applies: every_set,
    },
    Ban {
        what: "a second TLS stack",
        crates: &["boring", "boring-sys", "native-tls", "openssl", "openssl-sys", "ring", "s2n-tls"],
        applies: every_set,
    },
    Ban {
        what: "the network",
        crates: &["axum", "axum-core", "h2", "hyper", "hyper-util", "reqwest", "rustls", "tower-http"],
        applies: |features| ["", "sqlite"].contains(&features),
    },
    Ban { what: "a database", crates: &["libsqlite3-sys", "sqlx", "sqlx-core"], applies: str::is_empty },
];

const fn every_set(_: &str) -> bool {
    true
}

/// What `tree` holds that this feature set must not pull in, each as a clause.
pub(super) fn problems(features: &str, tree: &Tree) -> Vec<String> {
    let of = |ban: &'static Ban| {
        let banned = move |name: &&str| ban.crates.iter().any(|pattern| matches(pattern, name));
        tree.names().filter(banned).map(|name| format!("pulls in `{name}`, {}", ban.what))
    };
    BANS.iter().filter(|ban| (ban.applies)(features)).flat_map(of).collect()
}

fn matches(pattern: &str, name: &str) -> bool {
    if pattern.ends_with(['-', '_']) { name.starts_with(pattern) } else { name == pattern }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(features: &str, text: &str) -> Vec<String> {
        problems(features, &Tree::parse(text))
    }

    #[test]
    fn no_set_pulls_in_what_only_its_own_feature_may_bring() {
        for name in ["tract-onnx", "usearch", "aws-sdk-s3", "object_store", "openssl-sys", "ring"] {
            for features in ["", "default", "sqlite", "postgres"] {
                assert_eq!(of(features, &format!("{name} v1.0.0\n")).len(), 1, "{name} with {features}");
            }
        }
    }

    #[test]
    fn the_cryptography_library_is_no_cloud_sdk() {
        assert!(of("default", "aws-lc-rs v1.0.0\naws-lc-sys v0.1.0\nstring v1.0.0\n").is_empty());
    }

    #[test]
    fn layers_need_no_web_framework_and_no_database() {
        assert_eq!(of("", "axum v0.8.0\nsqlx v0.9.0\ntower v0.5.0\nhttp v1.0.0\n").len(), 2);
        assert_eq!(of("sqlite", "hyper v1.0.0\nsqlx v0.9.0\n"), ["pulls in `hyper`, the network"]);
        assert!(of("default", "hyper v1.0.0\nsqlx v0.9.0\n").is_empty());
    }
}
