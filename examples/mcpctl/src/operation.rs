//! Long work: what an answer of 202 names is followed to its end.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    client::{Ask, Client},
    failure::{Failure, Result},
    output::Progress,
    problem::Problem,
};

/// Between two looks at how far it is.
const PAUSE: Duration = Duration::from_millis(200);

/// Asks the `status_url` of what has begun until it has ended, and tells on standard error how far it is.
///
/// # Errors
/// What the operation failed with; `Unreachable` if it goes on for longer than `wait`.
pub(crate) async fn follow(client: &Client, begun: Value, wait: Duration) -> Result<Value> {
    let nonsense = || Failure::Unexpected("the platform answered with no operation".to_owned());
    // A path and no URL: the key goes to nobody else.
    let status = begun["status_url"].as_str().ok_or_else(nonsense)?.to_owned();
    let path: Vec<&str> = status.strip_prefix("/api/v1/").ok_or_else(nonsense)?.split('/').collect();
    let (until, mut progress, mut now) = (Instant::now() + wait, Progress::default(), begun);
    loop {
        match now["state"].as_str() {
            Some("running") => {}
            Some("done") => return Ok(now),
            Some("failed") => {
                let word = |name: &str| now["error"][name].as_str().unwrap_or_default();
                return Err(Failure::Refused(Box::new(Problem::of_operation(word("kind"), word("message")))));
            }
            _ => return Err(nonsense()),
        }
        progress.show(now["progress"]["phase"].as_str().unwrap_or_default(), &amount(&now["progress"]));
        if Instant::now() >= until {
            let waited = wait.as_secs();
            return Err(Failure::Unreachable(format!(
                "it goes on after {waited} s; `mcpctl servers releases` shows what becomes of it"
            )));
        }
        tokio::time::sleep(PAUSE).await;
        now = client.send(Ask::get(&path)).await?;
    }
}

/// `1.2 of 3.4 MB`, where it is measured.
fn amount(progress: &Value) -> String {
    let megabytes = |bytes: u64| {
        let tenths = bytes / 100_000;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match (progress["done_bytes"].as_u64(), progress["total_bytes"].as_u64()) {
        (Some(done), Some(total)) => format!("{} of {} MB", megabytes(done), megabytes(total)),
        (Some(done @ 1..), None) => format!("{} MB", megabytes(done)),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_measured_is_told_in_megabytes() {
        let told =
            |done: u64, total: Option<u64>| amount(&json!({ "done_bytes": done, "total_bytes": total }));
        assert_eq!(told(1_250_000, Some(3_400_000)), "1.2 of 3.4 MB");
        assert_eq!(told(900_000, None), "0.9 MB");
        assert_eq!(told(0, None), "");
    }
}
