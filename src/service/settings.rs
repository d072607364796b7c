//! What the service's file may say. Every key has a default; a reload never touches live sessions.
//!
//! | section | holds |
//! |---|---|
//! | [`ServiceSettings`] | session types, regions, request templates, deserter rules, matchmaking, and the sections below |
//! | [`Timings`] | leases, health, backfill |
//! | [`AllocationSettings`] | how registered servers are chosen and for how long anybody waits |
//! | [`AuthSettings`], [`IssuerSettings`] | who may log in, and how long that lasts; whose tokens are good besides ours |
//! | [`FriendsSettings`] | another service's friend graph |
//! | [`HttpSettings`] | by which names the service may be reached |
//! | [`Limits`] | what a caller may send |

pub(crate) use super::{auth::issuer_settings::IssuerSettings, remote_friends::FriendsSettings};
use super::{
    profiles::{Profile, TemplateGroup},
    templates::{Deserter, Region, RequestTemplate, SessionType},
};
use crate::model::{
    ids::PlayerUuid,
    login::{Restriction, RestrictionReason, RestrictionType},
    packed::{Packed, packed},
    section::{File, section},
    time::Timestamp,
    units::{Size, Span},
    version::Matching,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

/// A key with a bad value, and what is expected there.
pub(crate) type BadKey = (&'static str, &'static str);

/// Whether secrets may go there, and what comes back be believed: https, or http on this machine.
pub(crate) fn is_safe_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        url.scheme() == "https" || url.scheme() == "http" && loopback
    })
}

/// The session service's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ServiceSettings {
    /// Session types by name. Without any, there is one, `default`, that players may create.
    pub session_types: BTreeMap<String, SessionType>,
    /// The regions that servers stand in, in the order in which they are offered.
    pub regions: Vec<Region>,
    /// Named choices of map and mode that an instance may be requested with, by their UUID.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, RequestTemplate>"))]
    pub request_templates: BTreeMap<uuid::Uuid, RequestTemplate>,
    /// Rules for players who desert matches, by their UUID.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, Deserter>"))]
    pub deserters: BTreeMap<uuid::Uuid, Deserter>,
    /// Pools of players who may be matched, by name.
    pub match_making_profiles: BTreeMap<String, Profile>,
    /// Which profiles a session is put into, by the group's UUID.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, TemplateGroup>"))]
    pub match_making_template_groups: BTreeMap<uuid::Uuid, TemplateGroup>,
    /// Leases, health and backfill.
    pub timings: Timings,
    /// How registered servers are handed out.
    pub allocation: AllocationSettings,
    /// Who may log in.
    pub auth: AuthSettings,
    /// By which names the service may be reached.
    pub http: HttpSettings,
    /// What a caller may send.
    pub limits: Limits,
    /// Another service's friend graph in place of the own one.
    pub friends: FriendsSettings,
    /// Which versions may play together.
    pub versions: Matching,
    /// Proxies whose `X-Forwarded-For` says where a caller comes from.
    pub trusted_proxies: Vec<IpAddr>,
    /// The URL under which clients reach the service; goes into notifications. Empty: the caller's own `Host`.
    pub public_url: String,
}

/// By which names the service may be reached.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Host names, without a port, that requests over TCP may give; others are refused with 403. Empty: any. With `--dev` and
    /// `--local`: these besides the loopback and addresses.
    #[cfg_attr(test, schemars(example = &["sessions.example.com"]))]
    pub allowed_hosts: Vec<String>,
}

/// Leases, health and backfill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Timings {
    /// A session that nobody touched for this long is gone.
    pub session_ttl: Span,
    /// A session with a live instance outlives its lease this long before the instance counts as lost.
    pub instance_lost_after: Span,
    /// How often a host sends its health.
    pub health_cadence: Span,
    /// Above this share of missed checks (0 to 100) an instance counts as unhealthy.
    pub unhealthy_percentage: f64,
    /// After this many missed checks in a row its health is unknown.
    pub missed_before_unknown: u32,
    /// A backfill without an acknowledgement for this long is gone. Clients are told a third of it.
    pub backfill_expiry: Span,
}

/// How registered servers are handed out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AllocationSettings {
    /// An instance that found no server for this long is closed.
    pub requested_timeout: Span,
    /// An allocated server that didn't report for this long loses its instance: it is closed.
    pub allocated_timeout: Span,
    /// A registered server that hasn't asked for its state for this long isn't handed out.
    pub registration_ttl: Span,
    /// Between two long polls a server is still handed out for this long.
    pub poll_gap: Span,
}

/// Who may log in, and how long that lasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// How long an access token is good for.
    pub access_lifetime: Span,
    /// How long a refresh token is good for.
    pub refresh_lifetime: Span,
    /// What a player may do.
    pub player_permissions: Vec<String>,
    /// What a client without permissions of its own may do: enough for a dedicated server.
    pub client_permissions: Vec<String>,
    /// Sanctioned players. They log in, and may join only sessions that allow it.
    pub restrictions: Vec<RestrictedPlayer>,
    /// Players whose access tokens somebody else signs.
    pub issuer: IssuerSettings,
    /// Accepts any `name:password`. For a developer's machine; set by `--dev` alone.
    #[serde(skip)]
    pub dev: bool,
    /// A file with a secret that is accepted from the client named `local`; set by `--local` alone.
    #[serde(skip)]
    pub local_secret: Option<PathBuf>,
}

/// One sanction of one player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RestrictedPlayer {
    /// The player's UUID, or its name where `--dev` makes players of names.
    pub player: String,
    /// What the login says.
    #[serde(rename = "type")]
    pub kind: RestrictionType,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RestrictionReason>,
    /// When it ends; without, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub expiration: Option<Timestamp>,
}

/// What a caller may send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The longest body.
    pub body: Size,
    /// Connections at a time.
    pub connections: u32,
    /// Requests a second of one player; more are refused, with 429 those that create, invite or search, with 503 others. 0: any
    /// number. Not with `--dev`.
    pub requests_per_second: u32,
    /// The same for one registered server, about the session that it hosts. What concerns its registration and its live instance
    /// is never refused.
    pub server_requests_per_second: u32,
    /// The same for a client with credentials of its own, about anything else. Ten times as many may come at once.
    pub client_requests_per_second: u32,
    /// Requests of one player, or of one server, that may come at once before these rates count.
    pub request_burst: u32,
    /// How long a client may take to send a request's body.
    pub read_timeout: Span,
    /// How long a client may leave what it was answered unread.
    pub write_timeout: Span,
    /// How long a connection may stay without a request, or with half of one's headers.
    pub idle_timeout: Span,
    /// The longest long poll of a server for its allocation.
    pub longest_wait: Span,
    /// The longest long poll of a player for notifications.
    pub longest_notification_wait: Span,
    /// Sessions at a time; more are refused with 503.
    pub sessions: u32,
    /// Bytes of all sessions together; what would make them more is refused with 503.
    pub all_session_bytes: Size,
    /// Sessions at a time that one player has made; more are refused with 409.
    pub sessions_per_player: u32,
    /// Sessions that one player has joined by itself and is in; more are refused with 409.
    pub joined_per_player: u32,
    /// Registered servers at a time.
    pub servers: u32,
    /// Registered servers of one client.
    pub servers_per_client: u32,
    /// Bytes of one session with its players; what would make it larger is refused with 409.
    pub session_bytes: Size,
    /// Audit events kept a session: so many of the service's, and so many of callers.
    pub audit_events_per_session: u32,
    /// Audit events kept in all: so many of the service's, and so many of callers; the oldest go first.
    pub audit_events: u32,
    /// Bytes of callers' audit events kept a session.
    pub audit_bytes_per_session: Size,
    /// Bytes of audit events kept of one player who writes them.
    pub audit_bytes_per_player: Size,
    /// Bytes of callers' audit events kept in all; the oldest go first.
    pub audit_bytes: Size,
    /// How long events and notifications are kept for players who were away.
    pub event_retention: Span,
    /// Events and notifications kept a player.
    pub events_per_player: u32,
    /// Events and notifications kept in all; the oldest go first.
    pub events: u32,
    /// Bytes of events and notifications kept a player.
    pub event_bytes_per_player: Size,
    /// Bytes of events and notifications kept in all; the oldest go first.
    pub event_bytes: Size,
    /// Event streams and long polls of one player at a time; more are refused with 503.
    pub streams_per_player: u32,
    /// Friends and requests a player may have.
    pub friends: u32,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        ServiceSettings {
            session_types: BTreeMap::from([("default".to_owned(), SessionType::built_in())]),
            regions: vec![Region { region_id: "local".to_owned(), ..Region::default() }],
            request_templates: BTreeMap::new(),
            deserters: BTreeMap::new(),
            match_making_profiles: BTreeMap::new(),
            match_making_template_groups: BTreeMap::new(),
            timings: Timings::default(),
            allocation: AllocationSettings::default(),
            auth: AuthSettings::default(),
            http: HttpSettings::default(),
            limits: Limits::default(),
            friends: FriendsSettings::default(),
            versions: Matching::default(),
            trusted_proxies: Vec::new(),
            public_url: String::new(),
        }
    }
}

impl Default for Timings {
    fn default() -> Self {
        Timings {
            session_ttl: Span::from_secs(300),
            instance_lost_after: Span::from_secs(7200),
            health_cadence: Span::from_secs(10),
            unhealthy_percentage: 50.0,
            missed_before_unknown: 3,
            backfill_expiry: Span::from_secs(90),
        }
    }
}

impl Default for AllocationSettings {
    fn default() -> Self {
        AllocationSettings {
            requested_timeout: Span::from_secs(60),
            allocated_timeout: Span::from_secs(120),
            registration_ttl: Span::from_secs(60),
            poll_gap: Span::from_secs(5),
        }
    }
}

impl Default for AuthSettings {
    fn default() -> Self {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        AuthSettings {
            access_lifetime: Span::from_secs(3600),
            refresh_lifetime: Span::from_secs(30 * 86_400),
            player_permissions: words(
                "session:create session:read:self session:read:config session:read:browser session:read:platform \
                 session:read-player:self session:update:self session:update:browser session:update:platform \
                 session:update-player:self session:update-player:as-leader session:promote:self session:delete:active \
                 session:shortcode:active session:read:permission:active session:give:permission:active \
                 session:remove:permission:active session-audit:read:self session-audit:update:self \
                 session-player-audit:read:self session-player-audit:update:self session:instance:health \
                 friend:friend_list:read friend:friend_list:write notification:player:self:read notification:player:self:write",
            ),
            client_permissions: words(
                "session:create session:read:self session:read:allocation session:read:config session:read:browser \
                 session:read-player:any session:update:self session:update:browser session:update-player:self \
                 session:deserter:write:hosted session:delete:active session:instance:health \
                 session:instance:register session-audit:read:self session-audit:update:self",
            ),
            restrictions: Vec::new(),
            issuer: IssuerSettings::default(),
            dev: false,
            local_secret: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body: Size(1 << 20),
            connections: 20_000,
            requests_per_second: 30,
            server_requests_per_second: 100,
            client_requests_per_second: 2000,
            request_burst: 300,
            read_timeout: Span::from_secs(20),
            write_timeout: Span::from_secs(20),
            idle_timeout: Span::from_secs(120),
            longest_wait: Span::from_secs(60),
            longest_notification_wait: Span::from_secs(900),
            sessions: 200_000,
            all_session_bytes: Size(2 << 30),
            sessions_per_player: 32,
            joined_per_player: 64,
            servers: 50_000,
            servers_per_client: 20_000,
            session_bytes: Size(512 << 10),
            audit_events_per_session: 500,
            audit_events: 100_000,
            audit_bytes_per_session: Size(1 << 20),
            audit_bytes_per_player: Size(4 << 20),
            audit_bytes: Size(64 << 20),
            event_retention: Span::from_secs(900),
            events_per_player: 256,
            events: 100_000,
            event_bytes_per_player: Size(1 << 20),
            event_bytes: Size(64 << 20),
            streams_per_player: 8,
            friends: 1000,
        }
    }
}

impl File for ServiceSettings {
    const SCHEMA: Packed = packed!("service-schema");
}

section!(ServiceSettings {
    applied: session_types, regions, request_templates, deserters, match_making_profiles, match_making_template_groups,
        versions, trusted_proxies, public_url;
    sections: timings, allocation, auth, http, limits, friends;
});
section!(HttpSettings {
    applied: allowed_hosts;
});
section!(Timings {
    applied: session_ttl, instance_lost_after, health_cadence, unhealthy_percentage, missed_before_unknown,
        backfill_expiry;
});
section!(AllocationSettings {
    applied: requested_timeout, allocated_timeout, registration_ttl, poll_gap;
});
section!(AuthSettings {
    applied: access_lifetime, refresh_lifetime, player_permissions, client_permissions, restrictions;
    sections: issuer;
    command_line: dev, local_secret;
});
section!(Limits {
    applied: body, connections, requests_per_second, server_requests_per_second, client_requests_per_second, request_burst, read_timeout,
        write_timeout, idle_timeout, longest_wait, longest_notification_wait, sessions, all_session_bytes, sessions_per_player, joined_per_player, servers, servers_per_client, session_bytes, audit_events_per_session,
        audit_events, audit_bytes_per_session, audit_bytes_per_player, audit_bytes, event_retention, events_per_player, events, event_bytes_per_player, event_bytes, streams_per_player, friends;
});

impl AuthSettings {
    /// The restrictions of a player that hold now.
    pub fn restrictions_of(&self, player: PlayerUuid, now: Timestamp) -> Vec<Restriction> {
        let named = |rule: &&RestrictedPlayer| match rule.player.parse::<uuid::Uuid>() {
            Ok(id) => PlayerUuid(id) == player,
            Err(_) => super::auth::login::player_of(&rule.player) == player,
        };
        let holds = |rule: &&RestrictedPlayer| rule.expiration.is_none_or(|end| end > now);
        let rules = self.restrictions.iter().filter(named).filter(holds);
        rules.map(|rule| Restriction { kind: rule.kind, reason: rule.reason, expiration: rule.expiration }).collect()
    }
}

impl ServiceSettings {
    /// The seconds that `backfill/config` tells clients: a third of the real expiry, so that existing clients, which
    /// acknowledge every `timeout` ± 10 %, never come late.
    pub fn served_backfill_timeout(&self) -> f64 {
        self.timings.backfill_expiry.get().as_secs_f64() / 3.0
    }

    /// Everything that is wrong beyond the types, as (key, what is expected).
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |good: bool, key: &str, expected: &str| {
            if !good {
                faults.push((key.to_owned(), expected.to_owned()));
            }
        };
        let timings = &self.timings;
        check(timings.health_cadence.get().as_secs() >= 1, "timings.health_cadence", "at least 1s");
        check(timings.missed_before_unknown >= 1, "timings.missed_before_unknown", "at least 1");
        check(
            timings.unhealthy_percentage > 0.0 && timings.unhealthy_percentage <= 100.0,
            "timings.unhealthy_percentage",
            "more than 0, at most 100",
        );
        check(timings.session_ttl.get().as_secs() >= 1, "timings.session_ttl", "at least 1s");
        check(timings.backfill_expiry.get().as_secs() >= 3, "timings.backfill_expiry", "at least 3s");
        for (key, expected) in self.auth.issuer.faults().into_iter().chain(self.friends.faults()) {
            check(false, key, expected);
        }
        check(!self.session_types.is_empty(), "session_types", "at least one session type");
        for (name, kind) in &self.session_types {
            let key = format!("session_types.{name}");
            check((1..=50).contains(&kind.num_teams), &format!("{key}.num_teams"), "1 to 50");
            check((1..=100).contains(&kind.players_per_team), &format!("{key}.players_per_team"), "1 to 100");
            let known =
                kind.auto_startup_instance_template_id.is_none_or(|id| self.request_templates.contains_key(&id));
            check(known, &format!("{key}.auto_startup_instance_template_id"), "the id of one of [request_templates]");
        }
        check(!self.limits.write_timeout.get().is_zero(), "limits.write_timeout", "more than 0");
        check(self.limits.connections >= 1, "limits.connections", "at least 1");
        check(self.limits.request_burst >= 1, "limits.request_burst", "at least 1");
        check(self.limits.events_per_player >= 1, "limits.events_per_player", "at least 1");
        check(self.limits.events >= 1, "limits.events", "at least 1");
        self.matchmaking_faults(&mut check);
        faults
    }

    fn matchmaking_faults(&self, check: &mut impl FnMut(bool, &str, &str)) {
        for (name, profile) in &self.match_making_profiles {
            let key = format!("match_making_profiles.{name}");
            let known = self.request_templates.contains_key(&profile.instance_request_template_id);
            check(known, &format!("{key}.instance_request_template_id"), "the id of one of [request_templates]");
            let known = profile.deserter_id.is_none_or(|id| self.deserters.contains_key(&id));
            check(known, &format!("{key}.deserter_id"), "the id of one of [deserters]");
        }
        for (id, group) in &self.match_making_template_groups {
            for (number, option) in group.template_options.iter().enumerate() {
                let known = option.profiles.iter().all(|name| self.match_making_profiles.contains_key(name));
                let key = format!("match_making_template_groups.{id}.template_options[{number}].profiles");
                check(known, &key, "names of [match_making_profiles]");
            }
        }
    }
}
