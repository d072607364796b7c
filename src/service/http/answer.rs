//! One request: find its row, its caller, its body; run it; wait until what it saw and did is
//! durable; answer.

use super::{
    Answer, hosts,
    rate::Hosting,
    reply::{Interrupt, Need, Outcome, Refused, Reply, invalid_body},
    request::{RequestContext, Supplied},
    route::{self, Access, Found, Handler, Row},
};
use crate::{
    model::{
        errors::codes,
        time::{Now, Timestamp},
    },
    net::{self, sse::EVENT_STREAM},
    service::{
        Shared,
        auth::{
            Caller, login,
            secrets::{self, Strength},
            tokens::TokenUse,
        },
        remote_friends,
        state::moment::Moment,
    },
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

type Streamed = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;
pub(crate) type Body = Either<Full<Bytes>, Streamed>;

/// Answers a request of a connection from `peer`.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    peer: Option<IpAddr>,
    request: http::Request<Incoming>,
) -> Response<Body> {
    if let Err(refused) = hosts::check(&shared.settings(), peer, &request) {
        shared.metrics.answered("none", refused.status);
        return refusal(&refused);
    }
    let (parts, body) = request.into_parts();
    let now = shared.clock.now();
    shared.someone_is_here(now.mono);
    let found = shared.router.find(&parts.method, parts.uri.path());
    let (row, path) = match found {
        Found::Row(row, path) => (row, path),
        Found::Nothing => return refused_lost(&shared, parts.uri.path()),
        Found::OtherMethods(methods) => return other_methods(&shared, &methods),
    };
    let prepared = prepare(&shared, row, &path, now, &parts.headers, body).await;
    let outcome = match prepared {
        Ok((caller, body)) => {
            let query = route::query(parts.uri.query());
            let headers = parts.headers;
            let (moment, supplied) = (Moment::new(now), Supplied::default());
            let request = RequestContext { row, caller, path, query, headers, body, peer, moment, supplied };
            carry_out(&shared, request).await
        }
        Err(stop) => Err(stop),
    };
    let response = response(outcome);
    shared.metrics.answered(row.operation, response.status());
    response
}

/// Who asks, whether they may at all, and what they sent.
async fn prepare(
    shared: &Arc<Shared>,
    row: &'static Row,
    path: &[(&'static str, String)],
    now: Now,
    headers: &HeaderMap,
    body: Incoming,
) -> Outcome<(Arc<Caller>, Bytes)> {
    let settings = shared.settings();
    let caller = caller(shared, row, now.wall, headers).await?;
    shared.rate.admit(row, &caller, || hosting(shared, path, &caller), &settings, now.mono)?;
    let limits = &settings.limits;
    let body = net::body::read(body, limits.body.0 as usize, limits.read_timeout.get()).await?;
    Ok((caller, body))
}

/// Whether the caller hosts the session that a path names.
fn hosting(shared: &Shared, path: &[(&'static str, String)], caller: &Caller) -> Hosting {
    let session = path.iter().find(|(name, _)| *name == "session_id");
    session.map_or(Hosting::No, |(_, id)| shared.with_state(|state| state.hosting(id, caller)))
}

/// Where a request comes from; none if nobody knows. A unix socket is this machine. `X-Forwarded-For` counts only from a
/// configured proxy: all its lines are one list, in which the last entry that no proxy of ours added is the caller. An entry
/// there that can't be read is somebody unknown: neither the proxy nor what a caller may have written before it.
pub(crate) fn address(trusted: &[IpAddr], peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
    let peer = connected(peer);
    let ours = |address: IpAddr| is_trusted(trusted, Some(address));
    if !ours(peer) {
        return Some(peer);
    }
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    for hop in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
        let hop = forwarded(hop)?;
        if !ours(hop) {
            return Some(hop);
        }
    }
    Some(peer)
}

/// Whether a connection comes from one of these proxies.
pub(crate) fn is_trusted(trusted: &[IpAddr], peer: Option<IpAddr>) -> bool {
    trusted.iter().any(|proxy| proxy.to_canonical() == connected(peer))
}

fn connected(peer: Option<IpAddr>) -> IpAddr {
    peer.map_or(IpAddr::from([127, 0, 0, 1]), |peer| peer.to_canonical())
}

/// An address, which some proxies write with its port.
fn forwarded(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let address = text.parse().or_else(|_| text.parse::<SocketAddr>().map(|with_port| with_port.ip()));
    Some(address.ok()?.to_canonical())
}

async fn caller(shared: &Arc<Shared>, row: &Row, now: Timestamp, headers: &HeaderMap) -> Outcome<Arc<Caller>> {
    let needed = match row.access {
        Access::Nothing => return Ok(Arc::new(Caller::nobody())),
        Access::Login => None,
        Access::AnyOf(permissions) => Some(permissions),
    };
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .and_then(|value| value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")))
        .map(|(_, token)| token.trim());
    let bad = |desc: &str| Interrupt::from(Refused::new(StatusCode::FORBIDDEN, codes::BAD_TOKEN, desc));
    let token = token.ok_or_else(|| bad("send an access token: Authorization: Bearer …"))?;
    let caller = match shared.tokens.verify(token, TokenUse::Access, now) {
        Some(caller) => Some(caller).filter(|caller| !login::is_revoked(shared, caller)),
        None => shared.of_issuer(token, now).await,
    };
    let caller = caller.ok_or_else(|| bad("the access token is bad or has expired; log in again"))?;
    match needed {
        Some(permissions) if !caller.may(permissions) => {
            Err(super::reply::not_permitted(&format!("do this without one of: session:*, {}", permissions.join(", "))))
        }
        _ => Ok(caller),
    }
}

/// Runs an operation; gets what it needs, and runs it again.
pub(crate) async fn carry_out(shared: &Arc<Shared>, mut request: RequestContext) -> Outcome<Answer> {
    let operation = match request.row.run {
        Handler::Now(operation) => operation,
        Handler::Later(operation) => return operation(shared.clone(), request).await,
    };
    loop {
        let (outcome, seen) = shared.transact(&request.moment, |tx| operation(tx, &request));
        match outcome {
            Err(Interrupt::Needs(need)) if !request.supplied.has(&need) => {
                supply(shared, &mut request, need).await?;
            }
            outcome => {
                shared.commits.wait(seen).await?;
                return outcome.map(Answer::from);
            }
        }
    }
}

/// Gets what an operation can't get while everybody else waits for it.
async fn supply(shared: &Shared, request: &mut RequestContext, need: Need) -> Outcome<()> {
    let supplied = &mut request.supplied;
    match need {
        Need::Verify { hash, password } => {
            let (hashing, subject) = (&shared.hashing, &request.caller.subject);
            hashing.try_password(subject, &hash, request.moment.now.mono)?;
            let compared = hash.clone();
            let good = hashing.password(move || secrets::matches(&password, &compared)).await?;
            if good {
                hashing.right_password(subject, &hash);
            }
            supplied.verified = Some(if good { hash } else { String::new() });
        }
        Need::Hash { password } => {
            let hash = shared.hashing.password(move || secrets::hash(&password, Strength::Chosen)).await?;
            supplied.hashed = Some(hash);
        }
        Need::Friends { player } => {
            let friends = shared.friends_of(player).await;
            supplied.friends = Some(remote_friends::Found { player, friends });
        }
    }
    Ok(())
}

fn refused_lost(shared: &Shared, path: &str) -> Response<Body> {
    shared.metrics.answered("none", StatusCode::NOT_FOUND);
    let desc = format!("there is nothing at {path:?}");
    response(Err(super::reply::not_found(codes::NOT_FOUND, desc)))
}

fn other_methods(shared: &Shared, methods: &[&'static http::Method]) -> Response<Body> {
    shared.metrics.answered("none", StatusCode::METHOD_NOT_ALLOWED);
    let allowed = methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
    let desc = format!("allowed here: {allowed}");
    let refused = Refused::new(StatusCode::METHOD_NOT_ALLOWED, codes::METHOD_NOT_ALLOWED, desc);
    let mut response = response(Err(refused.into()));
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

fn response(outcome: Outcome<Answer>) -> Response<Body> {
    let reply = match outcome {
        Ok(Answer::Reply(reply)) => reply,
        Ok(Answer::Events(stream)) => return event_stream(stream),
        Err(Interrupt::Refused(refused)) => return refusal(&refused),
        Err(Interrupt::Invalid(faults)) => {
            Reply { status: StatusCode::UNPROCESSABLE_ENTITY, ..Reply::json(&invalid_body(&faults)) }
        }
        Err(Interrupt::Needs(_)) => {
            let why = "an operation asked for the same work twice";
            return refusal(&Refused::new(StatusCode::INTERNAL_SERVER_ERROR, codes::INTERNAL, why));
        }
    };
    build(reply)
}

fn refusal(refused: &Refused) -> Response<Body> {
    net::error::response::<Full<Bytes>>(refused).map(Either::Left)
}

fn build(reply: Reply) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(reply.body)));
    *response.status_mut() = reply.status;
    if !reply.content_type.is_empty() {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    }
    if let Some(etag) = reply.etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

fn event_stream(stream: futures_util::stream::BoxStream<'static, Result<Bytes, Infallible>>) -> Response<Body> {
    use futures_util::StreamExt;
    let body = StreamBody::new(stream.map(|chunk| chunk.map(Frame::data))).boxed_unsync();
    let mut response = Response::new(Either::Right(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Service, ServiceSettings, state::testing};
    use futures_util::FutureExt;

    #[test]
    fn a_caller_behind_proxies_is_the_last_entry_that_none_of_them_added() {
        /// The peer, its header lines, and who is found.
        type Row<'a> = (Option<IpAddr>, &'a [&'a [u8]], Option<&'a str>);
        let trusted = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        let (ours, other) = (Some(trusted[0]), Some(IpAddr::from([203, 0, 113, 5])));
        let mapped = Some("::ffff:10.0.0.1".parse().unwrap());
        let rows: &[Row<'_>] = &[
            (other, &[b"9.9.9.9"], Some("203.0.113.5")),
            (ours, &[], Some("10.0.0.1")),
            (ours, &[b"9.9.9.9"], Some("9.9.9.9")),
            (mapped, &[b"9.9.9.9"], Some("9.9.9.9")),
            (ours, &[b"6.6.6.6, 9.9.9.9, 10.0.0.2"], Some("9.9.9.9")),
            (ours, &[b"6.6.6.6", b"9.9.9.9"], Some("9.9.9.9")),
            (ours, &[b"6.6.6.6, 7.7.7.7", b"9.9.9.9 , 10.0.0.2", b"10.0.0.1"], Some("9.9.9.9")),
            (ours, &[b"6.6.6.6", b"caf\xe9"], None),
            (ours, &[b"6.6.6.6, unknown, 10.0.0.2"], None),
            (ours, &[b""], None),
            (ours, &[b"10.0.0.2"], Some("10.0.0.1")),
            (ours, &[b"9.9.9.9:4711"], Some("9.9.9.9")),
            (ours, &[b"[2001:db8::7]:4711"], Some("2001:db8::7")),
            (ours, &[b"::ffff:9.9.9.9"], Some("9.9.9.9")),
        ];
        for (peer, lines, expected) in rows {
            let mut headers = HeaderMap::new();
            for line in *lines {
                headers.append("x-forwarded-for", HeaderValue::from_bytes(line).unwrap());
            }
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(address(&trusted, *peer, &headers), expected, "{peer:?} {lines:?}");
        }
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_drops_no_commit() {
        let dir = tempfile::tempdir().unwrap();
        let shared = Service::open(ServiceSettings::default(), dir.path()).unwrap().shared;
        let Found::Row(row, path) = shared.router.find(&http::Method::POST, "/session/v1/session") else {
            panic!("no row")
        };
        let body = r#"{"client_version": "1.0.0", "client_settings": {"input": "touch"}, "session_type": "default"}"#;
        let request = RequestContext {
            row,
            caller: Arc::new(testing::player("ann")),
            path,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: body.into(),
            peer: None,
            moment: shared.moment(),
            supplied: Supplied::default(),
        };
        let mut answering = Box::pin(carry_out(&shared, request));
        // Nobody wakes those who wait for the disk here.
        assert!(answering.as_mut().now_or_never().is_none());
        drop(answering);
        shared.with_state(crate::service::state::State::finish);
        drop(shared);
        let again = Service::open(ServiceSettings::default(), dir.path()).unwrap().shared;
        assert_eq!(again.with_state(|state| state.session_count()), 1);
    }
}
