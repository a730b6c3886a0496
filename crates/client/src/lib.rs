//! A small client of the wire protocol, for tests and load: not an SDK.
//!
//! [`Client::open`] makes a WebSocket connection and runs it in one task. Commands are typed
//! calls that wait for their reply; pushes wait in a bounded queue for
//! [`next_push`](Client::next_push). It never reconnects, keeps no subscription state and hides
//! nothing: a test sees what the server said, and how it closed.
//!
//! ```no_run
//! # async fn example() -> Result<(), client::Error> {
//! use client::{Client, Options};
//! use wire::{ConnectRequest, Format};
//!
//! let url = "ws://127.0.0.1:8000/connection/websocket";
//! let mut client = Client::open(url, Format::Json).await?;
//! client.connect(ConnectRequest::default()).await?;
//! client.subscribe("news").await?;
//! client.publish("news", r#"{"hello":"world"}"#).await?;
//! let push = client.next_push().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Below it, [`Socket`] is the connection without any of this: frames out, frames in, close code
//! and reason visible. It is for tests that break the protocol on purpose, and for load that
//! writes its own frames.

mod caller;
mod client;
mod error;
mod options;
mod pushes;
mod socket;
mod task;

pub use caller::Caller;
pub use client::Client;
pub use error::{Closed, Error};
pub use options::Options;
pub use pushes::Pushes;
pub use socket::{Frame, Socket};
