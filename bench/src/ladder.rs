//! The ladder: every scenario against every server, in interleaved rounds.
