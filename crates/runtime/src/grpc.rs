//! gRPC between our own processes: who calls, how long it may take, which trace
//! it belongs to; serving and connecting with every deadline set.

mod caller;
mod client;
mod metrics;
mod server;

pub use self::caller::{AUTHORIZATION, Caller, SERVICE, USER, decode_user, encode_user};
pub use self::client::{Outgoing, connect_lazy, duplex_channel};
pub use self::metrics::Metrics;
pub use self::server::{ServeOptions, deadline, serve};

#[cfg(test)]
mod tests;
