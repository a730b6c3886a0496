//! What can go wrong in a broker call, by what the caller can do about it.

/// The cause behind an [`Error`], for the log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failed broker call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker did not answer in time, is not reachable or is not ready. The
    /// call may or may not have taken effect; repeating it later will help.
    #[error("the broker is unavailable")]
    Unavailable(#[source] Cause),
    /// The call or the configuration makes no sense; repeating it will not help.
    #[error("invalid: {0}")]
    Invalid(String),
    /// The broker refused the call or answered with something unexpected (no
    /// memory, no permission, a damaged entry). Someone must look at it.
    #[error("the broker failed")]
    Failed(#[source] Cause),
}

impl Error {
    /// Whether repeating the call later can help.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
