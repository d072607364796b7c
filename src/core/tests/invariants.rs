//! Random inputs against a simple model: whatever happens, the invariants of [`crate::core`] hold.
//!
//! The world of these tests checks some of them all the time (one game at a time, no start before
//! its commit, one write to a session under way, nothing after `closed`, no offer while an end is
//! owed or the journal broken); the model here knows
//!
//! | of a run | what must hold |
//! |---|---|
//! | whether it was proved | `joinable` is never published before |
//! | whether it said that it ends | it isn't shown joinable any more |
//! | whether it holds itself back | it isn't offered |
//! | what its frontends keep | it is there, also in the agent's next life |
//! | which batches were given | the newest is known as heard, once all is on disk |
//! | whether its heartbeats were counted | it isn't called silent while they aren't |
//!
//! that an agent that was told to detach ends as detached, in time, and orders the keeper neither
//! to stop the game nor to shut down, that a tick before the next deadline changes nothing and one
//! at the deadline makes progress, that what counts as no change is none (neither in the journal's
//! text nor in the status), and that in the end every instance is closed. What the game said while
//! the disk failed may be forgotten by the next life.

mod acts;
mod model;

use crate::core::{
    io::{Input, SavedState},
    testing::{Disk, Keeper, Net, World, allocation, secs, settings},
};
use crate::model::{
    allocation::ProviderKind,
    calls::{Backend, Refusal},
    game::{Counted, EventSource, Evidence, GameBatch, GameEvent, GamePlayer, Kept},
    ids::{GatewayId, RunNumber},
    orders::{After, Order},
    policy::{SdkPings, Start},
    process::{ExitStatus, RunState},
    session::JoinStatus,
};
use acts::{Act, acts, starts};
use model::{Model, Words};
use proptest::prelude::*;
use std::time::Duration;

#[expect(clippy::too_many_lines, reason = "a table: an arm for each act")]
fn act(w: &mut World, model: &mut Model, act: Act) {
    let running = if let RunState::Running { run, .. } = w.keeper.run { Some(run) } else { None };
    match act {
        Act::Pass(millis) => w.pass(Duration::from_millis(millis)),
        Act::Deadline => w.keep_the_deadline(),
        Act::Ready => {
            model.proved.extend(running.map(|run| run.0));
            w.say(GameEvent::Ready);
        }
        Act::LateReady => {
            let late = RunNumber(running.map_or(1, |run| run.0.saturating_sub(1)));
            w.give(Input::GameEvent { run: late, source: EventSource::Native, event: GameEvent::Ready });
        }
        Act::Join => {
            w.say(GameEvent::PlayerJoined(GamePlayer {
                id: uuid::Uuid::from_u128(1).to_string(),
                name: None,
                team: None,
            }));
        }
        Act::Leave => w.say(GameEvent::PlayerLeft { id: uuid::Uuid::from_u128(1).to_string() }),
        Act::Says(source, said) => says(w, model, source, said),
        Act::LateEnd(said) if running.is_none() => {
            w.give(Input::GameEvent { run: RunNumber(model.run), source: EventSource::Agones, event: said });
        }
        Act::Exit(code) if running.is_some() => w.game_exits(ExitStatus::Exited { code }),
        Act::LateEnd(_) | Act::Exit(_) => {}
        Act::Net(net) => {
            w.service.net = net;
            let since = w.now().wall;
            match w.service.net.clone() {
                Net::Up => w.give(Input::Backend(Backend::Up)),
                Net::Refuses(Refusal::Unreachable { why }) => w.give(Input::Backend(Backend::Away { since, why })),
                _ => {}
            }
        }
        Act::TimeOuts => w.time_out(),
        Act::Late => w.late_answers(),
        Act::Disk(disk) => {
            w.disk = disk;
            w.catch_up();
        }
        Act::KillAgent => {
            w.kill_agent();
            model.reborn();
        }
        Act::LoseJournal => {
            let text = w.journal.clone();
            w.wake(SavedState::SetAside { why: "damaged".into(), text });
            model.reborn();
            model.said = Words::default();
        }
        Act::NewKeeper => new_keeper(w, model),
        Act::Reconnect => w.connect(),
        Act::Allocate(id) => w.order(Order::Allocate(Box::new(allocation(&format!("a{id}"), None)))),
        Act::Drain => w.order(Order::Drain { reason: None, then: After::Recycle }),
        Act::Terminate => w.give(Input::Terminate),
        Act::Stop => w.order(Order::Stop { reason: None, now: false }),
        Act::Detach => {
            model.detached = Some(w.mono);
            w.order(Order::Detach { restart: true });
        }
        Act::SlowKeeper => w.keeper.says_started = !w.keeper.says_started,
        Act::Gap => w.give(Input::Gap(secs(60))),
        Act::SessionGone => {
            let last = w.service.sessions.keys().last().cloned();
            last.into_iter().for_each(|id| drop(w.service.sessions.remove(&id)));
        }
        Act::TakenAway => taken_away(w),
        Act::Heartbeats => {
            let run = RunNumber(model.run);
            let counted = vec![Counted { source: EventSource::Agones, count: 3, age: secs(1) }];
            w.give(Input::HeartbeatsCounted { run, counted, answer: false });
        }
        Act::Batch { gateway, ago, said } => sends(w, model, gateway, ago, said),
        Act::Beat(source) => w.counted.push(Counted { source, count: 1, age: secs(0) }),
        Act::Counts(counts) => w.counts = counts,
        Act::Gateway(fact) => w.give(Input::Gateway(fact)),
        Act::Owes(owes) => w.catches_up = !owes,
        Act::Evidence(up) => {
            let why = || "no answer".to_owned();
            let evidence = if up { Evidence::Up } else { Evidence::Down { why: why() } };
            w.give(Input::Evidence { run: RunNumber(model.run), source: EventSource::Probe, evidence });
        }
        Act::Deallocated(id) => {
            w.give(Input::Deallocated { allocation: allocation(&format!("a{id}"), None).allocation_id });
        }
        Act::Reload => {
            let settings = w.settings.clone();
            w.give(Input::Reloaded(Box::new(settings)));
        }
    }
}

fn says(w: &mut World, model: &mut Model, source: EventSource, said: GameEvent) {
    if let RunState::Running { run, .. } = w.keeper.run {
        model.said.heard(w, run, source, &said);
        w.give(Input::GameEvent { run, source, event: said });
    }
}

/// A gateway sends its next batch, or again one that it has sent before.
fn sends(w: &mut World, model: &mut Model, gateway: usize, ago: usize, said: Vec<(EventSource, GameEvent)>) {
    let RunState::Running { run, .. } = w.keeper.run else { return };
    let sent = &mut model.sent[gateway];
    sent.retain(|batch| batch.run == run);
    if ago == 0 {
        let number = sent.len() as u64 + 1;
        let gateway = GatewayId::new(["g1", "g2"][gateway]).unwrap();
        sent.push(GameBatch { gateway, number, run, said });
    }
    let Some(batch) = sent.len().checked_sub(ago.max(1)).map(|at| sent[at].clone()) else { return };
    if !w.core.gateway.has_applied(&batch.id()) {
        for (source, event) in &batch.said {
            model.proved.extend((*event == GameEvent::Ready).then_some(run.0));
            model.said.heard(w, run, *source, event);
        }
    }
    w.give(Input::GameBatch(batch.clone()));
    if w.status().game.run == Some(run) && w.core.is_written() {
        let heard = w.core.heard();
        let is_known = heard.as_ref().is_some_and(|id| id.gateway == batch.gateway && id.batch >= batch.number);
        assert!(is_known, "{batch:?} was given, and all is on disk; heard was {heard:?}");
    }
}

/// What the game is reproached with that was only not heard.
fn is_called_silent(w: &World) -> bool {
    w.status().health_reasons.iter().any(|why| why.contains("heartbeat") || why.contains("health ping"))
}

fn new_keeper(w: &mut World, model: &mut Model) {
    model.keepers += 1;
    model.proved.clear();
    model.said = Words::default();
    let starts = std::mem::take(&mut w.keeper.starts);
    w.keeper = Keeper::new(["k2", "k3", "k4"][model.keepers as usize % 3]);
    w.keeper.starts = starts;
    w.connect();
}

fn taken_away(w: &mut World) {
    let last = w.service.sessions.values_mut().last().and_then(|session| session.instance.as_mut());
    last.into_iter().for_each(|info| info.join_status = JoinStatus::Closed);
    w.service.closed_by_others = true;
}

fn play(provider: ProviderKind, start: Start, acts: Vec<Act>) {
    let mut s = settings();
    s.provider = provider;
    s.launch.start = start;
    // A game that waits warm is given match after match; the other gets a process for each.
    s.recycle.after_matches = u32::from(start == Start::OnAllocation);
    s.restart.budget = 1000;
    s.sdk_pings = Some(SdkPings { period: secs(5), failure_threshold: 3, initial_delay: secs(5) });
    let mut w = World::new(s);
    let mut model = Model::default();
    model.look(&w);
    for one in acts {
        let unheard = !w.counts && !is_called_silent(&w) && matches!(one, Act::Pass(_) | Act::Deadline);
        act(&mut w, &mut model, one);
        model.look(&w);
        assert!(!unheard || !is_called_silent(&w), "nobody counted, and it is called silent: {:?}", w.status());
        if w.ended.is_some() {
            w.kill_agent();
            model.reborn();
            model.look(&w);
        }
    }
    // All is well again, and the server is to end: whatever was posted must end up closed.
    (w.counts, w.catches_up) = (true, true);
    (w.service.net, w.disk, w.keeper.says_started, w.allocates) = (Net::Up, Disk::Works, true, false);
    w.catch_up();
    w.time_out();
    w.kill_agent();
    model.reborn();
    w.pass(secs(200));
    if w.ended.is_none() {
        w.order(Order::Stop { reason: None, now: false });
        w.pass(secs(60));
    }
    model.look(&w);
    assert!(w.ended.is_some(), "{:?}", w.status());
    let open: Vec<_> = w.service.sessions.values().filter_map(|s| s.instance.as_ref()).collect();
    assert!(open.iter().all(|info| info.join_status == JoinStatus::Closed), "{open:?}");
}

/// A late answer names a call that was made: not one that still waits for a silent disk.
#[test]
fn an_end_that_waits_for_a_silent_disk_is_reported_by_the_next_life() {
    use Act::{Allocate, Exit, KillAgent, Late, Pass, Ready};
    let acts = [Allocate(0), Exit(0), Pass(447), Ready, Act::Disk(Disk::Silent), Exit(0), KillAgent, Late];
    play(ProviderKind::Hook, Start::OnAllocation, acts.to_vec());
}

#[test]
fn an_agent_that_died_over_its_last_words_says_them_in_its_next_life() {
    let acts = [Act::Net(Net::LosesAnswers), Act::Terminate, Act::Disk(Disk::Fails), Act::Pass(4990)];
    play(ProviderKind::Auto, Start::OnAllocation, acts.to_vec());
}

#[test]
fn an_agent_that_detaches_over_its_final_reports_leaves_them_and_its_keeper_alone() {
    let away = Act::Net(Net::Refuses(Refusal::Unreachable { why: "refused".into() }));
    let acts = [away, Act::Terminate, Act::Disk(Disk::Silent), Act::Pass(500), Act::Detach, Act::Pass(4000)];
    play(ProviderKind::Auto, Start::OnAllocation, acts.to_vec());
}

/// A restart that was put off is no concern of an agent that waits for its last commit.
#[test]
fn an_agent_that_waits_for_its_last_commit_does_nothing_else_meanwhile() {
    let acts = [Act::Disk(Disk::Fails), Act::Terminate, Act::Pass(2000), Act::Terminate, Act::Deadline];
    play(ProviderKind::Hook, Start::AtBoot, acts.to_vec());
}

/// The disk works again, but the journal hasn't been tried anew yet: nobody was promised that this word lasts.
#[test]
fn a_word_said_before_the_journal_is_tried_again_may_be_forgotten_by_the_next_life() {
    let kept = Act::Says(EventSource::Native, GameEvent::Keep(Kept::from("book 0".to_owned())));
    let (fails, works) = (Act::Disk(Disk::Fails), Act::Disk(Disk::Works));
    let acts = [Act::Allocate(0), fails, Act::Pass(0), Act::Join, works, kept, Act::KillAgent];
    play(ProviderKind::Hook, Start::OnAllocation, acts.to_vec());
}

/// 256 new cases each time; `PROPTEST_CASES` asks for more. A failure prints its shortest case: it becomes a test of its own, above.
fn new_cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// Fewer, as each takes longer.
fn few_cases() -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => new_cases(),
        None => ProptestConfig { cases: 128, ..new_cases() },
    }
}

proptest! {
    #![proptest_config(few_cases())]

    #[test]
    fn the_invariants_hold_whatever_happens_to_an_own_session(start in starts(), acts in acts()) {
        play(ProviderKind::Auto, start, acts);
    }
}

proptest! {
    #![proptest_config(new_cases())]

    #[test]
    fn the_invariants_hold_whatever_happens_to_a_hooked_one(start in starts(), acts in acts()) {
        play(ProviderKind::Hook, start, acts);
    }
}
