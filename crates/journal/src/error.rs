//! Defines what can go wrong with a log or its publication.

/// Why a journal call failed. In every case it may be repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database refused or did not answer.
    #[error("the log's database is unavailable")]
    Store(#[source] sqlx::Error),
    /// The database did not answer in time.
    #[error("the log's database did not answer in time")]
    StoreTimeout,
    /// The broker refused or did not answer; the events stay in the log and are
    /// published later.
    #[error("the broker is unavailable")]
    Broker(#[source] broker::Error),
    /// The broker lost the channel's history again while it was being repaired.
    #[error("the broker's history of the channel does not settle")]
    Unsettled,
    /// The events were not published now; the cause was logged, and the sweeper tries again.
    #[error("the events could not be published yet")]
    Unpublished,
    /// Too many channels wait for their publication already.
    #[error("too many channels wait for their publication")]
    Busy,
    /// A stored event cannot be read.
    #[error("the log holds a broken event: {0}")]
    Corrupt(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error)
    }
}

impl From<broker::Error> for Error {
    fn from(error: broker::Error) -> Self {
        Self::Broker(error)
    }
}
