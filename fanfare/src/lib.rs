//! Gateway, chat and notifications in one process, on a broker in memory and a
//! database in a file: nothing to install, nothing to configure. The same
//! libraries as in the separate binaries, composed.

pub mod config;
pub mod credentials;
pub mod doctor;
pub mod serve;
pub mod token;
