//! Keeps a service's readiness true as long as its database answers.

use std::time::Duration;

use runtime::admin::Readiness;
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, within};

/// Time between two looks whether the database is there.
const INTERVAL: Duration = Duration::from_secs(2);
/// What stands in the way of readiness.
const DATABASE: &str = "database";

/// Asks the database rarely, so that no probe of readiness waits for it, until `stop`.
/// `missing_tables` names those that are not there, or fails when the database does not
/// answer; it is given `timeout`.
pub async fn watch<E, F>(
    missing_tables: impl Fn() -> F,
    timeout: Duration,
    readiness: Readiness,
    stop: CancellationToken,
) where
    E: From<Failure> + std::error::Error + 'static,
    F: Future<Output = Result<Vec<String>, E>>,
{
    let mut away = false;
    loop {
        match within(timeout, missing_tables()).await {
            Ok(missing) if missing.is_empty() => {
                if std::mem::take(&mut away) {
                    tracing::info!("the database is back");
                }
                readiness.clear(DATABASE);
            }
            Ok(missing) => {
                let reason = format!(
                    "the database lacks the tables {}: the command `migrate` or the setting \
                    database.migrate makes them",
                    missing.join(", ")
                );
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!("{reason}");
                }
                readiness.block(DATABASE, reason);
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the database is away; calls are refused until it is back"
                    );
                }
                readiness.block(DATABASE, error.to_string());
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
