//! Calls to the store end in time, whatever the database does.

use std::time::Duration;

use crate::error::{Error, Result};

/// Waits for a call at most this long. A call that is given up is rolled back,
/// unless it was committing: then it may have happened.
///
/// # Errors
/// [`Error::Unavailable`] when time is up; else what the call returns.
pub(crate) async fn within<T>(
    deadline: Duration,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::time::timeout(deadline, call)
        .await
        .unwrap_or_else(|_| {
            let cause = format!("the database did not answer within {deadline:?}");
            Err(Error::Unavailable(cause.into()))
        })
}
