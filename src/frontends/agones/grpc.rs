//! The gRPC wire: a path a procedure, each with what it reads, does and answers. A GameServer goes
//! out as the bytes that its snapshot has written once.

use super::{
    counters_lists::ListParts,
    error::{Code, RpcError},
    proto,
    sdk_server::{GameServerWatch, SdkServer},
};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::{MethodRouter, post},
};
use bytes::{BufMut as _, Bytes};
use futures_util::{StreamExt as _, stream};
use hyper::body::Incoming;
use prost::Message;
use proto::Empty;
use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};
use tonic::{
    Status, Streaming,
    codec::{Codec, EncodeBuf, Encoder},
    server::Grpc,
};
use tonic_prost::ProstCodec;
use tower::{ServiceExt as _, service_fn};

/// The longest message, in bytes.
const MAX_MESSAGE: usize = 256 * 1024;

type Sdk = Arc<SdkServer>;

/// Every procedure.
pub(crate) fn router(sdk: Sdk) -> Router {
    let stable = |name: &str| format!("/agones.dev.sdk.SDK/{name}");
    let router = Router::new()
        .route(&stable("Ready"), unary(|sdk: Sdk, _: Empty| async move { sdk.ready().await.map(empty) }))
        .route(&stable("Allocate"), unary(|sdk: Sdk, _: Empty| async move { sdk.allocate().await.map(empty) }))
        .route(&stable("Shutdown"), unary(|sdk: Sdk, _: Empty| async move { sdk.shutdown().await.map(empty) }))
        .route(&stable("Health"), post(health))
        .route(&stable("GetGameServer"), post(game_server))
        .route(&stable("WatchGameServer"), post(watch))
        .route(
            &stable("SetLabel"),
            unary(|sdk: Sdk, it: proto::KeyValue| async move { sdk.label(&it.key, &it.value).await.map(empty) }),
        )
        .route(
            &stable("SetAnnotation"),
            unary(|sdk: Sdk, it: proto::KeyValue| async move { sdk.annotate(&it.key, &it.value).await.map(empty) }),
        )
        .route(
            &stable("Reserve"),
            unary(|sdk: Sdk, it: proto::Duration| async move { sdk.reserve(it.seconds).await.map(empty) }),
        );
    beta(alpha(router)).fallback(unknown).with_state(sdk)
}

fn alpha(router: Router<Sdk>) -> Router<Sdk> {
    let alpha = |name: &str| format!("/agones.dev.sdk.alpha.SDK/{name}");
    let bool = |bool| proto::Bool { bool };
    router
        .route(
            &alpha("PlayerConnect"),
            unary(move |sdk: Sdk, it: proto::PlayerId| async move { sdk.connect(&it.player_id).await.map(bool) }),
        )
        .route(
            &alpha("PlayerDisconnect"),
            unary(move |sdk: Sdk, it: proto::PlayerId| async move { sdk.disconnect(&it.player_id).await.map(bool) }),
        )
        .route(
            &alpha("SetPlayerCapacity"),
            unary(|sdk: Sdk, it: proto::Count| async move { sdk.set_player_capacity(it.count).await.map(empty) }),
        )
        .route(
            &alpha("GetPlayerCapacity"),
            unary(|sdk: Sdk, _: Empty| async move { Ok(proto::Count { count: sdk.player_capacity() }) }),
        )
        .route(
            &alpha("GetPlayerCount"),
            unary(|sdk: Sdk, _: Empty| async move { Ok(proto::Count { count: sdk.players().len() as i64 }) }),
        )
        .route(
            &alpha("IsPlayerConnected"),
            unary(move |sdk: Sdk, it: proto::PlayerId| async move { Ok(bool(sdk.players().contains(&it.player_id))) }),
        )
        .route(
            &alpha("GetConnectedPlayers"),
            unary(|sdk: Sdk, _: Empty| async move { Ok(proto::PlayerIdList { list: sdk.players() }) }),
        )
}

fn beta(router: Router<Sdk>) -> Router<Sdk> {
    let beta = |name: &str| format!("/agones.dev.sdk.beta.SDK/{name}");
    router
        .route(&beta("GetCounter"), unary(|sdk: Sdk, it: proto::Name| async move { sdk.counter(&it.name) }))
        .route(
            &beta("UpdateCounter"),
            unary(|sdk: Sdk, it: proto::UpdateCounter| async move {
                let update = it.update.ok_or_else(|| RpcError::invalid("counterUpdateRequest is missing"))?;
                sdk.update_counter(&update).await
            }),
        )
        .route(&beta("GetList"), unary(|sdk: Sdk, it: proto::Name| async move { sdk.list(&it.name) }))
        .route(
            &beta("UpdateList"),
            unary(|sdk: Sdk, it: proto::UpdateList| async move {
                let list = it.list.ok_or_else(|| RpcError::invalid("list is missing"))?;
                let parts = ListParts::from_mask(&it.update_mask.unwrap_or_default().paths)?;
                sdk.update_list(&list, parts).await
            }),
        )
        .route(
            &beta("AddListValue"),
            unary(|sdk: Sdk, it: proto::ListValue| async move { sdk.add_value(&it.name, &it.value).await }),
        )
        .route(
            &beta("RemoveListValue"),
            unary(|sdk: Sdk, it: proto::ListValue| async move { sdk.remove_value(&it.name, &it.value).await }),
        )
}

/// Answers one request.
pub(crate) async fn answer(router: Router, request: Request<Incoming>) -> Response {
    router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never: Infallible| match never {})
}

fn empty((): ()) -> Empty {
    Empty {}
}

fn codec<Out, In>() -> Grpc<ProstCodec<Out, In>>
where
    Out: Message + Send + 'static,
    In: Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(MAX_MESSAGE)
}

/// One message in, one out.
fn unary<In, Out, F, Fut>(carry_out: F) -> MethodRouter<Sdk>
where
    In: Message + Default + Send + Sync + 'static,
    Out: Message + Default + Send + Sync + 'static,
    F: Fn(Sdk, In) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Out, RpcError>> + Send + 'static,
{
    post(move |State(sdk): State<Sdk>, request: Request| {
        let service = service_fn(move |request: tonic::Request<In>| {
            let answer = carry_out(Arc::clone(&sdk), request.into_inner());
            async move { answer.await.map(tonic::Response::new).map_err(Status::from) }
        });
        async move { codec::<Out, In>().unary(service, request).await.map(Body::new) }
    })
}

/// Pings for as long as the game sends them.
async fn health(State(sdk): State<Sdk>, request: Request) -> Response {
    let service = service_fn(move |request: tonic::Request<Streaming<Empty>>| {
        let sdk = Arc::clone(&sdk);
        async move {
            let mut pings = request.into_inner();
            while pings.message().await?.is_some() {
                sdk.ping().await?;
            }
            Ok::<_, Status>(tonic::Response::new(Empty {}))
        }
    });
    codec::<Empty, Empty>().client_streaming(service, request).await.map(Body::new)
}

async fn game_server(State(sdk): State<Sdk>, request: Request) -> Response {
    let service = service_fn(move |_: tonic::Request<Empty>| {
        let message = sdk.snapshot().protobuf();
        async move { Ok::<_, Status>(tonic::Response::new(message)) }
    });
    Grpc::new(GameServerCodec).max_decoding_message_size(MAX_MESSAGE).unary(service, request).await.map(Body::new)
}

type GameServers = Pin<Box<dyn stream::Stream<Item = Result<Bytes, Status>> + Send>>;

async fn watch(State(sdk): State<Sdk>, request: Request) -> Response {
    let service = service_fn(move |_: tonic::Request<Empty>| {
        let watch = sdk.watch();
        async move { Ok::<_, Status>(tonic::Response::new(game_servers(watch?))) }
    });
    let mut grpc = Grpc::new(GameServerCodec).max_decoding_message_size(MAX_MESSAGE);
    grpc.server_streaming(service, request).await.map(Body::new)
}

fn game_servers(watch: GameServerWatch) -> GameServers {
    let messages = stream::unfold(watch, |mut watch| async move {
        let message = watch.next().await.protobuf();
        Some((Ok(message), watch))
    });
    messages.boxed()
}

/// Sends messages that are encoded already, and reads the empty one.
#[derive(Debug, Clone, Copy, Default)]
struct GameServerCodec;

impl Codec for GameServerCodec {
    type Encode = Bytes;
    type Decode = Empty;
    type Encoder = Encoded;
    type Decoder = <ProstCodec<Empty, Empty> as Codec>::Decoder;

    fn encoder(&mut self) -> Encoded {
        Encoded
    }
    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<Empty, Empty>::default().decoder()
    }
}

#[derive(Debug)]
struct Encoded;

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

async fn unknown(request: Request) -> Response {
    let message = format!("there is no {} in the Agones SDK", request.uri().path());
    Status::from(RpcError::new(Code::Unimplemented, message)).into_http()
}
