//! What happened to sessions: the events that callers read, and those that they add.

use super::{
    CustomData,
    discovery::TeamSettings,
    ids::{InstanceId, PlayerUuid, SessionId},
    player::{ClientSettings, CrossplayPreferences, PLATFORMS, PlayerStatus},
    session::{AdditionalJoinParams, HostType, InstanceHealth, JoinParams, JoinStatus, Joinability},
    time::Timestamp,
    wire::{
        rules::{any_text, count, ident, list, list_of, listed, one_of, text, whole},
        wire,
    },
};
use uuid::Uuid;

/// Declares the event that is read and the one that is added: both have the same details.
macro_rules! audit_events {
    ($($(#[doc = $about:literal])* optional $field:ident: $ty:ty $(= $rule:expr)?;)*) => {
        wire! {
            /// An event that a caller adds. Each of `players` gets one of its own.
            pub struct CreateAuditRequest [] {
                /// The service puts `customer.` before it.
                required event_name: String = ident();
                required session_id: SessionId;
                optional player_uuid: PlayerUuid;
                optional players: Vec<PlayerUuid> = list(0, 1000);
                $($(#[doc = $about])* optional $field: $ty $(= $rule)?;)*
            }
        }

        impl CreateAuditRequest {
            /// An event without details.
            pub fn new(event_name: impl Into<String>, session_id: SessionId) -> CreateAuditRequest {
                CreateAuditRequest {
                    event_name: event_name.into(),
                    session_id,
                    player_uuid: None,
                    players: None,
                    $($field: None,)*
                }
            }
        }

        wire! {
            /// An event. Those that callers have added are named `customer.…`.
            pub struct AuditEvent [] {
                required event_name: String = ident();
                required session_id: SessionId;
                required event_datetime: Timestamp;
                optional player_uuid: PlayerUuid;
                /// Who added it.
                optional requesting_user_uuid: PlayerUuid;
                $($(#[doc = $about])* optional $field: $ty $(= $rule)?;)*
            }
        }
    };
}

audit_events! {
    optional reason: String = any_text();
    optional custom_data: CustomData;
    optional session_type: String = any_text();
    optional region_id: String = ident();
    optional joinable: bool;
    optional joinability: Joinability;
    optional updated_teams: Vec<TeamSettings> = list(0, 50);
    optional source: String = one_of(&["BACKFILL", "MATCHMAKING", "PLAYER"]);
    optional team_id: u32 = count();
    optional invited_session_id: String = ident();
    optional removed_session_id: String = ident();
    /// Extension: the session that the players were invited from.
    optional source_session_id: String = ident();
    optional version: String = any_text();
    optional client_settings: ClientSettings;
    optional crossplay_preferences: CrossplayPreferences;
    optional player_status: PlayerStatus;
    optional platform: String = one_of(PLATFORMS);
    optional platform_session_id: String = text(1, 4096);
    optional instance_id: InstanceId;
    optional host_type: HostType;
    optional host_player_uuid: Uuid;
    optional instance_request_template: Uuid;
    optional map: String = any_text();
    optional mode: String = any_text();
    optional allocation_id: String = ident();
    optional join_status: JoinStatus;
    optional join_params: JoinParams;
    optional instance_health: InstanceHealth;
    optional queue_id: String = ident();
    optional ticket_id: String = any_text();
    optional additional_params: AdditionalJoinParams;
    optional map_preferences: Vec<String> = list_of(0, 100, any_text());
    optional queued_session_id: String = ident();
    optional match_id: String = ident();
    optional ticket_wait_seconds: i64 = whole(i64::MIN, i64::MAX);
    optional match_making_profile_id: String = ident();
}

wire! {
    /// A page of events, oldest first.
    pub struct AuditPage [] {
        always events: Vec<AuditEvent> = listed();
    }
}

wire! {
    /// Nothing more to say.
    pub struct Noted [derive(Eq, Default)] {
    }
}
