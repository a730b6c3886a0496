//! A chat service that does what the test says, and calls to it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use proto::chat::v1::chat_service_server::{ChatService, ChatServiceServer};
use proto::chat::v1::{
    AddMemberRequest, AddMemberResponse, CreateRoomRequest, CreateRoomResponse,
    DeleteMessageRequest, DeleteMessageResponse, EditMessageRequest, EditMessageResponse,
    GetRoomRequest, GetRoomResponse, GetUnreadRequest, GetUnreadResponse, JoinRoomRequest,
    JoinRoomResponse, LeaveRoomRequest, LeaveRoomResponse, ListMembersRequest, ListMembersResponse,
    ListMessagesRequest, ListMessagesResponse, ListPublicRoomsRequest, ListPublicRoomsResponse,
    ListRoomsRequest, ListRoomsResponse, MarkReadRequest, MarkReadResponse, OpenDirectRoomRequest,
    OpenDirectRoomResponse, RemoveMemberRequest, RemoveMemberResponse, SendMessageRequest,
    SendMessageResponse, SendTypingRequest, SendTypingResponse, SetMemberRoleRequest,
    SetMemberRoleResponse,
};
use serde_json::{Value, json};
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use transcode::{Call, CallError, Caller, Client, PayloadFormat, Service, Services};

/// Answers of the fake, and what it was asked. Everything that the tests do not
/// need is unimplemented.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    /// The answer to `SendMessage` and `GetRoom`; `None`: there never is one.
    pub(crate) send_message: Mutex<Option<Result<SendMessageResponse, Status>>>,
    pub(crate) get_room: Mutex<GetRoomResponse>,
    pub(crate) requests: Mutex<Vec<SendMessageRequest>>,
    pub(crate) list_requests: Mutex<Vec<ListMessagesRequest>>,
    pub(crate) metadata: Mutex<Vec<MetadataMap>>,
}

macro_rules! unimplemented_methods {
    ($($name:ident($request:ty) -> $response:ty;)*) => {
        #[tonic::async_trait]
        impl ChatService for Shared {
            async fn send_message(
                &self,
                request: Request<SendMessageRequest>,
            ) -> Result<Response<SendMessageResponse>, Status> {
                self.0.metadata.lock().unwrap().push(request.metadata().clone());
                self.0.requests.lock().unwrap().push(request.into_inner());
                let answer = self.0.send_message.lock().unwrap().clone();
                match answer {
                    Some(answer) => answer.map(Response::new),
                    None => std::future::pending().await,
                }
            }

            async fn get_room(
                &self,
                _: Request<GetRoomRequest>,
            ) -> Result<Response<GetRoomResponse>, Status> {
                Ok(Response::new(self.0.get_room.lock().unwrap().clone()))
            }

            async fn list_messages(
                &self,
                request: Request<ListMessagesRequest>,
            ) -> Result<Response<ListMessagesResponse>, Status> {
                self.0.list_requests.lock().unwrap().push(request.into_inner());
                Ok(Response::new(ListMessagesResponse::default()))
            }

            $(async fn $name(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                Err(Status::unimplemented("not in this test"))
            })*
        }
    };
}

struct Shared(Arc<Fake>);

unimplemented_methods! {
    create_room(CreateRoomRequest) -> CreateRoomResponse;
    open_direct_room(OpenDirectRoomRequest) -> OpenDirectRoomResponse;
    list_rooms(ListRoomsRequest) -> ListRoomsResponse;
    list_public_rooms(ListPublicRoomsRequest) -> ListPublicRoomsResponse;
    join_room(JoinRoomRequest) -> JoinRoomResponse;
    leave_room(LeaveRoomRequest) -> LeaveRoomResponse;
    add_member(AddMemberRequest) -> AddMemberResponse;
    remove_member(RemoveMemberRequest) -> RemoveMemberResponse;
    set_member_role(SetMemberRoleRequest) -> SetMemberRoleResponse;
    list_members(ListMembersRequest) -> ListMembersResponse;
    edit_message(EditMessageRequest) -> EditMessageResponse;
    delete_message(DeleteMessageRequest) -> DeleteMessageResponse;
    mark_read(MarkReadRequest) -> MarkReadResponse;
    get_unread(GetUnreadRequest) -> GetUnreadResponse;
    send_typing(SendTypingRequest) -> SendTypingResponse;
}

/// The fake behind a socket, and the services that call it as `chat`.
pub(crate) struct Chat {
    pub(crate) fake: Arc<Fake>,
    pub(crate) services: Services,
}

impl Chat {
    pub(crate) async fn spawn() -> Self {
        Self::spawn_with(|_| {}).await
    }

    /// Changes the service's configuration before it is used.
    pub(crate) async fn spawn_with(change: impl FnOnce(&mut Service)) -> Self {
        let fake = Arc::new(Fake::default());
        *fake.send_message.lock().unwrap() = Some(Ok(SendMessageResponse::default()));
        let server = ChatServiceServer::new(Shared(Arc::clone(&fake)));
        let mut service = chat_at(serve(Routes::new(server)).await);
        change(&mut service);
        Self {
            fake,
            services: Services::new(vec![service]).unwrap(),
        }
    }

    pub(crate) fn answer(&self, answer: Result<SendMessageResponse, Status>) {
        *self.fake.send_message.lock().unwrap() = Some(answer);
    }

    /// Calls `chat.SendMessage`.
    pub(crate) async fn send(&self, request: Value) -> Result<Value, CallError> {
        self.json("chat.SendMessage", &request.to_string()).await
    }

    pub(crate) async fn json(&self, method: &str, payload: &str) -> Result<Value, CallError> {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let answer = call(&self.services, method, &payload, PayloadFormat::Json).await?;
        Ok(serde_json::from_slice(&answer).unwrap())
    }

    pub(crate) fn last_request(&self) -> SendMessageRequest {
        self.fake.requests.lock().unwrap().last().unwrap().clone()
    }
}

pub(crate) async fn call(
    services: &Services,
    method: &str,
    payload: &Bytes,
    format: PayloadFormat,
) -> Result<Bytes, CallError> {
    let call = Call {
        method,
        payload,
        format,
        caller: Caller::Client(Client {
            user: "42".to_owned(),
            client: "c1".to_owned(),
        }),
        traceparent: None,
    };
    services.call(call).await
}

/// Serves until the test's runtime ends.
pub(crate) async fn serve(routes: Routes) -> Channel {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = incoming.local_addr().unwrap();
    tokio::spawn(
        Server::builder()
            .add_routes(routes)
            .serve_with_incoming(incoming),
    );
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

pub(crate) fn chat_at(channel: Channel) -> Service {
    Service {
        name: "chat".to_owned(),
        grpc_service: "fanfare.chat.v1.ChatService".to_owned(),
        descriptors: Bytes::from_static(proto::DESCRIPTORS),
        internal_methods: Vec::new(),
        channel,
        shared_key: String::new(),
        timeout: Duration::from_secs(30),
    }
}

/// A request that the service accepts.
pub(crate) fn a_message() -> Value {
    json!({"room_id": "r1", "client_msg_id": "m1", "text": "hello"})
}
