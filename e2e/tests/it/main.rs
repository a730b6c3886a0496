//! The system as processes: what it promises while parts of it die.

mod database_loss;
mod delivery;
mod descriptors;
mod members;
mod node_loss;
mod notifications;
mod page;
mod quickstart;
mod redis_loss;
mod room;
mod service_loss;
mod tidy;
