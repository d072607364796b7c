//! The configuration's resources as the API's own JSON, out and in: session types, regions, request
//! templates, deserter rules, matchmaking. The rest of the configuration has no counterpart in the
//! API and stays as it is.
//!
//! | member of the document | as in |
//! |---|---|
//! | `templates` | `GET /session/v1/template` |
//! | `regions` | `GET /session/v1/regions` |
//! | `instance_request_templates` | a list of what `GET /session/v1/instance-request-template/{id}` answers |
//! | `deserter_configs` | `GET /session/v1/deserter` |
//! | `match_making_profiles`, `match_making_template_groups` | lists of what the `v2` reads answer |
//!
//! Invariants: what was exported is imported as it was; a member that is absent leaves its part of
//! the configuration alone; what the service has no use for is named, not silently lost.

use super::{
    field_names,
    profiles::{MatchTemplate, Profile, TemplateGroup},
    resources,
    settings::ServiceSettings,
    templates::{Deserter, MapChoice, PlatformTemplate, Region, RequestTemplate, SessionType},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A document that can't be read: what is wrong, and where.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{place}: {why}")]
pub(crate) struct BadDocument {
    pub place: String,
    pub why: String,
}

/// The document of a configuration.
pub(crate) fn export(settings: &ServiceSettings) -> Value {
    let requests: Vec<_> =
        settings.request_templates.iter().map(|(id, template)| resources::request_template(*id, template)).collect();
    let deserters = settings.deserters.iter().map(|(id, rule)| {
        let mut view = json!({ "deserter_id": id });
        if let Some(cleared) = rule.last_cleared {
            view["last_cleared_timestamp"] = json!(cleared);
        }
        view
    });
    let profiles = settings.match_making_profiles.iter();
    let groups = settings.match_making_template_groups.iter();
    json!({
        "templates": resources::session_templates(settings),
        "regions": resources::regions(&settings.regions),
        "instance_request_templates": requests,
        "deserter_configs": deserters.collect::<Vec<_>>(),
        "match_making_profiles":
            profiles.map(|(id, profile)| resources::profile(id, profile)).collect::<Vec<_>>(),
        "match_making_template_groups":
            groups.map(|(id, group)| resources::template_group(settings, *id, group)).collect::<Vec<_>>(),
    })
}

/// Puts a document's members in the place of the configuration's. Answers what was passed over.
pub(crate) fn import(settings: &mut ServiceSettings, document: &Value) -> Result<Vec<String>, BadDocument> {
    let mut reading = ImportState::default();
    let mut document = object(without_nulls(document.clone()), "the document")?;
    if let Some(templates) = document.remove("templates") {
        let templates = object(templates, "templates")?.into_iter();
        settings.session_types = templates
            .map(|(name, view)| Ok((name.clone(), reading.session_type(view, &format!("templates.{name}"))?)))
            .collect::<Result<_, _>>()?;
    }
    if let Some(regions) = document.remove("regions") {
        settings.regions = reading.regions(regions)?;
    }
    if let Some(list) = document.remove("instance_request_templates") {
        let id = "instance_request_template_id";
        settings.request_templates = reading.by_id(list, "instance_request_templates", id, ImportState::request)?;
    }
    if let Some(list) = document.remove("deserter_configs") {
        settings.deserters = reading.by_id(list, "deserter_configs", "deserter_id", ImportState::deserter)?;
    }
    if let Some(list) = document.remove("match_making_profiles") {
        let id = "match_making_profile_id";
        settings.match_making_profiles = reading.by_id(list, "match_making_profiles", id, ImportState::fitted)?;
    }
    if let Some(list) = document.remove("match_making_template_groups") {
        let id = "match_making_template_group_id";
        let place = "match_making_template_groups";
        settings.match_making_template_groups = reading.by_id(list, place, id, ImportState::group)?;
        // Profiles that came only inside a group.
        for (name, profile) in std::mem::take(&mut reading.profiles) {
            settings.match_making_profiles.entry(name).or_insert(profile);
        }
    }
    reading.passed_over.extend(document.keys().cloned());
    Ok(reading.passed_over)
}

#[derive(Debug, Default)]
struct ImportState {
    passed_over: Vec<String>,
    profiles: BTreeMap<String, Profile>,
}

fn bad(place: &str, why: &(impl ToString + ?Sized)) -> BadDocument {
    BadDocument { place: place.to_owned(), why: why.to_string() }
}

fn object(value: Value, place: &str) -> Result<Map<String, Value>, BadDocument> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(bad(place, "expected an object")),
    }
}

fn items(value: Value, place: &str) -> Result<Vec<Value>, BadDocument> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(bad(place, "expected a list")),
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    }
}

impl ImportState {
    /// Reads what the type knows, and names the rest.
    fn fitted<T: DeserializeOwned>(&mut self, value: Value, place: &str) -> Result<T, BadDocument> {
        let known = field_names::of::<T>();
        let mut members = object(value, place)?;
        let unknown: Vec<String> = members.keys().filter(|key| !known.contains(&key.as_str())).cloned().collect();
        for key in unknown {
            members.remove(&key);
            self.passed_over.push(format!("{place}.{key}"));
        }
        serde_json::from_value(Value::Object(members)).map_err(|why| bad(place, &why))
    }

    /// A list whose items bear their ids.
    fn by_id<K: std::str::FromStr + Ord, T>(
        &mut self,
        list: Value,
        place: &str,
        id: &str,
        read: fn(&mut Self, Value, &str) -> Result<T, BadDocument>,
    ) -> Result<BTreeMap<K, T>, BadDocument> {
        let mut all = BTreeMap::new();
        for (number, item) in items(list, place)?.into_iter().enumerate() {
            let place = format!("{place}[{number}]");
            let mut members = object(item, &place)?;
            let key = members.remove(id).and_then(|key| key.as_str().and_then(|key| key.parse().ok()));
            let key = key.ok_or_else(|| bad(&place, &format!("{id} is missing, or no id")))?;
            all.insert(key, read(self, Value::Object(members), &place)?);
        }
        Ok(all)
    }

    fn session_type(&mut self, view: Value, place: &str) -> Result<SessionType, BadDocument> {
        let mut members = object(view, place)?;
        members.remove("session_type");
        // The deprecated twin counts where the present one is missing.
        if let Some(joinable) = members.remove("joinable") {
            members.entry("attempt_auto_join").or_insert(joinable);
        }
        let mut platforms = BTreeMap::new();
        if let Some(views) = members.remove("platform_templates") {
            let place = format!("{place}.platform_templates");
            for (name, view) in object(views, &place)? {
                let mut view = object(view, &place)?;
                view.remove("platform");
                view.remove("platform_id");
                let template: PlatformTemplate = self.fitted(Value::Object(view), &format!("{place}.{name}"))?;
                platforms.insert(name, template);
            }
        }
        let kind: SessionType = self.fitted(Value::Object(members), place)?;
        Ok(SessionType { platform_templates: platforms, ..kind })
    }

    fn regions(&mut self, list: Value) -> Result<Vec<Region>, BadDocument> {
        let mut regions = Vec::new();
        for (number, item) in items(list, "regions")?.into_iter().enumerate() {
            let place = format!("regions[{number}]");
            let mut members = object(item, &place)?;
            let order = members.remove("sort_order").and_then(|order| order.as_u64()).unwrap_or(number as u64);
            let region: Region = self.fitted(Value::Object(members), &place)?;
            regions.push((order, region));
        }
        regions.sort_by_key(|(order, _)| *order);
        Ok(regions.into_iter().map(|(_, region)| region).collect())
    }

    fn request(&mut self, view: Value, place: &str) -> Result<RequestTemplate, BadDocument> {
        let mut members = object(view, place)?;
        let list = members.remove("map_selection_list").unwrap_or_default();
        let place_of_maps = format!("{place}.map_selection_list.maps");
        let maps = object(list, place)?.remove("maps").unwrap_or_default();
        let mut chosen: Vec<MapChoice> = Vec::new();
        for (number, map) in items(maps, &place_of_maps)?.into_iter().enumerate() {
            let mut map = object(map, &place_of_maps)?;
            map.remove("map_id");
            chosen.push(self.fitted(Value::Object(map), &format!("{place_of_maps}[{number}]"))?);
        }
        members.insert("maps".into(), Value::Array(Vec::new()));
        let template: RequestTemplate = self.fitted(Value::Object(members), place)?;
        Ok(RequestTemplate { maps: chosen, ..template })
    }

    fn deserter(&mut self, view: Value, place: &str) -> Result<Deserter, BadDocument> {
        let mut members = object(view, place)?;
        if let Some(cleared) = members.remove("last_cleared_timestamp") {
            members.insert("last_cleared".into(), cleared);
        }
        self.fitted(Value::Object(members), place)
    }

    fn group(&mut self, view: Value, place: &str) -> Result<TemplateGroup, BadDocument> {
        let mut members = object(view, place)?;
        // Made of the rules.
        members.remove("required_item_ids");
        let options = members.remove("template_options").unwrap_or_default();
        self.passed_over.extend(members.keys().map(|key| format!("{place}.{key}")));
        let place = format!("{place}.template_options");
        let mut group = TemplateGroup::default();
        for (number, option) in items(options, &place)?.into_iter().enumerate() {
            let place = format!("{place}[{number}]");
            let mut option = object(option, &place)?;
            let profiles = option.remove("profiles").unwrap_or_default();
            let profiles: BTreeMap<usize, (String, Profile)> =
                self.profiles_of(profiles, &format!("{place}.profiles"))?;
            option.insert("profiles".into(), Value::Array(Vec::new()));
            let template: MatchTemplate = self.fitted(Value::Object(option), &place)?;
            let names = profiles.values().map(|(name, _)| name.clone()).collect();
            self.profiles.extend(profiles.into_values());
            group.template_options.push(MatchTemplate { profiles: names, ..template });
        }
        Ok(group)
    }

    /// Profiles in their order, by number.
    fn profiles_of(&mut self, list: Value, place: &str) -> Result<BTreeMap<usize, (String, Profile)>, BadDocument> {
        let mut profiles = BTreeMap::new();
        for (number, item) in items(list, place)?.into_iter().enumerate() {
            let one = self.by_id(Value::Array(vec![item]), place, "match_making_profile_id", ImportState::fitted)?;
            profiles.extend(one.into_iter().map(|named| (number, named)));
        }
        Ok(profiles)
    }
}

/// For tests elsewhere too: a configuration with everything that is exchanged.
#[cfg(test)]
pub(crate) fn full_settings() -> ServiceSettings {
    use super::profiles::{Grouping, Operation, Rule, RuleType, Ruleset};
    use crate::model::{session::StartupParams, time::Timestamp};
    use uuid::Uuid;
    let mut settings = ServiceSettings::default();
    let id = Uuid::from_u128;
    let map = MapChoice {
        map_name: "dm1".into(),
        mode: Some("duel".into()),
        map_weight: 3.0,
        misc_params: "?x=1".into(),
        custom_data: [("a".to_owned(), "b".to_owned())].into(),
    };
    let default_host_type = crate::model::session::HostType::Dedicated;
    let request = RequestTemplate { maps: vec![map], default_host_type, custom_data: <_>::default() };
    settings.request_templates.insert(id(1), request);
    let last_cleared = Timestamp::from_unix_millis(1_700_000_000_000);
    settings.deserters.insert(id(2), Deserter { last_cleared });
    let platform = PlatformTemplate {
        platform_session_type: "ps".into(),
        max_players: Some(4),
        custom_data: [("k".to_owned(), "v".to_owned())].into(),
    };
    let kind = SessionType {
        attempt_auto_join: true,
        platform_templates: [("PSN".to_owned(), platform)].into(),
        auto_startup_params: Some(StartupParams { map: "dm1".into(), ..StartupParams::default() }),
        auto_startup_instance_template_id: Some(id(1)),
        player_culling_timeout: 60,
        ..SessionType::default()
    };
    settings.session_types.insert("duel".into(), kind);
    settings.regions.push(Region { region_id: "eu".into(), custom_only: true, description: "Europe".into() });
    let profile = Profile {
        join_mode: <_>::default(),
        instance_request_template_id: id(1),
        rank_id: Some("r".into()),
        num_sides: Some(2),
        max_players_per_side: Some(1),
        min_players_per_side: Some(1),
        legacy_config: <_>::default(),
        deserter_id: Some(id(2)),
        session_template_id: None,
        custom_data: <_>::default(),
    };
    settings.match_making_profiles.insert("duel".into(), profile);
    let rule = Rule {
        rule_type: RuleType::JoiningSessionSize,
        comparison_operation: Operation::Le,
        comparison_value: Some(2),
        comparison_value_set: <_>::default(),
        item_id: Some(9),
    };
    let option = MatchTemplate {
        match_making_template_id: Some(id(4)),
        mmr_grouping_method: Grouping::AvgWeightedBySigma,
        profiles: vec!["duel".into()],
        ruleset: Some(Ruleset { rules: vec![rule], ..Ruleset::default() }),
    };
    settings.match_making_template_groups.insert(id(3), TemplateGroup { template_options: vec![option] });
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_exported_is_imported_as_it_was() {
        let settings = full_settings();
        assert_eq!(settings.faults(), vec![]);
        let mut other = ServiceSettings::default();
        assert_eq!(import(&mut other, &export(&settings)), Ok(vec![]));
        assert_eq!(other, settings);
        let text = toml::to_string(&other).unwrap();
        assert_eq!(toml::from_str::<ServiceSettings>(&text).unwrap(), settings, "and written as TOML:\n{text}");
    }

    #[test]
    fn what_is_absent_stays_and_what_is_unknown_is_named() {
        let mut settings = full_settings();
        let document = json!({
            "templates": {"party": {"session_type": "party", "joinable": true, "min_session_count": 3, "region": null}},
            "cursor": 0,
        });
        let passed_over = import(&mut settings, &document).unwrap();
        assert_eq!(passed_over, ["templates.party.min_session_count", "cursor"]);
        assert_eq!(settings.session_types.keys().collect::<Vec<_>>(), ["party"]);
        assert!(settings.session_types["party"].attempt_auto_join);
        assert_eq!(settings.regions, full_settings().regions);
    }

    #[test]
    fn a_fault_is_said_with_its_place() {
        let rows = [
            (json!([]), "the document: expected an object"),
            (json!({"regions": {}}), "regions: expected a list"),
            (
                json!({"deserter_configs": [{"deserter_id": "x"}]}),
                "deserter_configs[0]: deserter_id is missing, or no id",
            ),
        ];
        for (document, expected) in rows {
            assert_eq!(import(&mut full_settings(), &document).unwrap_err().to_string(), expected);
        }
        let number = json!({"templates": {"t": {"num_teams": "two"}}});
        assert!(
            import(&mut full_settings(), &number).unwrap_err().to_string().starts_with("templates.t: invalid type")
        );
    }
}
