//! What comes from the configuration, as the contract shows it; and the caller's own address.

use crate::{
    model::{
        errors::codes,
        parameters::{self, Page},
        session::{BackfillSettings, ConnectionInfo},
    },
    service::{
        http::{
            answer,
            reply::{Outcome, Refused, Reply, not_found},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        resources::{self, RegionsPage, SessionTemplates},
        state::{Transaction, due::health_settings},
    },
};
use http::{Method, StatusCode};
use serde::Serialize;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
};

const CONFIG: Access = Access::AnyOf(&["session:read:config"]);

pub static TABLE: &[Row] = &[
    row!(GET "/session/v1/template", "get_all_session_templates", CONFIG, templates),
    row!(GET "/session/v1/template/{session_type}", "get_session_template_by_type", CONFIG, template),
    row!(GET "/session/v1/regions", "get_all_regions", CONFIG, regions),
    row!(
        GET "/session/v1/instance-request-template/{instance_request_template_id}",
        "get_instance_request_template", CONFIG, request_template
    ),
    row!(GET "/session/v1/instance/health/config", "instance_health_config", CONFIG, health_config),
    row!(GET "/session/v1/backfill/config", "backfill_config", CONFIG, backfill_config),
    row!(GET "/session/v1/connection-info", "get_connection_info_self", CONFIG, connection_info),
];

/// Answers 200 with a tag made of the content, or 304.
pub fn tagged(request: &RequestContext, value: &impl Serialize) -> Reply {
    let reply = Reply::json(value);
    let mut hasher = DefaultHasher::new();
    reply.body.hash(&mut hasher);
    let etag = format!("\"c{:016x}\"", hasher.finish());
    if request.has(&etag) { Reply::not_modified(etag) } else { reply.tagged(etag) }
}

fn templates(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    Ok(tagged(request, &SessionTemplates { templates: resources::session_templates(tx.settings) }))
}

fn template(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let name: String = request.path(&parameters::SESSION_TYPE)?;
    let kind = tx.settings.session_types.get(&name);
    let missing = || not_found(codes::TEMPLATE_NOT_FOUND, format!("there is no session type {name:?}"));
    Ok(tagged(request, &resources::session_template(&name, kind.ok_or_else(missing)?)))
}

fn regions(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let Page { cursor, page_size } = request.query()?;
    let all = resources::regions(&tx.settings.regions);
    let (total, next) = (all.len(), cursor.saturating_add(page_size));
    let regions = all.into_iter().skip(cursor as usize).take(page_size as usize).collect();
    Ok(Reply::json(&RegionsPage { regions, cursor: if (next as usize) < total { next } else { 0 } }))
}

fn request_template(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let id = request.path(&parameters::INSTANCE_REQUEST_TEMPLATE_ID)?;
    let found = tx.settings.request_templates.get(&id);
    let missing = || not_found(codes::TEMPLATE_NOT_FOUND, format!("there is no request template {id}"));
    Ok(tagged(request, &resources::request_template(id, found.ok_or_else(missing)?)))
}

fn health_config(tx: &mut Transaction<'_>, _: &RequestContext) -> Outcome {
    Ok(Reply::json(&health_settings(tx.settings)))
}

fn backfill_config(tx: &mut Transaction<'_>, _: &RequestContext) -> Outcome {
    Ok(Reply::json(&BackfillSettings { timeout: tx.settings.served_backfill_timeout() }))
}

fn connection_info(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let unknown = "what a proxy says of the caller's address can't be read";
    let unknown = || Refused::new(StatusCode::SERVICE_UNAVAILABLE, codes::UNAVAILABLE, unknown);
    Ok(Reply::json(&ConnectionInfo { ip: address(tx, request).ok_or_else(unknown)? }))
}

fn address(tx: &Transaction<'_>, request: &RequestContext) -> Option<IpAddr> {
    answer::address(&tx.settings.trusted_proxies, request.peer, &request.headers)
}

/// Whether the caller is in the service's own network, where LAN sessions are shown: on this machine, or at a private or
/// link-local address. Whoever comes through a proxy that isn't configured is taken to come from outside.
pub fn own_network(tx: &Transaction<'_>, request: &RequestContext) -> bool {
    let through = request.headers.contains_key("x-forwarded-for");
    if through && !answer::is_trusted(&tx.settings.trusted_proxies, request.peer) {
        return false;
    }
    match address(tx, request) {
        None => false,
        Some(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Some(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
