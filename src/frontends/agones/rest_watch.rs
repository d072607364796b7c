//! The watch over HTTP/1.1: chunks of JSON lines, or a WebSocket with one line a text frame.

use super::{
    error::RpcError,
    sdk_server::{GameServerWatch, SdkServer},
};
use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::{SinkExt as _, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::{
    body::Incoming,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, sync::Arc};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Message, Role, WebSocketConfig},
    },
};

/// What a client may send, in bytes: the protocol has no message in this direction.
const MAX_MESSAGE: usize = 4 * 1024;

/// Answers `GET /watch/gameserver`.
pub(crate) fn watch(sdk: &Arc<SdkServer>, mut request: Request<Incoming>) -> Result<Response, RpcError> {
    let key = websocket_key(request.headers())?;
    let watch = sdk.watch()?;
    let Some(key) = key else { return Ok(chunks(watch)) };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(frames(upgrade, watch));
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).expect("base64 is a header's text");
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

/// The key of a WebSocket's handshake; none: the request asks for no WebSocket.
fn websocket_key(headers: &HeaderMap) -> Result<Option<String>, RpcError> {
    let has_token = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    if !has_token(header::CONNECTION, "upgrade") || !has_token(header::UPGRADE, "websocket") {
        return Ok(None);
    }
    if !has_token(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(RpcError::invalid("this WebSocket has version 13"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    key.map(|key| Some(key.to_owned())).ok_or_else(|| RpcError::invalid("Sec-WebSocket-Key is missing"))
}

fn chunks(watch: GameServerWatch) -> Response {
    let lines = stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await.line();
        Some((Ok::<_, Infallible>(line), watch))
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response()
}

async fn frames(upgrade: OnUpgrade, watch: GameServerWatch) {
    match upgrade.await {
        Ok(upgraded) => serve(upgraded, watch).await,
        Err(error) => tracing::debug!(%error, "a WebSocket failed to open"),
    }
}

/// Serves until the client goes. Its pings are answered while it is read.
async fn serve(upgraded: Upgraded, mut watch: GameServerWatch) {
    let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (mut to, mut from) = socket.split();
    loop {
        tokio::select! {
            snapshot = watch.next() => {
                let line = String::from_utf8_lossy(snapshot.line().trim_ascii_end()).into_owned();
                if to.send(Message::text(line)).await.is_err() {
                    return;
                }
            }
            received = from.next() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    let _ = to.close().await;
                    return;
                }
                Some(Ok(_)) => if to.flush().await.is_err() { return },
            },
        }
    }
}
