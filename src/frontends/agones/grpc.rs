//! The gRPC wire: a path a procedure, each with what it reads, does and answers.

use super::{
    desk::{Desk, Watch},
    fault::{Code, Fault},
    proto,
    tallies::ListParts,
};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::{MethodRouter, post},
};
use futures_util::{StreamExt as _, stream};
use hyper::body::Incoming;
use prost::Message;
use proto::Empty;
use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};
use tonic::{Status, Streaming, server::Grpc};
use tonic_prost::ProstCodec;
use tower::{ServiceExt as _, service_fn};

/// The longest message, in bytes.
const MAX_MESSAGE: usize = 256 * 1024;

type Desks = Arc<Desk>;

/// Every procedure.
pub fn router(desk: Desks) -> Router {
    let stable = |name: &str| format!("/agones.dev.sdk.SDK/{name}");
    let router = Router::new()
        .route(&stable("Ready"), unary(|desk: Desks, _: Empty| async move { desk.ready().await.map(empty) }))
        .route(&stable("Allocate"), unary(|desk: Desks, _: Empty| async move { desk.allocate().await.map(empty) }))
        .route(&stable("Shutdown"), unary(|desk: Desks, _: Empty| async move { desk.shutdown().await.map(empty) }))
        .route(&stable("Health"), post(health))
        .route(&stable("GetGameServer"), unary(|desk: Desks, _: Empty| async move { Ok(desk.look().server.clone()) }))
        .route(&stable("WatchGameServer"), post(watch))
        .route(
            &stable("SetLabel"),
            unary(|desk: Desks, it: proto::KeyValue| async move { desk.label(&it.key, &it.value).await.map(empty) }),
        )
        .route(
            &stable("SetAnnotation"),
            unary(|desk: Desks, it: proto::KeyValue| async move { desk.annotate(&it.key, &it.value).await.map(empty) }),
        )
        .route(
            &stable("Reserve"),
            unary(|desk: Desks, it: proto::Duration| async move { desk.reserve(it.seconds).await.map(empty) }),
        );
    beta(alpha(router)).fallback(unknown).with_state(desk)
}

fn alpha(router: Router<Desks>) -> Router<Desks> {
    let alpha = |name: &str| format!("/agones.dev.sdk.alpha.SDK/{name}");
    let bool = |bool| proto::Bool { bool };
    router
        .route(
            &alpha("PlayerConnect"),
            unary(move |desk: Desks, it: proto::PlayerId| async move { desk.connect(&it.player_id).await.map(bool) }),
        )
        .route(
            &alpha("PlayerDisconnect"),
            unary(
                move |desk: Desks, it: proto::PlayerId| async move { desk.disconnect(&it.player_id).await.map(bool) },
            ),
        )
        .route(
            &alpha("SetPlayerCapacity"),
            unary(|desk: Desks, it: proto::Count| async move { desk.set_player_capacity(it.count).await.map(empty) }),
        )
        .route(
            &alpha("GetPlayerCapacity"),
            unary(|desk: Desks, _: Empty| async move { Ok(proto::Count { count: desk.player_capacity() }) }),
        )
        .route(
            &alpha("GetPlayerCount"),
            unary(|desk: Desks, _: Empty| async move { Ok(proto::Count { count: desk.players().len() as i64 }) }),
        )
        .route(
            &alpha("IsPlayerConnected"),
            unary(
                move |desk: Desks, it: proto::PlayerId| async move { Ok(bool(desk.players().contains(&it.player_id))) },
            ),
        )
        .route(
            &alpha("GetConnectedPlayers"),
            unary(|desk: Desks, _: Empty| async move { Ok(proto::PlayerIdList { list: desk.players() }) }),
        )
}

fn beta(router: Router<Desks>) -> Router<Desks> {
    let beta = |name: &str| format!("/agones.dev.sdk.beta.SDK/{name}");
    router
        .route(&beta("GetCounter"), unary(|desk: Desks, it: proto::Name| async move { desk.counter(&it.name) }))
        .route(
            &beta("UpdateCounter"),
            unary(|desk: Desks, it: proto::UpdateCounter| async move {
                let update = it.update.ok_or_else(|| Fault::invalid("counterUpdateRequest is missing"))?;
                desk.update_counter(&update).await
            }),
        )
        .route(&beta("GetList"), unary(|desk: Desks, it: proto::Name| async move { desk.list(&it.name) }))
        .route(
            &beta("UpdateList"),
            unary(|desk: Desks, it: proto::UpdateList| async move {
                let list = it.list.ok_or_else(|| Fault::invalid("list is missing"))?;
                let parts = ListParts::of(&it.update_mask.unwrap_or_default().paths)?;
                desk.update_list(&list, parts).await
            }),
        )
        .route(
            &beta("AddListValue"),
            unary(|desk: Desks, it: proto::ListValue| async move { desk.add_value(&it.name, &it.value).await }),
        )
        .route(
            &beta("RemoveListValue"),
            unary(|desk: Desks, it: proto::ListValue| async move { desk.remove_value(&it.name, &it.value).await }),
        )
}

/// Answers one request.
pub async fn answer(router: Router, request: Request<Incoming>) -> Response {
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
fn unary<In, Out, F, Fut>(carry_out: F) -> MethodRouter<Desks>
where
    In: Message + Default + Send + Sync + 'static,
    Out: Message + Default + Send + Sync + 'static,
    F: Fn(Desks, In) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Out, Fault>> + Send + 'static,
{
    post(move |State(desk): State<Desks>, request: Request| {
        let service = service_fn(move |request: tonic::Request<In>| {
            let answer = carry_out(Arc::clone(&desk), request.into_inner());
            async move { answer.await.map(tonic::Response::new).map_err(Status::from) }
        });
        async move { codec::<Out, In>().unary(service, request).await.map(Body::new) }
    })
}

/// Pings for as long as the game sends them.
async fn health(State(desk): State<Desks>, request: Request) -> Response {
    let service = service_fn(move |request: tonic::Request<Streaming<Empty>>| {
        let desk = Arc::clone(&desk);
        async move {
            let mut pings = request.into_inner();
            while pings.message().await?.is_some() {
                desk.ping().await?;
            }
            Ok::<_, Status>(tonic::Response::new(Empty {}))
        }
    });
    codec::<Empty, Empty>().client_streaming(service, request).await.map(Body::new)
}

type Servers = Pin<Box<dyn stream::Stream<Item = Result<proto::GameServer, Status>> + Send>>;

async fn watch(State(desk): State<Desks>, request: Request) -> Response {
    let service = service_fn(move |_: tonic::Request<Empty>| {
        let watch = desk.watch();
        async move { Ok::<_, Status>(tonic::Response::new(servers(watch?))) }
    });
    codec::<proto::GameServer, Empty>().server_streaming(service, request).await.map(Body::new)
}

fn servers(watch: Watch) -> Servers {
    let servers = stream::unfold(watch, |mut watch| async move {
        let server = watch.next().await.server.clone();
        Some((server, watch))
    });
    servers.map(Ok).boxed()
}

async fn unknown(request: Request) -> Response {
    let message = format!("there is no {} in the Agones SDK", request.uri().path());
    Status::from(Fault::new(Code::Unimplemented, message)).into_http()
}
