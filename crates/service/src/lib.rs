//! What a service with a database of its own is made of: the database that an
//! address names, what its failures mean, deadlines, times, JSON objects, the engine
//! that it publishes to, and what its binary does with a command.
//!
//! It knows no tables and no calls; those are each service's own.

pub mod database;
pub mod engine;
pub mod failure;
pub mod json;
pub mod process;
pub mod tables;
pub mod time;
pub mod watch;

pub use self::database::{Database, Migrations, Pools};
pub use self::failure::{Cause, Failure, chain, within};
pub use self::time::Timestamp;
