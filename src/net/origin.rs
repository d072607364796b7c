//! `Host` and `Origin`: what keeps web pages out.
//!
//! A web page that somebody opens on the same machine could reach a loopback port (DNS rebinding,
//! forms). So on TCP the `Host` must name the loopback, and a request with an `Origin` is refused
//! everywhere: no browser has business here. One client that is none sends an `Origin` all the
//! same: Unreal's WebSocket, which always names the loopback; so a WebSocket with such an `Origin`
//! is let in where the listener takes it ([`OriginCheck::LoopbackSocket`]).

use super::Listener;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use std::net::IpAddr;

/// Which requests a listener takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OriginCheck {
    /// Those that name the loopback as their host and come from no web page.
    Loopback,
    /// The same, and WebSockets whose `Origin` is the loopback.
    LoopbackSocket,
    /// Those that come from no web page.
    NoBrowser,
}

/// A request that looks like a web page's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginError {
    #[error("the Host header must name the loopback (127.0.0.1, [::1] or localhost), found {found:?}")]
    ForeignHost { found: String },
    #[error("the Host header must name a host that http.allowed_hosts lists, found {found:?}")]
    UnknownHost { found: String },
    #[error("requests of web pages (with an Origin) are refused")]
    Browser,
}

impl OriginCheck {
    /// What fits a listener of this machine.
    pub(crate) fn of(listener: &Listener) -> Self {
        match listener {
            Listener::Tcp(_) => OriginCheck::Loopback,
            Listener::Unix(_) => OriginCheck::NoBrowser,
        }
    }

    pub(crate) fn check<B>(self, request: &Request<B>) -> Result<(), OriginError> {
        match self {
            OriginCheck::Loopback | OriginCheck::LoopbackSocket => check_host(request.uri(), request.headers())?,
            OriginCheck::NoBrowser => {}
        }
        let let_in = self == OriginCheck::LoopbackSocket && is_loopback_socket(request.headers());
        if request.headers().contains_key(header::ORIGIN) && !let_in { Err(OriginError::Browser) } else { Ok(()) }
    }
}

/// A request for a WebSocket, with one `Origin` that names the loopback.
fn is_loopback_socket(headers: &HeaderMap) -> bool {
    let upgrades = headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None, true) = (origins.next(), origins.next(), upgrades) else { return false };
    names_loopback(origin)
}

/// Whether an `Origin` is a page of this machine: a scheme and the loopback.
fn names_loopback(origin: &HeaderValue) -> bool {
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    authority.is_some_and(|(_, authority)| is_loopback(authority.trim_end_matches('/')))
}

/// What a service with players' clients lets in, for whom not every caller is on this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NamedHosts<'a> {
    /// Host names that pass, without a port.
    pub names: &'a [String],
    /// Nothing but these names passes, not even the loopback or an address.
    pub only: bool,
}

impl NamedHosts<'_> {
    /// Exactly one host, and one that passes. An address passes, since no name that a page was loaded from leads to it.
    pub(crate) fn check<B>(self, request: &Request<B>) -> Result<(), OriginError> {
        let host = one_host(request.uri(), request.headers())?;
        let bare = without_port(host);
        let named = self.names.iter().any(|name| name.eq_ignore_ascii_case(bare));
        let here = !self.only && (is_loopback(host) || bracketless(bare).parse::<IpAddr>().is_ok());
        if named || here { Ok(()) } else { Err(OriginError::UnknownHost { found: host.to_owned() }) }
    }
}

/// No `Origin`, or one of this machine, as Unreal's WebSockets send it.
pub(crate) fn check_local_origin(headers: &HeaderMap) -> Result<(), OriginError> {
    if headers.get_all(header::ORIGIN).iter().all(names_loopback) { Ok(()) } else { Err(OriginError::Browser) }
}

/// The one host that the headers and the URI name.
fn one_host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Result<&'r str, OriginError> {
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let mut hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or(""));
    let host = hosts.next().or(authority).unwrap_or("");
    let same = authority.is_none_or(|authority| authority.eq_ignore_ascii_case(host));
    if same && hosts.next().is_none() { Ok(host) } else { Err(OriginError::UnknownHost { found: host.to_owned() }) }
}

/// Exactly one `Host`, and it names the loopback; so does the URI if it is absolute. HTTP/2 has its authority in the URI alone.
fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), OriginError> {
    let foreign = |found: &str| OriginError::ForeignHost { found: found.to_owned() };
    let mut hosts = headers.get_all(header::HOST).iter();
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let host = hosts.next().map_or(authority, |host| host.to_str().unwrap_or(""));
    if hosts.next().is_some() || !is_loopback(host) {
        return Err(foreign(host));
    }
    match uri.authority() {
        Some(authority) if !is_loopback(authority.as_str()) => Err(foreign(authority.as_str())),
        Some(_) | None => Ok(()),
    }
}

/// `host` of `host` or `host:port`, with brackets around an IPv6 address.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

fn bracketless(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// `host` or `host:port`, with brackets around an IPv6 address.
fn is_loopback(authority: &str) -> bool {
    let bare = bracketless(without_port(authority));
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_pass_for_a_host() {
        for good in ["127.0.0.1", "127.0.0.1:80", "localhost:9", "LOCALHOST", "[::1]:9358", "[::1]", "127.9.9.9:1"] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in
            ["", "evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil", "a@b"]
        {
            assert!(!is_loopback(bad), "{bad}");
        }
    }

    #[test]
    fn a_websocket_from_the_loopback_is_let_in_where_it_may_and_nothing_else_with_an_origin() {
        let request = |origins: &[&str], upgrade: Option<&str>| {
            let request = Request::builder().uri("/watch/gameserver").header("host", "localhost:9358");
            let request = origins.iter().fold(request, |request, origin| request.header("origin", *origin));
            upgrade.into_iter().fold(request, |request, to| request.header("upgrade", to)).body(()).unwrap()
        };
        let check = |origins: &[&str], upgrade| OriginCheck::LoopbackSocket.check(&request(origins, upgrade));
        for good in ["http://localhost:9358", "http://127.0.0.1:9358", "ws://[::1]:9358/", "http://localhost"] {
            assert_eq!(check(&[good], Some("websocket")), Ok(()), "{good}");
            assert_eq!(check(&[good], Some("WebSocket")), Ok(()), "{good}");
            assert_eq!(check(&[good], None), Err(OriginError::Browser), "{good}: no WebSocket");
            assert!(OriginCheck::Loopback.check(&request(&[good], Some("websocket"))).is_err(), "{good}");
        }
        for bad in ["http://evil.example", "null", "http://localhost.evil.example", "localhost", "http://a@localhost"] {
            assert_eq!(check(&[bad], Some("websocket")), Err(OriginError::Browser), "{bad}");
        }
        assert!(check(&["http://localhost", "http://evil.example"], Some("websocket")).is_err());
    }

    #[test]
    fn a_service_is_reached_by_its_names_and_its_addresses_and_never_by_a_name_that_was_rebound() {
        let names = ["sessions.example".to_owned()];
        let passes = |host: &[&str], uri: &str, only: bool| {
            let request = Request::builder().uri(uri);
            let request = host.iter().fold(request, |request, host| request.header("host", *host));
            NamedHosts { names: &names, only }.check(&request.body(()).unwrap()).is_ok()
        };
        for good in ["sessions.example", "Sessions.Example:443"] {
            assert!(passes(&[good], "/", true) && passes(&[good], "/", false), "{good}");
        }
        for local in ["localhost:80", "127.0.0.1", "[::1]:80", "10.1.2.3:8787"] {
            assert!(passes(&[local], "/", false) && !passes(&[local], "/", true), "{local}");
        }
        for bad in ["", "evil.example", "evil.example:8787", "sessions.example.evil.example", "10.1.2.3.evil.example"] {
            assert!(!passes(&[bad], "/", false), "{bad}");
        }
        assert!(!passes(&[], "/", false) && !passes(&["localhost", "localhost"], "/", false));
        assert!(!passes(&["localhost"], "http://evil.example/", false));
        assert!(passes(&[], "http://localhost:80/", false), "as over HTTP/2");
        for (origin, good) in
            [("http://127.0.0.1:80", true), ("http://localhost", true), ("http://evil.example", false), ("null", false)]
        {
            let headers = HeaderMap::from_iter([(header::ORIGIN, origin.parse().unwrap())]);
            assert_eq!(check_local_origin(&headers).is_ok(), good, "{origin}");
        }
    }

    #[test]
    fn an_origin_is_refused_everywhere_and_a_foreign_host_on_a_port() {
        let request = |host: &str, origin: Option<&str>| {
            let request = Request::builder().uri("/").header("host", host);
            let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
            request.body(()).unwrap()
        };
        let foreign = OriginError::ForeignHost { found: "a.example".to_owned() };
        assert_eq!(OriginCheck::Loopback.check(&request("a.example", None)), Err(foreign));
        assert_eq!(OriginCheck::NoBrowser.check(&request("a.example", None)), Ok(()));
        for check in [OriginCheck::Loopback, OriginCheck::NoBrowser] {
            assert_eq!(check.check(&request("localhost", None)), Ok(()));
            assert_eq!(check.check(&request("localhost", Some("null"))), Err(OriginError::Browser));
        }
    }
}
