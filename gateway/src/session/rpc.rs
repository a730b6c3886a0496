//! `rpc`: calls to services.

use wire::{ReplyBody, RpcRequest, RpcResult};

use super::{Answer, Session};
use crate::services::Caller;

impl Session {
    pub(super) async fn rpc(&mut self, request: RpcRequest) -> Answer {
        let caller = Caller {
            user: self.user.as_ref().to_owned(),
            client: self.connection.id().to_string(),
        };
        let format = self.connection.format();
        let called = self
            .node
            .services
            .call(&request.method, &request.data, format, caller)
            .await;
        called
            .map(|data| ReplyBody::Rpc(RpcResult { data }))
            .map_err(Into::into)
    }
}
