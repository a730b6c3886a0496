//! gRPC services behind the gateway.

use std::path::PathBuf;

use runtime::config::{Secret, Timespan};
use serde::{Deserialize, Serialize};

/// An element of `services`.
///
/// Clients call `<name>.<Method>`; a namespace with this `service` asks it who
/// may subscribe and reads its logs (`fanfare.log.v1.LogService`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceConfig {
    /// What stands before the dot of a method.
    pub name: String,
    /// Where it is: `http://host:port`. All addresses of a host name are used.
    pub address: String,
    /// The gRPC service whose methods clients may call, such as
    /// `fanfare.chat.v1.ChatService`. Empty: what belongs to the names `chat`
    /// and `notify`; a service of another name has to say it.
    pub grpc_service: String,
    /// A file with the service's encoded `FileDescriptorSet`; empty: it is one
    /// of ours.
    pub descriptor_file: PathBuf,
    /// Methods that clients may not call; `*` at the end stands for anything.
    pub internal_methods: Vec<String>,
    /// What the service expects as `authorization: Bearer …`; empty: nothing.
    pub shared_key: Secret,
    /// Within this time a call must be answered.
    pub timeout: Timespan,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            address: String::new(),
            grpc_service: String::new(),
            descriptor_file: PathBuf::new(),
            internal_methods: Vec::new(),
            shared_key: Secret::default(),
            timeout: Timespan::from_secs(5),
        }
    }
}

impl ServiceConfig {
    /// The gRPC service whose methods clients may call; `None` if it is not said.
    #[must_use]
    pub fn grpc_service(&self) -> Option<&str> {
        match (&*self.grpc_service, &*self.name) {
            ("", "chat") => Some("fanfare.chat.v1.ChatService"),
            ("", "notify") => Some("fanfare.notify.v1.NotifyService"),
            ("", _) => None,
            (service, _) => Some(service),
        }
    }
}
