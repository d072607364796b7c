//! `Host` and `Origin`.
//!
//! | service | `Host` on TCP | `Origin` |
//! |---|---|---|
//! | `--dev`, `--local`: credentials that a web page could guess, or a loopback port | the loopback, any address, `http.allowed_hosts` | none, or this machine's |
//! | any other with `http.allowed_hosts` | one of these; any for the probes, which name an address | any |
//! | any other | any: a proxy or an ingress may name what it likes | any |
//!
//! A web page whose name was rebound to this machine names itself as `Host`, and a page that sends
//! a form names itself as `Origin`. What needs a token that no page has is safe without this.

use super::reply::Refused;
use crate::{
    model::errors::codes,
    net::origin::{NamedHosts, OriginError, check_local_origin},
    service::settings::ServiceSettings,
};
use http::{Request, StatusCode};
use std::net::IpAddr;

/// Whether a request may come in by the name that it gives, from where it says.
pub(super) fn check<B>(settings: &ServiceSettings, peer: Option<IpAddr>, request: &Request<B>) -> Result<(), Refused> {
    let by_name = NamedHosts { names: &settings.http.allowed_hosts, only: true };
    let on_tcp = peer.is_some();
    let checked = if settings.auth.dev || settings.auth.local_secret.is_some() {
        let host = if on_tcp { NamedHosts { only: false, ..by_name }.check(request) } else { Ok(()) };
        host.and_then(|()| check_local_origin(request.headers()))
    } else if by_name.names.is_empty() || !on_tcp || matches!(request.uri().path(), "/livez" | "/readyz" | "/metrics") {
        Ok(())
    } else {
        by_name.check(request)
    };
    checked.map_err(|error| {
        let code = match error {
            OriginError::Browser => codes::FOREIGN_ORIGIN,
            OriginError::ForeignHost { .. } | OriginError::UnknownHost { .. } => codes::FOREIGN_HOST,
        };
        Refused::new(StatusCode::FORBIDDEN, code, error.to_string())
    })
}
