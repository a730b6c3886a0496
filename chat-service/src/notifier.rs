//! notify-service, as this service sees it.

use async_trait::async_trait;
use proto::notify::v1::NotifyRequest;
use proto::notify::v1::notify_service_client::NotifyServiceClient;
use runtime::grpc::Outgoing;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::store::Delivery;

/// Takes notifications. A second one with the same key changes nothing.
#[async_trait]
pub trait Notifier: std::fmt::Debug + Send + Sync + 'static {
    /// Hands over a notification, within a deadline.
    async fn notify(&self, delivery: &Delivery) -> Result<(), Undelivered>;
}

/// Why a notification was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    /// It never will be: it is dropped.
    #[error("the notification was refused")]
    Refused(#[source] Status),
    /// It is tried again.
    #[error("the notification could not be delivered")]
    Unavailable(#[source] Status),
}

/// notify-service over gRPC.
#[derive(Clone, Debug)]
pub struct GrpcNotifier {
    client: NotifyServiceClient<InterceptedService<Channel, Outgoing>>,
}

impl GrpcNotifier {
    /// Calls the service behind a channel, which may be in this process.
    #[must_use]
    pub fn new(channel: Channel, outgoing: Outgoing) -> Self {
        Self {
            client: NotifyServiceClient::with_interceptor(channel, outgoing),
        }
    }
}

#[async_trait]
impl Notifier for GrpcNotifier {
    async fn notify(&self, delivery: &Delivery) -> Result<(), Undelivered> {
        let room = delivery.room.as_str();
        let request = NotifyRequest {
            users: delivery.users.clone(),
            category: delivery.kind.clone(),
            title: delivery.title.clone(),
            body: delivery.body.clone(),
            link: format!("/#/room/{room}/{}", delivery.seq),
            actor: delivery.actor.clone(),
            data: None,
            idempotency_key: format!("chat:{room}:{}:{}", delivery.seq, delivery.kind),
        };
        let answer = self.client.clone().notify(request).await;
        answer.map(|_| ()).map_err(|status| match status.code() {
            Code::InvalidArgument => Undelivered::Refused(status),
            _ => Undelivered::Unavailable(status),
        })
    }
}
