//! What can go wrong, by what the caller can do about it, and the one translation
//! to a gRPC status.

use std::borrow::Cow;

use service::{Cause, Failure, chain};
use tonic::Status;

/// What a call of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request is at fault; the text says how. `INVALID_ARGUMENT`.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// The caller may not do this. `PERMISSION_DENIED`.
    #[error("{0}")]
    Denied(Cow<'static, str>),
    /// It does not exist, or the caller may not know of it. `NOT_FOUND`.
    #[error("{0}")]
    NotFound(Cow<'static, str>),
    /// The key of idempotency was used for something else. `ALREADY_EXISTS`.
    #[error("{0}")]
    Conflict(Cow<'static, str>),
    /// Too much is under way; it did not happen. Ask again later. `RESOURCE_EXHAUSTED`.
    #[error("{0}")]
    Exhausted(Cow<'static, str>),
    /// It cannot be done in the state that the room or message is in.
    /// `FAILED_PRECONDITION`.
    #[error("{0}")]
    Precondition(Cow<'static, str>),
    /// The database cannot be reached or is overloaded; it may or may not have
    /// happened. Ask again. `UNAVAILABLE`.
    #[error("the room store is unavailable")]
    Unavailable(#[source] Cause),
    /// Our fault. `INTERNAL`.
    #[error("internal error")]
    Internal(#[source] Cause),
}

impl Error {
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(message.into())
    }

    pub(crate) fn no_room() -> Self {
        Self::NotFound("no such room".into())
    }

    pub(crate) fn other_text() -> Self {
        Self::Conflict("client_msg_id was used with another text".into())
    }

    pub(crate) fn not_a_member() -> Self {
        Self::Denied("only members of the room may do this".into())
    }
}

impl From<Error> for Status {
    /// The caller reads the error's own text; its cause stays in the log.
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Invalid(_) => Self::invalid_argument(message),
            Error::Denied(_) => Self::permission_denied(message),
            Error::NotFound(_) => Self::not_found(message),
            Error::Conflict(_) => Self::already_exists(message),
            Error::Exhausted(_) => Self::resource_exhausted(message),
            Error::Precondition(_) => Self::failed_precondition(message),
            Error::Unavailable(cause) => {
                tracing::warn!(error = %chain(&*cause), "call refused: database unavailable");
                Self::unavailable(message)
            }
            Error::Internal(cause) => {
                tracing::error!(error = %chain(&*cause), "call failed");
                Self::internal(message)
            }
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(cause) => Self::Unavailable(cause),
            Failure::Internal(cause) => Self::Internal(cause),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Failure::from(error).into()
    }
}

impl From<journal::Error> for Error {
    fn from(error: journal::Error) -> Self {
        match error {
            journal::Error::Store(error) => error.into(),
            journal::Error::StoreTimeout => Self::Unavailable(error.into()),
            other => Self::Internal(other.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn causes_stay_in_the_log() {
        let cause = "password authentication failed for user \"fanfare\"";
        for (error, code) in [
            (Error::Unavailable(cause.into()), Code::Unavailable),
            (Error::Internal(cause.into()), Code::Internal),
        ] {
            let status = Status::from(error);
            assert_eq!(status.code(), code);
            assert!(!status.message().contains("password"), "{status}");
        }
    }
}
