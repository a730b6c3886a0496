//! Both brokers pass the contract; the one over Redis survives more.

mod memory;
mod redis;
