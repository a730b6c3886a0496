//! What a Redis error means for the caller and for the connection.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::Error;

/// Codes of a server that will do it later; the connection is good.
const LATER: [&str; 6] = [
    "BUSY",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "TRYAGAIN",
    "CLUSTERDOWN",
];

/// Codes of a server that will not do it: one has to ask another, which the same
/// address may lead to.
const ELSEWHERE: [&str; 4] = ["READONLY", "LOADING", "MASTERDOWN", "UNBLOCKED"];

/// Whether the connection should be given up.
pub(super) fn breaks_link(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || error.is_timeout()
        || has_code(error, &ELSEWHERE)
}

/// The error that the caller gets.
pub(super) fn translate(error: RedisError) -> Error {
    if breaks_link(&error) || has_code(&error, &LATER) {
        Error::Unavailable(Box::new(error))
    } else {
        Error::Failed(Box::new(error))
    }
}

/// Whether the server answered that it does not know a script.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether the server does not let this user do it.
pub(super) fn is_forbidden(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || error
            .detail()
            .is_some_and(|d| d.contains("unknown command"))
}

fn has_code(error: &RedisError, codes: &[&str]) -> bool {
    if error.code().is_some_and(|code| codes.contains(&code)) {
        return true;
    }
    // Redis before 7 wraps an error inside a script: "Error running script …:
    // @user_script:1: -READONLY You can't write against …".
    let wrapped = error.detail().unwrap_or_default();
    let names = |code: &&str| wrapped.contains(&format!("-{code} "));
    wrapped.contains("script") && codes.iter().any(names)
}
