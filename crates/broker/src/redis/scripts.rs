//! The scripts that run inside of Redis.

use redis::{Pipeline, Script, pipe};

/// All of them. Redis knows them by the hash of their text, so nodes of different
/// versions do not disturb each other.
pub(super) struct Scripts {
    pub(super) publish: Script,
    pub(super) publish_once: Script,
    pub(super) publish_at: Script,
    pub(super) anchor: Script,
    pub(super) history: Script,
    pub(super) presence_add: Script,
    pub(super) presence_remove: Script,
    pub(super) presence_get: Script,
    pub(super) presence_stats: Script,
    texts: Vec<&'static str>,
}

const PUBLISH: &str = include_str!("scripts/publish.lua");
const PUBLISH_ONCE: &str = include_str!("scripts/publish_once.lua");
const PUBLISH_AT: &str = include_str!("scripts/publish_at.lua");
const ANCHOR: &str = include_str!("scripts/anchor.lua");
const HISTORY: &str = include_str!("scripts/history.lua");
const PRESENCE_ADD: &str = concat!(
    include_str!("scripts/presence_common.lua"),
    include_str!("scripts/presence_add.lua")
);
const PRESENCE_REMOVE: &str = concat!(
    include_str!("scripts/presence_common.lua"),
    include_str!("scripts/presence_remove.lua")
);
const PRESENCE_GET: &str = concat!(
    include_str!("scripts/presence_common.lua"),
    include_str!("scripts/presence_get.lua")
);
const PRESENCE_STATS: &str = concat!(
    include_str!("scripts/presence_common.lua"),
    include_str!("scripts/presence_stats.lua")
);

impl Scripts {
    pub(super) fn new() -> Self {
        let mut texts = Vec::new();
        let mut script = |text: &'static str| {
            texts.push(text);
            Script::new(text)
        };
        Self {
            publish: script(PUBLISH),
            publish_once: script(PUBLISH_ONCE),
            publish_at: script(PUBLISH_AT),
            anchor: script(ANCHOR),
            history: script(HISTORY),
            presence_add: script(PRESENCE_ADD),
            presence_remove: script(PRESENCE_REMOVE),
            presence_get: script(PRESENCE_GET),
            presence_stats: script(PRESENCE_STATS),
            texts,
        }
    }

    /// Commands that make Redis know all of them.
    pub(super) fn load(&self) -> Pipeline {
        let mut pipeline = pipe();
        for text in &self.texts {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(*text).ignore();
        }
        pipeline
    }
}
