//! What a call that fails becomes: the one table from gRPC's status codes to the
//! codes that clients see.

use tonic::{Code, Status};

/// A call that failed, as the client is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct CallError {
    /// 100 to 113 as the client protocol has them; from 400 on, what it has no
    /// code for.
    pub code: u32,
    /// Written for the client.
    pub message: String,
    /// The same call may succeed later.
    pub temporary: bool,
}

/// Services that cannot be called as they are configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The descriptor set cannot be read.
    #[error("the descriptors of service `{service}` cannot be read: {reason}")]
    Descriptors {
        /// The service's name.
        service: String,
        /// What is wrong with them.
        reason: String,
    },
    /// The descriptors do not have the gRPC service.
    #[error("the descriptors of service `{service}` have no gRPC service `{grpc_service}`")]
    UnknownService {
        /// The service's name.
        service: String,
        /// What was looked for.
        grpc_service: String,
    },
    /// A key that cannot be sent in a header.
    #[error("the shared key of service `{service}` is not visible ASCII")]
    SharedKey {
        /// The service's name.
        service: String,
    },
}

impl CallError {
    fn new(code: u32, message: impl Into<String>, temporary: bool) -> Self {
        Self {
            code,
            message: message.into(),
            temporary,
        }
    }

    /// No service is configured for the method.
    pub(crate) fn not_available() -> Self {
        Self::new(108, "not available", false)
    }

    /// The service has no such method, or not for clients.
    pub(crate) fn method_not_found() -> Self {
        Self::new(104, "method not found", false)
    }

    /// The payload is not the method's request.
    pub(crate) fn bad_request(why: impl std::fmt::Display) -> Self {
        Self::new(107, format!("bad request: {why}"), false)
    }

    /// Something failed that the client cannot help.
    pub(crate) fn internal() -> Self {
        Self::new(100, "internal server error", true)
    }

    /// The service's status as the client is told. What a service says of a
    /// request is meant for the client; what it says of itself is not.
    pub(crate) fn from_status(status: &Status) -> Self {
        if !is_said_by_service(status) {
            return Self::internal();
        }
        let said = |otherwise: &str| match status.message() {
            "" => otherwise.to_owned(),
            message => message.to_owned(),
        };
        match status.code() {
            Code::InvalidArgument | Code::OutOfRange => Self::bad_request(said("invalid argument")),
            Code::Unauthenticated => Self::new(101, "unauthorized", false),
            Code::PermissionDenied => Self::new(103, said("permission denied"), false),
            Code::Unimplemented => Self::method_not_found(),
            Code::ResourceExhausted => Self::new(111, said("too many requests"), true),
            Code::NotFound => Self::new(404, said("not found"), false),
            Code::AlreadyExists => Self::new(409, said("already exists"), false),
            Code::FailedPrecondition => Self::new(412, said("failed precondition"), false),
            Code::Aborted => Self::new(409, said("aborted"), true),
            // A dead transport shows itself as any of these.
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::DataLoss
            | Code::Ok => Self::internal(),
        }
    }
}

/// Whether the service chose this status. The transport makes statuses of its own
/// out of broken streams (they have a source), HTTP errors of a proxy in between,
/// and answers over our limit; only their texts tell the latter two.
fn is_said_by_service(status: &Status) -> bool {
    let by_transport = ["grpc-status header missing", "Error, decoded message"];
    std::error::Error::source(status).is_none()
        && !by_transport
            .iter()
            .any(|text| status.message().starts_with(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: Code, message: &str) -> (u32, String, bool) {
        let error = CallError::from_status(&Status::new(code, message));
        (error.code, error.message, error.temporary)
    }

    #[test]
    fn a_client_is_told_what_helps_it_and_nothing_else() {
        assert_eq!(
            told(Code::InvalidArgument, "text is empty"),
            (107, "bad request: text is empty".into(), false)
        );
        assert_eq!(told(Code::NotFound, ""), (404, "not found".into(), false));
        assert_eq!(
            told(Code::AlreadyExists, "used"),
            (409, "used".into(), false)
        );
        assert_eq!(
            told(Code::ResourceExhausted, "slow down"),
            (111, "slow down".into(), true)
        );
        for code in [
            Code::Unavailable,
            Code::Unknown,
            Code::Internal,
            Code::Cancelled,
            Code::DeadlineExceeded,
        ] {
            assert_eq!(
                told(code, "secret"),
                (100, "internal server error".into(), true)
            );
        }
    }
}
