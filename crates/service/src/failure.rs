//! What the failure of a database means to a call, and that calls end in time.

use std::time::Duration;

use sqlx::error::ErrorKind;
use sqlx::migrate::MigrateError;

/// The cause of a failure, for the log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a call to the database failed. A service's own error is made of it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database cannot be reached or is overloaded; it may or may not have
    /// happened. Ask again.
    #[error("the database is unavailable")]
    Unavailable(#[source] Cause),
    /// Our fault.
    #[error("the database does not take the statement")]
    Internal(#[source] Cause),
}

/// Waits for a call at most this long. A call that is given up is rolled back,
/// unless it was committing: then it may have happened.
///
/// # Errors
/// [`Failure::Unavailable`] when time is up; else what the call returns.
pub async fn within<T, E: From<Failure>>(
    deadline: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(deadline, call)
        .await
        .unwrap_or_else(|_| {
            let cause = format!("the database did not answer within {deadline:?}");
            Err(Failure::Unavailable(cause.into()).into())
        })
}

impl From<sqlx::Error> for Failure {
    /// What may pass by itself is [`Failure::Unavailable`], the rest is our fault.
    fn from(error: sqlx::Error) -> Self {
        let passes = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => true,
            sqlx::Error::Database(error) => {
                error.kind() == ErrorKind::Other
                    && error.code().is_some_and(|code| is_passing_code(&code))
            }
            _ => false,
        };
        if passes {
            Self::Unavailable(error.into())
        } else {
            Self::Internal(error.into())
        }
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => error.into(),
            other => Self::Internal(other.into()),
        }
    }
}

/// Codes that say nothing about the statement: the database is starting, stopping,
/// failing over, full or busy, or chose this transaction to end a conflict.
fn is_passing_code(code: &str) -> bool {
    // PostgreSQL: connection exceptions, conflicts, resources, operators, I/O;
    // a standby that does not take writes yet.
    const CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
    const READ_ONLY: &str = "25006";
    // SQLite: the low byte of busy, locked, i/o error, full and cannot open.
    const PRIMARY: [i64; 5] = [5, 6, 10, 13, 14];
    if code.len() == 5 {
        return code == READ_ONLY || CLASSES.iter().any(|class| code.starts_with(class));
    }
    code.parse::<i64>()
        .is_ok_and(|code| PRIMARY.contains(&(code & 0xff)))
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}
