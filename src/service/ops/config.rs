//! What comes from the configuration, as the contract shows it; and the caller's own address.

use super::bodies::PLATFORMS;
use crate::{
    model::{CustomData, errors::codes, session::BackfillSettings},
    service::{
        http::{
            answer, read,
            reply::{Outcome, Reply, not_found},
            request::RequestContext,
            route::{Access, Row, Run},
        },
        state::{Transaction, due::health_settings},
        templates::{Region, RequestTemplate, SessionType},
    },
};
use http::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
};
use uuid::Uuid;

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
    let all: Map<String, Value> =
        tx.settings.session_types.iter().map(|(name, kind)| (name.clone(), template_view(name, kind))).collect();
    Ok(tagged(request, &json!({ "templates": all })))
}

fn template(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let name = request.path_as("session_type", read::text(1, 4096))?;
    let kind = tx.settings.session_types.get(&name);
    let missing = || not_found(codes::TEMPLATE_NOT_FOUND, format!("there is no session type {name:?}"));
    Ok(tagged(request, &template_view(&name, kind.ok_or_else(missing)?)))
}

pub fn template_view(name: &str, kind: &SessionType) -> Value {
    let mut view = serde_json::to_value(kind).unwrap_or_default();
    if let Value::Object(members) = &mut view {
        members.insert("session_type".into(), name.into());
        // The deprecated twin of `attempt_auto_join`.
        members.insert("joinable".into(), kind.attempt_auto_join.into());
        members.insert("platform_templates".into(), platform_templates(kind));
    }
    view
}

/// The contract wants the deprecated number of each platform besides its name.
fn platform_templates(kind: &SessionType) -> Value {
    const NUMBERS: [(&str, u32); 13] = [
        ("Anon", 2),
        ("Amazon", 4),
        ("Steam", 5),
        ("PSN", 9),
        ("XboxLive", 10),
        ("Basic", 11),
        ("Google", 13),
        ("Twitch", 16),
        ("NintendoSwitch", 22),
        ("Apple", 24),
        ("LegacyName", 26),
        ("Epic", 28),
        ("NintendoNAID", 25),
    ];
    let views = kind.platform_templates.iter().filter(|(name, _)| PLATFORMS.contains(&name.as_str()));
    let views = views.filter_map(|(name, template)| {
        let number = NUMBERS.iter().find(|(known, _)| known == name)?.1;
        let mut view = serde_json::to_value(template).ok()?;
        let members = view.as_object_mut()?;
        members.insert("platform".into(), name.clone().into());
        members.insert("platform_id".into(), number.into());
        Some((name.clone(), view))
    });
    Value::Object(views.collect())
}

/// A page of a list: its items, and the cursor of the next page, 0 at the end.
pub fn page<T>(request: &RequestContext, items: Vec<T>) -> Outcome<(Vec<T>, usize)> {
    let cursor = request.query_number("cursor", 0, u32::MAX, 0)? as usize;
    let size = request.query_number("page_size", 1, 50, 50)? as usize;
    let total = items.len();
    let next = cursor.saturating_add(size);
    let page = items.into_iter().skip(cursor).take(size).collect();
    Ok((page, if next < total { next } else { 0 }))
}

fn regions(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let (regions, cursor) = page(request, region_views(&tx.settings.regions))?;
    Ok(Reply::json(&json!({ "regions": regions, "cursor": cursor })))
}

/// `Region`s, in their order.
pub fn region_views(regions: &[Region]) -> Vec<Value> {
    let view = |(order, region): (u32, &Region)| {
        let mut view = serde_json::to_value(region).unwrap_or_default();
        if let Value::Object(members) = &mut view {
            members.insert("sort_order".into(), order.into());
        }
        view
    };
    (0u32..).zip(regions).map(view).collect()
}

fn request_template(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let id = request.path_as("instance_request_template_id", read::uuid)?;
    let found = tx.settings.request_templates.get(&id);
    let missing = || not_found(codes::TEMPLATE_NOT_FOUND, format!("there is no request template {id}"));
    Ok(tagged(request, &request_template_view(id, found.ok_or_else(missing)?)))
}

pub fn request_template_view(id: Uuid, template: &RequestTemplate) -> Value {
    #[derive(Serialize)]
    struct Choice<'a> {
        map_id: String,
        map_name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        mode: Option<&'a str>,
        map_weight: f64,
        misc_params: &'a str,
        custom_data: &'a CustomData,
    }
    let maps: Vec<Choice<'_>> = (0..)
        .zip(&template.maps)
        .map(|(n, map): (u32, _)| Choice {
            map_id: n.to_string(),
            map_name: &map.map_name,
            mode: map.mode.as_deref(),
            map_weight: map.map_weight,
            misc_params: &map.misc_params,
            custom_data: &map.custom_data,
        })
        .collect();
    json!({
        "instance_request_template_id": id,
        "map_selection_list": { "map_selection_list_id": id.to_string(), "maps": maps },
        "default_host_type": template.default_host_type,
        "custom_data": template.custom_data,
    })
}

fn health_config(tx: &mut Transaction<'_>, _: &RequestContext) -> Outcome {
    Ok(Reply::json(&health_settings(&tx.settings)))
}

fn backfill_config(tx: &mut Transaction<'_>, _: &RequestContext) -> Outcome {
    Ok(Reply::json(&BackfillSettings { timeout: tx.settings.served_backfill_timeout() }))
}

fn connection_info(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    Ok(Reply::json(&json!({ "ip": address(tx, request) })))
}

fn address(tx: &Transaction<'_>, request: &RequestContext) -> IpAddr {
    answer::address(&tx.settings.trusted_proxies, request.peer, request.headers.get("x-forwarded-for"))
}

/// Whether the caller is in the service's own network, where LAN sessions are shown: on this machine, or at a private or
/// link-local address. Whoever comes through a proxy that isn't configured is taken to come from outside.
pub fn own_network(tx: &Transaction<'_>, request: &RequestContext) -> bool {
    let through = request.header("x-forwarded-for").is_some();
    let known = request.peer.is_some_and(|peer| tx.settings.trusted_proxies.contains(&peer));
    if through && !known {
        return false;
    }
    match address(tx, request) {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
