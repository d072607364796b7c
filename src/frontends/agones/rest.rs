//! The REST wire: routes, bodies, answers, as a gRPC gateway has them.
//!
//! | request | answer |
//! |---|---|
//! | an unknown path; a known one with another verb | 404 with code 5; 501 with code 12 |
//! | a body that can't be read | 400 with code 3 |
//! | anything else that is refused | the code of the protocol, and the status that goes with it |

use super::{
    error::{Code, RpcError},
    json, rest_watch,
    sdk_server::SdkServer,
};
use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// The longest body, in bytes.
const MAX_BODY: usize = 256 * 1024;
/// A body that takes longer to arrive is given up. Pings are an exception: they may come one by one for as long as the game
/// lives.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Ready,
    Allocate,
    Shutdown,
    Health,
    Reserve,
    GameServer,
    Watch,
    Label,
    Annotation,
    PlayerConnect,
    PlayerDisconnect,
    SetPlayerCapacity,
    PlayerCapacity,
    PlayerCount,
    IsPlayerConnected(String),
    ConnectedPlayers,
    Counter(String),
    UpdateCounter(String),
    List(String),
    UpdateList(String),
    AddValue(String),
    RemoveValue(String),
}

/// Finds the route, or the error that a gateway answers.
pub(crate) fn find(method: &Method, path: &str) -> Result<Route, RpcError> {
    let routes = match fixed(path) {
        Some(routes) => routes,
        None => named(path)?,
    };
    if routes.is_empty() {
        return Err(RpcError::new(Code::NotFound, format!("there is no {path} in the Agones SDK")));
    }
    let found = routes.into_iter().find(|(verb, _)| verb == method);
    found
        .map(|(_, route)| route)
        .ok_or_else(|| RpcError::new(Code::Unimplemented, format!("{path} has another verb than {method}")))
}

/// The routes of a path without a name in it.
fn fixed(path: &str) -> Option<Vec<(Method, Route)>> {
    let routes = match path {
        "/ready" => vec![(Method::POST, Route::Ready)],
        "/allocate" => vec![(Method::POST, Route::Allocate)],
        "/shutdown" => vec![(Method::POST, Route::Shutdown)],
        "/health" => vec![(Method::POST, Route::Health)],
        "/reserve" => vec![(Method::POST, Route::Reserve)],
        "/gameserver" => vec![(Method::GET, Route::GameServer)],
        "/watch/gameserver" => vec![(Method::GET, Route::Watch)],
        "/metadata/label" => vec![(Method::PUT, Route::Label)],
        "/metadata/annotation" => vec![(Method::PUT, Route::Annotation)],
        "/alpha/player/connect" => vec![(Method::POST, Route::PlayerConnect)],
        "/alpha/player/disconnect" => vec![(Method::POST, Route::PlayerDisconnect)],
        "/alpha/player/capacity" => vec![(Method::PUT, Route::SetPlayerCapacity), (Method::GET, Route::PlayerCapacity)],
        "/alpha/player/count" => vec![(Method::GET, Route::PlayerCount)],
        "/alpha/player/connected" => vec![(Method::GET, Route::ConnectedPlayers)],
        _ => return None,
    };
    Some(routes)
}

/// The routes of a path with a name in it; empty: there is none.
fn named(path: &str) -> Result<Vec<(Method, Route)>, RpcError> {
    let decoded = |text: &str| match percent_decode_str(text).decode_utf8() {
        Ok(name) => Ok(name.into_owned()),
        Err(_) => Err(RpcError::invalid(format!("{path} isn't UTF-8"))),
    };
    let below = |parent: &str| path.strip_prefix(parent).filter(|rest| !rest.is_empty() && !rest.contains('/'));
    if let Some(id) = below("/alpha/player/connected/") {
        return Ok(vec![(Method::GET, Route::IsPlayerConnected(decoded(id)?))]);
    }
    if let Some(name) = below("/v1beta1/counters/") {
        let name = decoded(name)?;
        return Ok(vec![(Method::GET, Route::Counter(name.clone())), (Method::PATCH, Route::UpdateCounter(name))]);
    }
    let Some(name) = below("/v1beta1/lists/") else { return Ok(Vec::new()) };
    if let Some(name) = name.strip_suffix(":addValue") {
        return Ok(vec![(Method::POST, Route::AddValue(decoded(name)?))]);
    }
    if let Some(name) = name.strip_suffix(":removeValue") {
        return Ok(vec![(Method::POST, Route::RemoveValue(decoded(name)?))]);
    }
    let name = decoded(name)?;
    Ok(vec![(Method::GET, Route::List(name.clone())), (Method::PATCH, Route::UpdateList(name))])
}

/// Answers one request.
pub(crate) async fn answer(sdk: Arc<SdkServer>, request: Request<Incoming>) -> Response {
    // The call that comes thousands of times a second.
    if request.uri().path() == "/gameserver" && request.method() == Method::GET {
        return page(sdk.snapshot().json());
    }
    handle(&sdk, request).await.unwrap_or_else(|error| refusal(&error))
}

async fn handle(sdk: &Arc<SdkServer>, request: Request<Incoming>) -> Result<Response, RpcError> {
    match find(request.method(), request.uri().path())? {
        Route::Watch => rest_watch::watch(sdk, request),
        Route::Health => pings(sdk, request.into_body()).await,
        route => {
            let mask = update_mask(request.uri());
            let body = read(request.into_body()).await?;
            carry_out(sdk, route, &body, &mask).await.map(|value| page(value.to_string().into()))
        }
    }
}

/// Any object; what is in it doesn't matter.
type Anything = serde_json::Map<String, Value>;

/// The paths that the query's `updateMask` names.
fn update_mask(uri: &Uri) -> Vec<String> {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let masks = pairs.filter(|(key, _)| key == "updateMask" || key == "update_mask");
    let paths = masks.flat_map(|(_, mask)| mask.split(',').map(|path| path.trim().to_owned()).collect::<Vec<_>>());
    paths.filter(|path| !path.is_empty()).collect()
}

async fn carry_out(sdk: &SdkServer, route: Route, body: &[u8], mask: &[String]) -> Result<Value, RpcError> {
    match route {
        Route::Ready => object(body).map(|()| sdk.ready())?.await.map(empty),
        Route::Allocate => object(body).map(|()| sdk.allocate())?.await.map(empty),
        Route::Shutdown => object(body).map(|()| sdk.shutdown())?.await.map(empty),
        Route::Reserve => {
            let seconds = json::parse::<json::Seconds>(body)?.seconds;
            sdk.reserve(seconds.map_or(0, |seconds| seconds.0)).await.map(empty)
        }
        Route::Label => {
            let json::KeyValue { key, value } = json::parse(body)?;
            sdk.label(&key, &value).await.map(empty)
        }
        Route::Annotation => {
            let json::KeyValue { key, value } = json::parse(body)?;
            sdk.annotate(&key, &value).await.map(empty)
        }
        Route::PlayerConnect => sdk.connect(&json::parse::<json::PlayerId>(body)?.player_id).await.map(bool),
        Route::PlayerDisconnect => sdk.disconnect(&json::parse::<json::PlayerId>(body)?.player_id).await.map(bool),
        Route::SetPlayerCapacity => {
            let count = json::parse::<json::Count>(body)?.count.map_or(0, |count| count.0);
            sdk.set_player_capacity(count).await.map(empty)
        }
        Route::PlayerCapacity => Ok(json::count(sdk.player_capacity())),
        Route::PlayerCount => Ok(json::count(sdk.players().len() as i64)),
        Route::IsPlayerConnected(id) => Ok(bool(sdk.players().contains(&id))),
        Route::ConnectedPlayers => Ok(json!({ "list": sdk.players() })),
        Route::Counter(name) => sdk.counter(&name).map(|counter| json::counter(&counter)),
        Route::UpdateCounter(name) => {
            let update = json::parse::<json::CounterUpdate>(body)?.named(name);
            sdk.update_counter(&update).await.map(|counter| json::counter(&counter))
        }
        Route::List(name) => sdk.list(&name).map(|list| json::list(&list)),
        Route::UpdateList(name) => {
            let (list, parts) = json::parse::<json::ListUpdate>(body)?.named(name, mask)?;
            sdk.update_list(&list, parts).await.map(|list| json::list(&list))
        }
        Route::AddValue(name) => {
            let value = json::parse::<json::ListValue>(body)?.value;
            sdk.add_value(&name, &value).await.map(|list| json::list(&list))
        }
        Route::RemoveValue(name) => {
            let value = json::parse::<json::ListValue>(body)?.value;
            sdk.remove_value(&name, &value).await.map(|list| json::list(&list))
        }
        Route::GameServer => Ok(json::game_server(&sdk.snapshot().game_server)),
        // Answered in `handle`.
        Route::Watch | Route::Health => Ok(json!({})),
    }
}

/// Reads a body that has to be an object, whatever is in it.
fn object(body: &[u8]) -> Result<(), RpcError> {
    json::parse::<Anything>(body).map(drop)
}

fn empty((): ()) -> Value {
    json!({})
}

fn bool(bool: bool) -> Value {
    json!({ "bool": bool })
}

async fn read(body: Incoming) -> Result<Bytes, RpcError> {
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(RpcError::invalid(format!("the body can't be read (at most {MAX_BODY} bytes): {error}"))),
        Err(_) => Err(RpcError::invalid("the body took too long to arrive")),
    }
}

/// One ping for each object of the body, when it arrives.
async fn pings(sdk: &SdkServer, mut body: Incoming) -> Result<Response, RpcError> {
    let mut unread = BytesMut::new();
    let mut pings = 0_u64;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| RpcError::invalid(format!("the body was cut off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if unread.len() + data.len() > MAX_BODY {
            return Err(RpcError::invalid(format!("more than {MAX_BODY} bytes at a time")));
        }
        unread.extend_from_slice(&data);
        for _ in 0..objects(&mut unread)? {
            sdk.ping().await?;
            pings += 1;
        }
    }
    if !unread.trim_ascii().is_empty() {
        return Err(RpcError::invalid("the body ends within an object"));
    }
    if pings == 0 {
        return Err(RpcError::invalid("the body is empty; a ping is {}"));
    }
    Ok(page(Bytes::from_static(b"{}")))
}

/// Takes the whole objects from the front, and counts them.
fn objects(unread: &mut BytesMut) -> Result<usize, RpcError> {
    // What nearly every client sends.
    if unread.trim_ascii() == b"{}" {
        unread.clear();
        return Ok(1);
    }
    let mut stream = serde_json::Deserializer::from_slice(unread).into_iter::<Anything>();
    let mut count = 0;
    let read = loop {
        match stream.next() {
            Some(Ok(_)) => count += 1,
            None => break stream.byte_offset(),
            Some(Err(error)) if error.is_eof() => break stream.byte_offset(),
            Some(Err(error)) => return Err(RpcError::invalid(format!("the body can't be read: {error}"))),
        }
    };
    let _ = unread.split_to(read);
    Ok(count)
}

fn page(body: Bytes) -> Response {
    let json = HeaderValue::from_static("application/json");
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn refusal(error: &RpcError) -> Response {
    (error.code.http(), [(header::CONTENT_TYPE, "application/json")], error.json()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_by_its_own_verb_and_path_alone() {
        let table = [
            ("POST", "/ready", Route::Ready),
            ("POST", "/allocate", Route::Allocate),
            ("POST", "/shutdown", Route::Shutdown),
            ("POST", "/health", Route::Health),
            ("POST", "/reserve", Route::Reserve),
            ("GET", "/gameserver", Route::GameServer),
            ("GET", "/watch/gameserver", Route::Watch),
            ("PUT", "/metadata/label", Route::Label),
            ("PUT", "/metadata/annotation", Route::Annotation),
            ("POST", "/alpha/player/connect", Route::PlayerConnect),
            ("POST", "/alpha/player/disconnect", Route::PlayerDisconnect),
            ("PUT", "/alpha/player/capacity", Route::SetPlayerCapacity),
            ("GET", "/alpha/player/capacity", Route::PlayerCapacity),
            ("GET", "/alpha/player/count", Route::PlayerCount),
            ("GET", "/alpha/player/connected/a%20b", Route::IsPlayerConnected("a b".into())),
            ("GET", "/alpha/player/connected", Route::ConnectedPlayers),
            ("GET", "/v1beta1/counters/rooms", Route::Counter("rooms".into())),
            ("PATCH", "/v1beta1/counters/rooms", Route::UpdateCounter("rooms".into())),
            ("GET", "/v1beta1/lists/players", Route::List("players".into())),
            ("PATCH", "/v1beta1/lists/players", Route::UpdateList("players".into())),
            ("POST", "/v1beta1/lists/players:addValue", Route::AddValue("players".into())),
            ("POST", "/v1beta1/lists/players:removeValue", Route::RemoveValue("players".into())),
        ];
        for (verb, path, route) in &table {
            assert_eq!(find(&verb.parse().unwrap(), path).as_ref(), Ok(route), "{verb} {path}");
            let others = table.iter().filter(|(_, other, _)| other == path).count();
            assert!(others <= 2);
            assert_eq!(find(&Method::DELETE, path).unwrap_err().code, Code::Unimplemented, "{path}");
        }
        for path in ["/", "/ready/", "/v1beta1/lists/", "/v1beta1/lists/a/b", "/beta/counters/rooms", "/gameserver/x"] {
            assert_eq!(find(&Method::GET, path).unwrap_err().code, Code::NotFound, "{path}");
        }
        assert_eq!(find(&Method::GET, "/v1beta1/lists/%ff").unwrap_err().code, Code::InvalidArgument);
    }

    #[test]
    fn the_mask_of_a_query_may_be_one_text_or_several() {
        let mask = |uri: &str| update_mask(&uri.parse().unwrap());
        assert_eq!(mask("/v1beta1/lists/x?updateMask=capacity"), ["capacity"]);
        assert_eq!(mask("/v1beta1/lists/x?update_mask=capacity,values"), ["capacity", "values"]);
        assert_eq!(
            mask("/v1beta1/lists/x?updateMask=capacity%2Cname&updateMask=values&a=b"),
            ["capacity", "name", "values"]
        );
        assert_eq!(mask("/v1beta1/lists/x?updateMask="), [""; 0]);
        assert_eq!(mask("/v1beta1/lists/x"), [""; 0]);
    }

    #[test]
    fn pings_are_counted_as_they_arrive() {
        let count = |text: &str| {
            let mut unread = BytesMut::from(text);
            objects(&mut unread).map(|count| (count, String::from_utf8(unread.to_vec()).unwrap()))
        };
        assert_eq!(count("{}{} {\"a\":1}\n{"), Ok((3, "{".to_owned())));
        assert_eq!(count(""), Ok((0, String::new())));
        assert!(count("{}x").is_err());
        assert!(count("[]").is_err());
    }
}
