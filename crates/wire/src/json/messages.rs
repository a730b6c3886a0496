//! The fields of every message, in the order in which they are written.
//!
//! `= always` marks the fields that are written even when they are zero; a name behind a colon
//! is the field's name in JSON where Rust cannot spell it.

use serde::de::MapAccess;

use crate::command::{
    ConnectRequest, HistoryRequest, PingRequest, PresenceRequest, PresenceStatsRequest,
    PublishRequest, RefreshRequest, RpcRequest, SendRequest, SubRefreshRequest, SubscribeRequest,
    TrackedItems, TrackedKey, UnsubscribeRequest,
};
use crate::envelope::{ErrorFields, PushFields, ReplyFields};
use crate::frame::EncodeError;
use crate::json::read::{Object, next};
use crate::json::write::{Write, close};
use crate::publication::{ClientInfo, FilterNode, Publication, StreamPosition};
use crate::push::{
    ConnectPush, DisconnectPush, Join, Leave, Message, RefreshPush, SubscribePush, UnsubscribePush,
};
use crate::reply::{
    ConnectResult, Dictionary, HistoryResult, PresenceResult, PresenceStatsResult, PublishResult,
    RefreshResult, RpcResult, SubRefreshResult, SubscribeResult, UnsubscribeResult,
};

macro_rules! field_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $name:literal) => {
        $name
    };
}

macro_rules! is_always {
    () => {
        false
    };
    (always) => {
        true
    };
}

macro_rules! read_object {
    ($type:ident { $( $field:ident $(: $name:literal)? ),* }) => {
        impl<'de> Object<'de> for $type {
            #[allow(
                unused_variables,
                clippy::allow_attributes,
                reason = "messages without fields use nothing"
            )]
            fn field<A: MapAccess<'de>>(
                &mut self,
                name: &str,
                map: &mut A,
            ) -> Result<bool, A::Error> {
                $(
                    if name == field_name!($field $($name)?) {
                        self.$field = map.next_value_seed(next())?;
                        return Ok(true);
                    }
                )*
                Ok(false)
            }
        }
    };
}

macro_rules! object {
    ($( $type:ident { $( $field:ident $(: $name:literal)? $(= $always:ident)? ),* $(,)? } )*) => {
        $(
            read_object!($type { $( $field $(: $name)? ),* });

            impl Write for $type {
                fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                    out.push(b'{');
                    $(
                        if is_always!($($always)?) || !self.$field.is_zero() {
                            out.extend_from_slice(
                                concat!("\"", field_name!($field $($name)?), "\":").as_bytes(),
                            );
                            self.$field.write(out)?;
                            out.push(b',');
                        }
                    )*
                    close(out, b'}');
                    Ok(())
                }
            }
        )*
    };
}

object! {
    Publication {
        data, info, offset, tags, delta, time, channel, key, removed, score, epoch, prev_data,
        version,
    }
    ClientInfo { user = always, client = always, conn_info, chan_info }
    StreamPosition { offset, epoch }
    FilterNode { op, key, cmp, val, vals, nodes }

    ConnectRequest { token, data, subs, name, version, headers, flag, dict, profile }
    SubscribeRequest {
        channel, token, recover, epoch, offset, data, positioned, recoverable, join_leave, delta,
        tf, flag, r#type: "type", phase, cursor, limit, asc,
    }
    UnsubscribeRequest { channel }
    PublishRequest { channel, data, r#type: "type", key, removed }
    PresenceRequest { channel }
    PresenceStatsRequest { channel }
    HistoryRequest { channel, limit, since, reverse }
    PingRequest {}
    SendRequest { data }
    RpcRequest { data, method }
    RefreshRequest { token }
    SubRefreshRequest { channel, token, r#type: "type", track, untrack }
    TrackedItems { signature, items }
    TrackedKey { key, version }

    ErrorFields { code, message, temporary }
    ConnectResult {
        client, version, expires, ttl, data, subs, ping, pong, session, node, time, flag, dict,
    }
    Dictionary { id, data, data_b64 }
    SubscribeResult {
        expires, ttl, recoverable, epoch, publications, recovered, offset, positioned, data,
        was_recovering, delta, id, r#type: "type", phase, cursor, state, publish_debounce,
    }
    UnsubscribeResult {}
    PublishResult {}
    PresenceResult { presence = always }
    PresenceStatsResult { num_clients = always, num_users = always }
    HistoryResult { publications = always, epoch = always, offset = always }
    RpcResult { data }
    RefreshResult { client, version, expires, ttl }
    SubRefreshResult { expires, ttl, items }

    Join { info }
    Leave { info }
    UnsubscribePush { code, reason }
    Message { data }
    SubscribePush { recoverable, epoch, offset, positioned, data }
    ConnectPush {
        client, version, data, subs, expires, ttl, ping, pong, session, node, time,
    }
    DisconnectPush { code, reason, reconnect }
    RefreshPush { expires, ttl }
}

read_object!(ReplyFields {
    id,
    error,
    push,
    connect,
    subscribe,
    unsubscribe,
    publish,
    presence,
    presence_stats,
    history,
    rpc,
    refresh,
    sub_refresh
});
read_object!(PushFields {
    channel,
    publication: "pub",
    join,
    leave,
    unsubscribe,
    message,
    subscribe,
    connect,
    disconnect,
    refresh
});
