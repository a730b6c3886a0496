//! The gRPC contracts between our services, generated at build time from the
//! `.proto` files beside this crate. Module paths are the Protobuf packages.

/// Package `fanfare.log.v1`: what a service with anchored channels offers to gateways.
pub mod log {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("fanfare.log.v1");
    }
}

/// Package `fanfare.chat.v1`: rooms and messages.
pub mod chat {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("fanfare.chat.v1");
    }
}

/// Package `fanfare.notify.v1`: notifications and inboxes.
pub mod notify {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("fanfare.notify.v1");
    }
}

/// The encoded `FileDescriptorSet` of all contracts, imports included: what the
/// gateway transcodes by, and what server reflection answers with.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fanfare_descriptor.bin"));
