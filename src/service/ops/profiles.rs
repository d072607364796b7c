//! Matchmaking profiles and templates, and the deprecated twin of request templates, as the contract shows them.

use super::config::tagged;
use crate::{
    model::errors::codes,
    service::{
        http::{
            read,
            reply::{Interrupt, Outcome, not_found},
            request::RequestContext,
            route::{Access, Row, Run},
        },
        profiles::{MatchTemplate, Profile, TemplateGroup},
        settings::ServiceSettings,
        state::Transaction,
        templates::RequestTemplate,
    },
};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
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

/// Which of the contract's two shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Deprecated,
    Present,
}

fn missing(what: &str, id: &str) -> Interrupt {
    not_found(codes::TEMPLATE_NOT_FOUND, format!("there is no {what} {id:?}"))
}

/// `InstanceLaunchTemplate`: the same templates as `instance-request-template`, under the same ids.
fn launch_template(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    let id = request.path_as("instance_launch_template_id", read::uuid)?;
    let found = tx.settings.request_templates.get(&id);
    let found = found.ok_or_else(|| missing("launch template", &id.to_string()))?;
    Ok(tagged(request, &launch_view(id, found)))
}

fn launch_view(id: Uuid, template: &RequestTemplate) -> Value {
    let total: f64 = template.maps.iter().map(|map| map.map_weight).sum();
    let maps = template.maps.iter().enumerate().map(|(number, map)| {
        let chance = if total > 0.0 { map.map_weight / total * 100.0 } else { 0.0 };
        let mut view = json!({
            "map_game_id": number,
            "map_name": map.map_name,
            "selection_chance": chance.clamp(0.0, 100.0),
            "custom_data": map.custom_data,
        });
        if let Some(mode) = &map.mode {
            view["mode"] = mode.as_str().into();
        }
        view
    });
    json!({
        "instance_launch_template_id": id,
        "map_selection_list": { "map_selection_list_id": id.to_string(), "maps": maps.collect::<Vec<_>>() },
        "default_host_type": template.default_host_type,
        "custom_data": template.custom_data,
    })
}

fn deprecated_profile(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    profile(tx, request, Form::Deprecated)
}

fn present_profile(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    profile(tx, request, Form::Present)
}

fn profile(tx: &mut Transaction<'_>, request: &RequestContext, form: Form) -> Outcome {
    let id = request.id("match_making_profile_id")?;
    let found = tx.settings.match_making_profiles.get(&id).ok_or_else(|| missing("matchmaking profile", &id))?;
    Ok(tagged(request, &profile_view(&id, found, form)))
}

/// `MatchMakingProfile` or `MatchMakingProfileV2`.
pub fn profile_view(id: &str, profile: &Profile, form: Form) -> Value {
    let mut view = serde_json::to_value(profile).unwrap_or_default();
    let Some(members) = view.as_object_mut() else { return view };
    match form {
        Form::Present => {
            members.insert("match_making_profile_id".into(), id.into());
        }
        Form::Deprecated => {
            members.insert("profile_id".into(), id.into());
            let template = members.remove("instance_request_template_id").unwrap_or_default();
            members.insert("instance_launch_template_id".into(), template);
            members.remove("session_template_id");
            members.remove("custom_data");
        }
    }
    view
}

fn deprecated_templates(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    templates(tx, request, Form::Deprecated)
}

fn present_templates(tx: &mut Transaction<'_>, request: &RequestContext) -> Outcome {
    templates(tx, request, Form::Present)
}

fn templates(tx: &mut Transaction<'_>, request: &RequestContext, form: Form) -> Outcome {
    let id = request.path_as("template_group_id", read::uuid)?;
    let found = tx.settings.match_making_template_groups.get(&id);
    let found = found.ok_or_else(|| missing("matchmaking template group", &id.to_string()))?;
    Ok(tagged(request, &group_view(&tx.settings, id, found, form)))
}

/// `MatchMakingTemplateGroup` or `MatchMakingTemplateGroupV2`.
pub fn group_view(settings: &ServiceSettings, id: Uuid, group: &TemplateGroup, form: Form) -> Value {
    let rules = || group.template_options.iter().flat_map(|option| &option.ruleset).flat_map(|ruleset| &ruleset.rules);
    let items: BTreeSet<i64> = rules().filter_map(|rule| rule.item_id).collect();
    let options: Vec<Value> =
        group.template_options.iter().map(|option| template_view(settings, option, form)).collect();
    let name = match form {
        Form::Present => "match_making_template_group_id",
        Form::Deprecated => "template_group_id",
    };
    json!({ name: id, "template_options": options, "required_item_ids": items })
}

fn template_view(settings: &ServiceSettings, template: &MatchTemplate, form: Form) -> Value {
    let mut view = serde_json::to_value(template).unwrap_or_default();
    let profiles = template.profiles.iter().filter_map(|name| {
        let profile = settings.match_making_profiles.get(name)?;
        Some(profile_view(name, profile, form))
    });
    view["profiles"] = profiles.collect();
    view
}
