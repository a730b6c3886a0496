//! How a command is read: straight into the one request that counts, without room
//! for each that there might be.

use serde::de::MapAccess;

use crate::command::{Command, Request};
use crate::frame::DecodeError;
use crate::json::read::{Object, Read, from_line, next};

/// Reads one command from one line of a frame.
pub(crate) fn read_command(line: &[u8]) -> Result<Command, DecodeError> {
    let Reading { id, request } = from_line(line)?;
    Ok(Command {
        id,
        request: request.map(|(_, request)| request),
    })
}

/// A command of which some members were read.
#[derive(Default)]
struct Reading {
    id: u32,
    /// The first in the order of [`Object::field`] of those that came, and its
    /// place in that order. It is that of
    /// [`CommandFields`](crate::envelope::CommandFields), so that both encodings
    /// agree on a command with several requests.
    request: Option<(u8, Request)>,
}

impl Reading {
    fn request<'de, A: MapAccess<'de>, T: Read<'de>>(
        &mut self,
        place: u8,
        map: &mut A,
        request: fn(T) -> Request,
    ) -> Result<(), A::Error> {
        let value: Option<T> = map.next_value_seed(next())?;
        if let Some(value) = value
            && self
                .request
                .as_ref()
                .is_none_or(|(other, _)| place <= *other)
        {
            self.request = Some((place, request(value)));
        }
        Ok(())
    }
}

impl<'de> Object<'de> for Reading {
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "id" => self.id = map.next_value_seed(next())?,
            "connect" => self.request(0, map, Request::Connect)?,
            "ping" => self.request(1, map, Request::Ping)?,
            "subscribe" => self.request(2, map, Request::Subscribe)?,
            "unsubscribe" => self.request(3, map, Request::Unsubscribe)?,
            "publish" => self.request(4, map, Request::Publish)?,
            "presence" => self.request(5, map, Request::Presence)?,
            "presence_stats" => self.request(6, map, Request::PresenceStats)?,
            "history" => self.request(7, map, Request::History)?,
            "rpc" => self.request(8, map, Request::Rpc)?,
            "send" => self.request(9, map, Request::Send)?,
            "refresh" => self.request(10, map, Request::Refresh)?,
            "sub_refresh" => self.request(11, map, Request::SubRefresh)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
