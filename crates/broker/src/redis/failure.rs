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

/// The error that a script caught: `CODE text`, before Redis 7 behind the place in the
/// script and a dash.
pub(super) fn in_script(text: &str) -> RedisError {
    let text = match text.split_once(": -") {
        Some((place, error)) if place.contains("user_script") => error,
        _ => text,
    };
    let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
    redis::make_extension_error(code.to_owned(), Some(detail.to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_in_a_script_means_what_it_means_outside() {
        let read_only = "READONLY You can't write against a read only replica.";
        let before_7 = format!("@user_script:31: -{read_only}");
        for text in [read_only, &before_7] {
            assert!(breaks_link(&in_script(text)), "{text}");
        }
        let full = "OOM command not allowed";
        assert!(!breaks_link(&in_script(full)), "it is the same elsewhere");
        for text in [read_only, &before_7, full] {
            let error = translate(in_script(text));
            assert!(error.is_temporary(), "{error:?}");
        }
        let error = in_script("WRONGTYPE Operation against a key: - of the wrong kind");
        assert!(!breaks_link(&error), "{error:?}");
        let error = translate(error);
        assert!(!error.is_temporary(), "{error:?}");
    }
}
