//! Plays a round: carries out what happens, and has the model look at what came of it.

use super::{
    acts::{Act, Ordered, Round},
    coverage::Coverage,
    model::{Model, Words},
};
use crate::core::{
    io::{Effect, Ending, Input, SavedState},
    testing::{Disk, Keeper, Net, World, allocation, exit, secs, settings},
};
use crate::model::{
    calls::{Backend, Refusal},
    game::{Counted, EventSource, Evidence, GameBatch, GameEvent, GamePlayer},
    ids::{GatewayId, InstanceId, KeeperId, RunNumber},
    keeper::{KeeperFact, LeftReport},
    orders::{After, Order},
    policy::{SdkPings, Start},
    process::{ExitStatus, RunState},
    session::JoinStatus,
    status::PhaseName,
};
use std::time::Duration;

#[expect(clippy::too_many_lines, reason = "a table: an arm for each act")]
fn act(w: &mut World, model: &mut Model, act: Act) {
    let running = if let RunState::Running { run, .. } = w.keeper.run { Some(run) } else { None };
    match act {
        Act::Pass(millis) => pass(w, Duration::from_millis(millis)),
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
        Act::KeeperGone { left } => keeper_gone(w, model, left),
        Act::HostStops => host_stops(w, model),
        Act::StoppedWithoutAgent => stopped_without_agent(w, model),
        Act::StartRefused => w.keeper.refuses = true,
        Act::InstanceDeleted { forbids } => {
            let last = w.service.sessions.values_mut().last();
            last.into_iter().for_each(|session| session.instance = None);
            w.service.forbids = forbids;
        }
        Act::ClockStep(seconds) => w.clock_set += secs(seconds),
        Act::OrderAndKill(order) => order_and_kill(w, model, order),
    }
}

/// Where all is well, what is owed to a session is delivered within this time.
const DELIVERED_WITHIN: Duration = Duration::from_secs(20);

fn pass(w: &mut World, span: Duration) {
    let closing = |w: &World| -> Vec<InstanceId> {
        let all = w.core.facts.outbox.all().iter();
        all.filter(|outbox| outbox.closing).map(|outbox| outbox.instance.clone()).collect()
    };
    let fine = w.service.net == Net::Up && w.disk == Disk::Works && !w.waits_for_answers();
    let (owed, trouble) = (closing(w), w.status().agent.journal.is_some());
    w.pass(span);
    if fine && !trouble && span >= DELIVERED_WITHIN && w.ended.is_none() {
        let still: Vec<_> = closing(w).into_iter().filter(|instance| owed.contains(instance)).collect();
        assert!(still.is_empty(), "{span:?} later the ends of {still:?} are still owed: {:?}", w.status());
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
    replace_keeper(w, model);
    w.connect();
}

fn replace_keeper(w: &mut World, model: &mut Model) {
    model.keepers += 1;
    model.proved.clear();
    model.said = Words::default();
    let starts = std::mem::take(&mut w.keeper.starts);
    w.keeper = Keeper::new(["k2", "k3", "k4"][model.keepers as usize % 3]);
    w.keeper.starts = starts;
    model.stopped_by_host = None;
}

fn taken_away(w: &mut World) {
    let last = w.service.sessions.values_mut().last().and_then(|session| session.instance.as_mut());
    last.into_iter().for_each(|info| info.join_status = JoinStatus::Closed);
    w.service.closed_by_others = true;
}

/// Keeper and game are killed, and no keeper can be had until a new one comes.
fn keeper_gone(w: &mut World, model: &mut Model, left: bool) {
    let ended = match w.keeper.run.clone() {
        RunState::Running { run, started, .. } => {
            Some(exit(run, ExitStatus::Signaled { signal: 9, core: false }, started, w.now().wall))
        }
        RunState::Exited { report } => Some(report),
        RunState::Empty | RunState::Unkillable { .. } => None,
    };
    let keeper = KeeperId::new(w.keeper.id).unwrap();
    let report = ended.filter(|_| left).map(|report| LeftReport { keeper, report });
    (w.keeper.run, w.keeper.gone, w.keeper.left) = (RunState::Empty, true, report);
    model.said = Words::default();
    w.give(Input::Keeper(KeeperFact::Away { why: "the connection broke".into() }));
    w.connect();
    let is_told = w.service.net == Net::Up && w.disk == Disk::Works && w.status().agent.journal.is_none();
    assert!(
        !is_told || w.shown() != Some(JoinStatus::Joinable) || w.ended.is_some(),
        "keeper and game are dead, and the session shows joinable: {:?}",
        w.status()
    );
}

/// An operator ends keeper and game while no agent is there.
fn stopped_without_agent(w: &mut World, model: &mut Model) {
    let RunState::Running { run, started, .. } = w.keeper.run else { return };
    let mut report = exit(run, ExitStatus::Signaled { signal: 15, core: false }, started, w.now().wall);
    report.stopped_at_step = Some(0);
    let keeper = KeeperId::new(w.keeper.id).unwrap();
    model.stopped_match = w.status().session_id;
    (w.keeper.run, w.keeper.gone, w.keeper.left) = (RunState::Empty, true, Some(LeftReport { keeper, report }));
    model.said = Words::default();
    w.kill_agent();
    model.reborn();
    if w.ended.is_none() {
        new_keeper(w, model);
    }
}

/// The host stops the keeper while no agent is there: the keeper stops the game as it was told to do alone.
fn host_stops(w: &mut World, model: &mut Model) {
    if w.keeper.gone {
        return;
    }
    w.keeper.stop_requested = true;
    if let RunState::Running { run, started, .. } = w.keeper.run {
        let mut report = exit(run, ExitStatus::Signaled { signal: 15, core: false }, started, w.now().wall);
        report.stopped_at_step = Some(0);
        w.keeper.run = RunState::Exited { report };
    }
    model.stopped_by_host = Some(w.keeper.starts.len());
    w.kill_agent();
    model.reborn();
}

/// What was answered holds, also where the agent dies right after.
fn order_and_kill(w: &mut World, model: &mut Model, what: Ordered) {
    let order = match what {
        Ordered::Drain => Order::Drain { reason: None, then: After::Recycle },
        Ordered::Stop => Order::Stop { reason: None, now: false },
    };
    let (before, session) = (w.seen.len(), w.status().session_id);
    let lasts = w.disk == Disk::Works && w.status().agent.journal.is_none();
    w.dies_answering = true;
    w.order(order);
    w.dies_answering = false;
    // Where the journal is broken, nobody was promised that it lasts.
    let accepted = lasts && w.seen[before..].iter().any(|effect| matches!(effect, Effect::Reply { reply: Ok(_), .. }));
    let had_ended = w.ended.is_some();
    w.kill_agent();
    model.reborn();
    if !accepted || had_ended || w.ended.is_some() {
        return;
    }
    let status = w.status();
    match what {
        Ordered::Drain => assert!(
            status.session_id != session || status.phase != PhaseName::Serving,
            "told to drain, and the next life serves on: {status:?}"
        ),
        Ordered::Stop => {
            w.pass(secs(120));
            assert!(w.ended.is_some(), "told to stop, the next life goes on: {:?}", w.status());
        }
    }
}

/// Plays a round. Whatever doesn't hold is a panic.
pub(super) fn play(round: &Round, coverage: &mut Coverage) {
    let mut s = settings();
    s.provider = round.provider;
    s.launch.start = round.start;
    // A game that waits warm is given match after match; the other gets a process for each.
    s.recycle.after_matches = u32::from(round.start == Start::OnAllocation);
    s.restart.budget = 1000;
    s.sdk_pings = Some(SdkPings { period: secs(5), failure_threshold: 3, initial_delay: secs(5) });
    let mut w = World::new(s);
    let mut model = Model::default();
    model.look(&w);
    for one in &round.acts {
        coverage.met(&w, one);
        let unheard = !w.counts && !is_called_silent(&w) && matches!(one, Act::Pass(_) | Act::Deadline);
        model.comes(&w, one);
        act(&mut w, &mut model, one.clone());
        model.look(&w);
        assert!(!unheard || !is_called_silent(&w), "nobody counted, and it is called silent: {:?}", w.status());
        if w.ended.is_some() {
            live_again(&mut w, &mut model);
        }
    }
    // All is well again, and the server is to end: whatever was posted must end up closed.
    (w.counts, w.catches_up) = (true, true);
    (w.service.net, w.disk, w.keeper.says_started, w.allocates) = (Net::Up, Disk::Works, true, false);
    w.catch_up();
    model.ends();
    w.time_out();
    live_again(&mut w, &mut model);
    w.pass(secs(200));
    if w.ended.is_none() {
        w.order(Order::Stop { reason: None, now: false });
        w.pass(secs(60));
    }
    model.look(&w);
    assert!(w.ended.is_some(), "all is well, and the agent doesn't end: {:?}", w.status());
    assert!(!matches!(w.ended, Some(Ending::Undelivered { .. })), "all is well, and an end is owed: {:?}", w.status());
    let open: Vec<_> = w.service.sessions.values().filter_map(|s| s.instance.as_ref()).collect();
    assert!(open.iter().all(|info| info.join_status == JoinStatus::Closed), "{open:?}");
    w.service.look_for_empty_sessions();
}

/// A new life of the agent, and of its keeper where that was killed or told to stop.
fn live_again(w: &mut World, model: &mut Model) {
    if w.keeper.gone || w.keeper.stop_requested {
        replace_keeper(w, model);
    }
    w.kill_agent();
    model.reborn();
    model.look(w);
}
