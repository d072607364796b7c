//! The status in one line, for systemd's STATUS and for `ps`.

use crate::model::{
    calls::Backend,
    session::InstanceHealth,
    status::{PhaseName, Status},
};

/// `serving: joinable, 3 players, harbour (duel), healthy`.
pub(crate) fn line(status: &Status) -> String {
    let mut parts = Vec::new();
    parts.extend(status.join_status.map(|status| status.word().to_owned()));
    if status.phase != PhaseName::Idle {
        parts.push(match status.players {
            None => "players unknown".to_owned(),
            Some(1) => "1 player".to_owned(),
            Some(players) => format!("{players} players"),
        });
        parts.extend(status.map.as_ref().map(|map| match &status.mode {
            Some(mode) => format!("{map} ({mode})"),
            None => map.clone(),
        }));
    }
    if status.phase == PhaseName::Serving {
        parts.push(health_word(status.instance_health).to_owned());
    }
    parts.extend(status.reason.clone());
    match &status.backend {
        Backend::Away { .. } => parts.push("session service away".to_owned()),
        Backend::Refused { .. } => parts.push("session service refuses our login".to_owned()),
        Backend::Untried | Backend::Up => {}
    }
    if !status.keeper.connected {
        parts.push("keeper away".to_owned());
    }
    let phase = phase_word(status.phase);
    if parts.is_empty() { phase.to_owned() } else { format!("{phase}: {}", parts.join(", ")) }
}

pub(crate) fn phase_word(phase: PhaseName) -> &'static str {
    match phase {
        PhaseName::Idle => "idle",
        PhaseName::Starting => "starting",
        PhaseName::Serving => "serving",
        PhaseName::Draining => "draining",
        PhaseName::Closing => "closing",
        PhaseName::Ended => "ended",
    }
}

pub(crate) fn health_word(health: InstanceHealth) -> &'static str {
    match health {
        InstanceHealth::Healthy => "healthy",
        InstanceHealth::Degraded => "degraded",
        InstanceHealth::Unhealthy => "unhealthy",
        InstanceHealth::Unknown => "health unknown",
    }
}
