//! The services that can be called, and the call.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::codec::Encoded;
use crate::payload::{self, PayloadFormat};
use crate::{CallError, Error};

/// A service that clients may call.
pub struct Service {
    /// What its methods' names begin with: `chat` in `chat.SendMessage`.
    pub name: String,
    /// Full name of the gRPC service.
    pub grpc_service: String,
    /// Encoded `FileDescriptorSet` that has the gRPC service and all that it uses.
    pub descriptors: Bytes,
    /// Methods that are not for clients.
    pub internal_methods: Vec<String>,
    /// Where it is.
    pub channel: Channel,
    /// What it expects as `authorization: Bearer …`; empty: nothing.
    pub shared_key: String,
    /// How long a call may take.
    pub timeout: Duration,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("grpc_service", &self.grpc_service)
            .finish_non_exhaustive()
    }
}

/// Who calls. Services believe it, because only the gateway can say it.
#[derive(Clone, Debug)]
pub enum Caller {
    /// A client; it cannot call internal methods.
    Client(Client),
    /// An operator's backend, through the server API.
    Backend {
        /// The user that it acts for, encoded like [`Client::user`]; empty: for
        /// itself.
        user: String,
    },
}

/// A calling client.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// User id as it travels in metadata (`runtime::grpc::encode_user`); empty for
    /// an anonymous client.
    pub user: String,
    /// Connection id.
    pub client: String,
}

/// One call.
#[derive(Debug)]
pub struct Call<'a> {
    /// `service.Method`.
    pub method: &'a str,
    /// The request.
    pub payload: &'a Bytes,
    /// How the client speaks.
    pub format: PayloadFormat,
    /// Who calls.
    pub caller: Caller,
    /// W3C trace context to go on with.
    pub traceparent: Option<String>,
}

/// The services, by name.
#[derive(Debug)]
pub struct Services {
    by_name: HashMap<String, Target>,
}

#[derive(Debug)]
struct Target {
    methods: HashMap<String, Method>,
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
    timeout: Duration,
}

#[derive(Debug)]
struct Method {
    path: PathAndQuery,
    descriptor: MethodDescriptor,
    /// Not for clients.
    internal: bool,
}

impl Services {
    /// Prepares services for calls; connects to none of them.
    ///
    /// # Errors
    /// Descriptors that cannot be read or lack the service, or a key that cannot
    /// be sent.
    pub fn new(services: Vec<Service>) -> Result<Self, Error> {
        let mut by_name = HashMap::new();
        for service in services {
            let name = service.name.clone();
            by_name.insert(name, Target::new(service)?);
        }
        Ok(Self { by_name })
    }

    /// Makes a call. Costs a JSON parse and a Protobuf encoding each way, and one
    /// gRPC call.
    ///
    /// # Errors
    /// What the client is told: see [`CallError`].
    pub async fn call(&self, call: Call<'_>) -> Result<Bytes, CallError> {
        let (service, method) = call
            .method
            .split_once('.')
            .ok_or_else(CallError::method_not_found)?;
        let target = self
            .by_name
            .get(service)
            .ok_or_else(CallError::not_available)?;
        let method = target
            .methods
            .get(method)
            .filter(|method| !method.internal || matches!(call.caller, Caller::Backend { .. }))
            .ok_or_else(CallError::method_not_found)?;
        let format = call.format.of_payload(call.payload);
        let encoded = payload::request(call.payload, format, &method.descriptor.input())?;
        let mut request = Request::new(encoded);
        request.set_timeout(target.timeout);
        target.describe(request.metadata_mut(), &call);
        let called = tokio::time::timeout(target.timeout, target.unary(method, request)).await;
        match called {
            Ok(Ok(answer)) => payload::response(answer, format, &method.descriptor.output()),
            Ok(Err(status)) => {
                let failed = matches!(
                    status.code(),
                    Code::Unavailable
                        | Code::Unknown
                        | Code::Internal
                        | Code::DataLoss
                        | Code::Cancelled
                        | Code::DeadlineExceeded
                );
                if failed {
                    tracing::warn!(rpc.method = call.method, code = ?status.code(), message = status.message(), "a service failed");
                }
                Err(CallError::from_status(&status))
            }
            Err(_) => {
                tracing::warn!(rpc.method = call.method, timeout = ?target.timeout, "a service did not answer in time");
                Err(CallError::internal())
            }
        }
    }
}

impl Target {
    fn new(service: Service) -> Result<Self, Error> {
        let name = &service.name;
        let pool = DescriptorPool::decode(service.descriptors.clone()).map_err(|error| {
            Error::Descriptors {
                service: name.clone(),
                reason: error.to_string(),
            }
        })?;
        let unknown = || Error::UnknownService {
            service: name.clone(),
            grpc_service: service.grpc_service.clone(),
        };
        let descriptor = pool
            .get_service_by_name(&service.grpc_service)
            .ok_or_else(unknown)?;
        let mut methods = HashMap::new();
        for method in descriptor.methods() {
            if method.is_client_streaming() || method.is_server_streaming() {
                continue;
            }
            let internal = service
                .internal_methods
                .iter()
                .any(|one| one == method.name());
            let path = format!("/{}/{}", service.grpc_service, method.name());
            let Ok(path) = PathAndQuery::try_from(path) else {
                return Err(unknown());
            };
            methods.insert(
                method.name().to_owned(),
                Method {
                    path,
                    descriptor: method,
                    internal,
                },
            );
        }
        let authorization = match &*service.shared_key {
            "" => None,
            key => {
                let value = MetadataValue::try_from(format!("Bearer {key}"));
                let mut value = value.map_err(|_| Error::SharedKey {
                    service: name.clone(),
                })?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self {
            methods,
            channel: service.channel,
            authorization,
            timeout: service.timeout,
        })
    }

    fn describe(&self, metadata: &mut MetadataMap, call: &Call<'_>) {
        let mut insert = |name: &'static str, value: &str| {
            if let Ok(value) = MetadataValue::try_from(value) {
                metadata.insert(name, value);
            }
        };
        match &call.caller {
            Caller::Client(client) => {
                insert("fanfare-user", &client.user);
                insert("fanfare-client", &client.client);
            }
            Caller::Backend { user } => {
                insert("fanfare-service", "api");
                if !user.is_empty() {
                    insert("fanfare-user", user);
                }
            }
        }
        if let Some(traceparent) = &call.traceparent {
            insert("traceparent", traceparent);
        }
        if let Some(authorization) = &self.authorization {
            metadata.insert("authorization", authorization.clone());
        }
    }

    async fn unary(&self, method: &Method, request: Request<Bytes>) -> Result<Bytes, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client
            .ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let answer = client.unary(request, method.path.clone(), Encoded).await?;
        Ok(answer.into_inner())
    }
}
