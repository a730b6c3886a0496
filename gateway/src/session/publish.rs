//! `publish`.

use broker::PublishRequest as BrokerRequest;
use wire::{Disconnect, ErrorCode, PublishRequest, PublishResult, ReplyBody};

use super::{Answer, Session};
use crate::config::PublicationDataFormat;

impl Session {
    pub(super) async fn publish(&mut self, request: PublishRequest) -> Answer {
        let channel = &*request.channel;
        if channel.is_empty() {
            return Err(Disconnect::BAD_REQUEST.into());
        }
        let (_, namespace) = self.node.namespaces.check(channel)?;
        // 1: a key of a map, which no channel offers here.
        if request.r#type != 0
            || !is_allowed(namespace.options.publication_data_format, &request.data)
        {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        let subscribed = self.subscriptions.contains(channel);
        // An anchored channel's publications come from its log alone.
        let may = namespace.service.is_none()
            && (namespace.may_publish(&self.user, subscribed) || self.node.config.client.insecure);
        if !may {
            return Err(ErrorCode::PERMISSION_DENIED.into());
        }
        let publish = self.node.broker.publish(
            channel,
            BrokerRequest {
                info: Some(self.publisher_info(channel)),
                data: request.data,
                history: namespace.history,
                traceparent: runtime::trace::current_traceparent().map(Into::into),
                ..BrokerRequest::default()
            },
        );
        publish.await.map_err(|error| self.broker_failure(&error))?;
        Ok(ReplyBody::Publish(PublishResult {}))
    }
}

/// Whether a payload is what the namespace takes.
pub(crate) fn is_allowed(format: PublicationDataFormat, data: &[u8]) -> bool {
    match format {
        PublicationDataFormat::Any => !data.is_empty(),
        PublicationDataFormat::Json => wire::is_json(data),
        PublicationDataFormat::JsonObject => {
            data.trim_ascii_start().starts_with(b"{") && wire::is_json(data)
        }
        PublicationDataFormat::Binary => true,
    }
}
