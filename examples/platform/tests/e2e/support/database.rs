//! The databases that a platform may stand on, so that one test shows the same of each.

use mcp_core::{conformance::PgTestDatabase, key::Secret};
use serde_json::Value;

use super::Served;

/// A database of a test's own.
pub(crate) enum Database {
    /// Files in the platform's directory.
    Sqlite,
    Postgres(Box<PgTestDatabase>),
}

impl Database {
    pub(crate) async fn postgres() -> Self {
        Self::Postgres(Box::new(PgTestDatabase::create().await.unwrap()))
    }

    /// A platform on it, with its tables made.
    pub(crate) fn serve(&self, servers: &Value, config: &str) -> Served {
        let mut served = Served::prepare(servers, &format!("{config}{}", self.settings()));
        if let Self::Postgres(_) = self {
            served.command(&["migrate"]);
        }
        served.run();
        served
    }

    /// The section `[database]`.
    pub(crate) fn settings(&self) -> String {
        let Self::Postgres(database) = self else { return String::new() };
        let config = &database.config;
        let url = |url: &Option<Secret<String>>| url.as_ref().unwrap().expose().clone();
        format!(
            "[database]\nbackend = \"postgres\"\nurl = {:?}\nowner_url = {:?}\nrelay_url = {:?}\n\
             tenant_database_prefix = {:?}\n",
            config.app.expose(),
            url(&config.owner),
            url(&config.relay),
            config.database_prefix,
        )
    }

    /// Removes it, once no platform stands on it any more.
    pub(crate) async fn end(self) {
        if let Self::Postgres(database) = self {
            database.destroy().await.unwrap();
        }
    }
}

/// Makes of each function, which takes a [`Database`], a test on every one.
macro_rules! on_every_database {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            use crate::support::database::Database;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(&Database::Sqlite).await;
                }
            )+
        }

        mod postgres {
            use crate::support::database::Database;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    let database = Database::postgres().await;
                    super::$test(&database).await;
                    database.end().await;
                }
            )+
        }
    };
}

pub(crate) use on_every_database;
