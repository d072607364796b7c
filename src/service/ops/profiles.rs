//! Matchmaking profiles and templates, and the deprecated twin of request templates, as the
//! contract shows them.

use super::config::tagged;
use crate::{
    model::{errors::codes, parameters},
    service::{
        http::{
            reply::{Interrupt, Outcome, not_found},
            request::RequestContext,
            route::{Access, Handler, Row},
        },
        profiles::{Profile, TemplateGroup},
        resources,
        state::Transaction,
    },
};
use http::Method;
use uuid::Uuid;

const CONFIG: Access = Access::AnyOf(&["session:read:config"]);

pub static TABLE: &[Row] = &[
    row!(
        GET "/session/v1/instance-launch-templates/{instance_launch_template_id}",
        "get_all_map_game_info", CONFIG, launch_template
    ),
    row!(
        GET "/session/v1/match-making-profile/{match_making_profile_id}",
        "get_match_making_profile", CONFIG, deprecated_profile
    ),
    row!(
        GET "/session/v2/match-making-profile/{match_making_profile_id}",
        "get_match_making_profile_v2", CONFIG, present_profile
    ),
    row!(
        GET "/session/v1/match-making-templates/{template_group_id}",
        "get_match_making_templates", CONFIG, deprecated_templates
    ),
    row!(
        GET "/session/v2/match-making-templates/{template_group_id}",
        "get_match_making_templates_v2", CONFIG, present_templates
    ),
];

fn missing(what: &str, id: &str) -> Interrupt {
    not_found(codes::TEMPLATE_NOT_FOUND, format!("there is no {what} {id:?}"))
}

/// The same templates as `instance-request-template`, under the same ids.
fn launch_template(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let id: Uuid = request.path(&parameters::INSTANCE_LAUNCH_TEMPLATE_ID)?;
    let found = tx.settings.request_templates.get(&id);
    let found = found.ok_or_else(|| missing("launch template", &id.to_string()))?;
    Ok(tagged(request, &resources::launch_template(id, found)))
}

fn profile<'a>(tx: &'a Transaction<'_>, request: &RequestContext) -> Outcome<(String, &'a Profile)> {
    let id: String = request.path(&parameters::MATCH_MAKING_PROFILE_ID)?;
    let found = tx.settings.match_making_profiles.get(&id).ok_or_else(|| missing("matchmaking profile", &id))?;
    Ok((id, found))
}

fn deprecated_profile(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let (id, found) = profile(tx, request)?;
    Ok(tagged(request, &resources::deprecated_profile(&id, found)))
}

fn present_profile(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let (id, found) = profile(tx, request)?;
    Ok(tagged(request, &resources::profile(&id, found)))
}

fn group<'a>(tx: &'a Transaction<'_>, request: &RequestContext) -> Outcome<(Uuid, &'a TemplateGroup)> {
    let id: Uuid = request.path(&parameters::TEMPLATE_GROUP_ID)?;
    let found = tx.settings.match_making_template_groups.get(&id);
    Ok((id, found.ok_or_else(|| missing("matchmaking template group", &id.to_string()))?))
}

fn deprecated_templates(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let (id, found) = group(tx, request)?;
    Ok(tagged(request, &resources::deprecated_group(tx.settings, id, found)))
}

fn present_templates(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let (id, found) = group(tx, request)?;
    Ok(tagged(request, &resources::template_group(tx.settings, id, found)))
}
