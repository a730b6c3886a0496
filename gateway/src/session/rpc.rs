//! `rpc`: calls to services.

use wire::{ReplyBody, RpcRequest, RpcResult};

use super::{Answer, Session};
use crate::services::{Caller, Client};

impl Session {
    pub(super) async fn rpc(&mut self, request: RpcRequest) -> Answer {
        let ping = &self.node.config.rpc.ping;
        if ping.enabled && request.method == ping.method {
            return Ok(ReplyBody::Rpc(RpcResult::default()));
        }
        let caller = Caller::Client(Client {
            user: runtime::grpc::encode_user(&self.user),
            client: self.connection.id().to_string(),
        });
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
