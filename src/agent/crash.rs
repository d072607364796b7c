//! Named places at which the agent can be made to kill itself, so that a test can prove what a
//! SIGKILL there leaves behind.
//!
//! Built only with the feature `crash-points`; `GAMESIDE_CRASH_AT=NAME[:N]` means the N-th pass
//! (default: the first). There is a point after every effect was dispatched (`after-…`), before
//! every fact is handled (`before-…`), and after the journal was synced but before anybody knows
//! (`journal-synced`).

use crate::{
    core::io::{Availability, Effect, Input, JournalFact, Watch},
    model::{
        calls::Call,
        keeper::{KeeperFact, KeeperOrder},
    },
};

/// Every point, for a test to go through.
pub(crate) const POINTS: &[&str] = &[
    "journal-synced",
    "after-commit",
    "after-keeper-start",
    "after-keeper-signal",
    "after-keeper-kill",
    "after-keeper-stdin",
    "after-keeper-exit-taken",
    "after-keeper-record",
    "after-keeper-standing",
    "after-keeper-stats",
    "after-keeper-shutdown",
    "after-create-session",
    "after-read-session",
    "after-find-allocation",
    "after-delete-session",
    "after-post-instance",
    "after-patch-instance",
    "after-post-health",
    "after-health-config",
    "after-backfill-config",
    "after-ack-backfill",
    "after-update-backfill",
    "after-delete-backfill",
    "after-add-player",
    "after-remove-player",
    "after-update-browser",
    "after-audit",
    "after-offer",
    "after-withdraw",
    "after-tell",
    "after-watch",
    "after-unwatch",
    "after-count",
    "after-ask",
    "after-reply",
    "after-happened",
    "after-exit-hook",
    "after-end",
    "before-connected",
    "before-away",
    "before-started",
    "before-left-behind",
    "before-start-refused",
    "before-exited",
    "before-keeper-gone",
    "before-unkillable",
    "before-stop-requested",
    "before-superseded",
    "before-incompatible",
    "before-committed",
    "before-commit-failed",
    "before-said",
    "before-evidence",
    "before-output",
    "before-build",
    "before-stats",
    "before-gateway-ended",
    "before-allocated",
    "before-deallocated",
    "before-registered",
    "before-answered",
    "before-backend",
    "before-ordered",
    "before-terminate",
    "before-ports",
    "before-reloaded",
    "before-gateway",
    "before-gap",
    "before-tick",
];

/// Kills this process if it was told to die here.
#[cfg(feature = "crash-points")]
pub(crate) fn point(name: &str) {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    };
    static PLAN: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        let text = std::env::var("GAMESIDE_CRASH_AT").ok()?;
        let (name, passes) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicU32::new(passes.parse().unwrap_or(1))))
    });
    debug_assert!(POINTS.contains(&name), "crash point {name} is missing in the list");
    if let Some((wanted, left)) = &*PLAN
        && wanted == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing, in a release.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub(crate) fn point(_name: &str) {}

/// The point after an effect.
pub(crate) fn after(effect: &Effect) -> &'static str {
    match effect {
        Effect::Commit { .. } => "after-commit",
        Effect::Keeper(order) => after_keeper(order),
        Effect::Call { call, .. } => after_call(call),
        Effect::Availability(Availability::Free { .. }) => "after-offer",
        Effect::Availability(Availability::Unavailable) => "after-withdraw",
        Effect::Notify { .. } => "after-tell",
        Effect::Watch(Watch::Run { .. }) => "after-watch",
        Effect::Watch(Watch::Nothing) => "after-unwatch",
        Effect::CountHeartbeats { .. } => "after-count",
        Effect::AskToQuit { .. } => "after-ask",
        Effect::Reply { .. } => "after-reply",
        Effect::Timeline(_) => "after-happened",
        Effect::ExitHook { .. } => "after-exit-hook",
        Effect::End(_) => "after-end",
    }
}

/// Orders are named as on the wire.
fn after_keeper(order: &KeeperOrder) -> &'static str {
    let named = |point: &&&str| point.strip_prefix("after-keeper-") == Some(order.name());
    POINTS.iter().find(named).copied().unwrap_or("after-keeper-order")
}

fn after_call(call: &Call) -> &'static str {
    match call {
        Call::CreateSession(_) => "after-create-session",
        Call::ReadSession { .. } => "after-read-session",
        Call::FindAllocation { .. } => "after-find-allocation",
        Call::DeleteSession { .. } => "after-delete-session",
        Call::PostInstance { .. } => "after-post-instance",
        Call::PatchInstance { .. } => "after-patch-instance",
        Call::PostHealth { .. } => "after-post-health",
        Call::HealthConfig => "after-health-config",
        Call::BackfillConfig => "after-backfill-config",
        Call::AckBackfill { .. } => "after-ack-backfill",
        Call::UpdateBackfill { .. } => "after-update-backfill",
        Call::DeleteBackfill { .. } => "after-delete-backfill",
        Call::AddPlayer { .. } => "after-add-player",
        Call::RemovePlayer { .. } => "after-remove-player",
        Call::UpdateBrowser { .. } => "after-update-browser",
        Call::Audit { .. } => "after-audit",
    }
}

/// The point before a fact.
pub(crate) fn before(input: &Input) -> &'static str {
    match input {
        Input::Keeper(fact) => match fact {
            KeeperFact::Connected(_) => "before-connected",
            KeeperFact::Away { .. } => "before-away",
            KeeperFact::Gone { .. } => "before-keeper-gone",
            KeeperFact::Started { .. } => "before-started",
            KeeperFact::LeftBehind { .. } => "before-left-behind",
            KeeperFact::StartRefused { .. } => "before-start-refused",
            KeeperFact::Exited(_) => "before-exited",
            KeeperFact::Unkillable { .. } => "before-unkillable",
            KeeperFact::StopRequested => "before-stop-requested",
            KeeperFact::Superseded => "before-superseded",
            KeeperFact::Incompatible { .. } => "before-incompatible",
            KeeperFact::Stats(_) => "before-stats",
            KeeperFact::GatewayEnded { .. } => "before-gateway-ended",
        },
        Input::Journal(JournalFact::Committed { .. }) => "before-committed",
        Input::Journal(JournalFact::Failed { .. }) => "before-commit-failed",
        Input::GameEvent { .. } | Input::GameBatch(_) | Input::HeartbeatsCounted { .. } => "before-said",
        Input::Gateway(_) => "before-gateway",
        Input::Evidence { .. } => "before-evidence",
        Input::Output { .. } => "before-output",
        Input::Build { .. } => "before-build",
        Input::Allocated(_) => "before-allocated",
        Input::Deallocated { .. } => "before-deallocated",
        Input::Registered { .. } => "before-registered",
        Input::Answered { .. } => "before-answered",
        Input::Backend(_) => "before-backend",
        Input::Ordered { .. } => "before-ordered",
        Input::Terminate => "before-terminate",
        Input::Ports(_) => "before-ports",
        Input::Reloaded(_) => "before-reloaded",
        Input::Gap(_) => "before-gap",
        Input::Tick => "before-tick",
    }
}
